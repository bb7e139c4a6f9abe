"""Answers: greedy for measuring, sampled and streamed for people. A worker that reads one request a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.core.events import Delta, Progress, Result, Writer
from lorasmith.data.render import prompt_ids
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.evaluation.spec import GenerateSpec, Request
from lorasmith.families import FAMILIES
from lorasmith.workers import lora
from lorasmith.workers.runtime import as_problem, run_job


def stop_ids(model: Any, tokenizer: Tokenizer) -> list[int]:
    """Every token after which an answer is over: the model's own, the tokenizer's, and what ends a turn."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ids = set(own if isinstance(own, list) else [own]) | {tokenizer.eos_id}
    ids |= {tokenizer.encoder.token_to_id(token) for token in ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")}
    return sorted(number for number in ids if number is not None)


def _answer_of(ids: list[int], stops: list[int], tokenizer: Tokenizer) -> str:
    end = next((index for index, number in enumerate(ids) if number in stops), len(ids))
    return tokenizer.encoder.decode(ids[:end])


@torch.inference_mode()
def answer_rows(
    model: Any, prompts: list[list[int]], tokenizer: Tokenizer, *, max_new_tokens: int, device: str,
    batch_rows: int = 16, on_rows: Callable[[int], None] = lambda _: None,
) -> list[str]:  # fmt: skip
    """Greedy answers to prompts given as ids, in order; prompts of like length are answered together."""
    answers = [""] * len(prompts)
    stops = stop_ids(model, tokenizer)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(order), batch_rows):
        indices = order[start : start + batch_rows]
        longest = max(len(prompts[index]) for index in indices)
        ids = torch.full((len(indices), longest), tokenizer.pad_id)
        mask = torch.zeros((len(indices), longest), dtype=torch.long)
        for row, index in enumerate(indices):
            ids[row, longest - len(prompts[index]) :] = torch.tensor(prompts[index])
            mask[row, longest - len(prompts[index]) :] = 1
        out = model.generate(
            input_ids=ids.to(device), attention_mask=mask.to(device), do_sample=False, max_new_tokens=max_new_tokens,
            eos_token_id=stops, pad_token_id=tokenizer.pad_id,
        )  # fmt: skip
        for row, index in enumerate(indices):
            answers[index] = _answer_of(out[row, longest:].tolist(), stops, tokenizer)
        on_rows(min(start + batch_rows, len(order)))
    return answers


class _Stream:
    """Takes tokens as they are made and hands on the text that is certain."""

    def __init__(self, tokenizer: Tokenizer, stops: list[int], send: Callable[[str], None]):
        self._tokenizer, self._stops, self._send = tokenizer, stops, send
        self._ids: list[int] = []
        self._sent = ""
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        if self._is_prompt:  # generate() shows the prompt first
            self._is_prompt = False
            return
        self._ids += value.flatten().tolist()
        text = _answer_of(self._ids, self._stops, self._tokenizer)
        if text.endswith("�"):  # a character whose last bytes are still to come
            return
        self._send(text[len(self._sent) :])
        self._sent = text

    def end(self) -> None:
        text = _answer_of(self._ids, self._stops, self._tokenizer)
        if len(text) > len(self._sent):
            self._send(text[len(self._sent) :])


def load(spec: GenerateSpec, adapters: dict[str, Path]) -> tuple[Any, Tokenizer]:
    """Model with adapters, and the tokenizer with the template that the first adapter was trained with."""
    base = FAMILIES.get(spec.family).load(spec.model_folder, dtype=spec.precision, device=spec.device)
    return lora.load_adapters(base, adapters), load_tokenizer(spec.model_folder, template=spec.template)


@torch.inference_mode()
def answer(
    model: Any, tokenizer: Tokenizer, request: Request, device: str, send: Callable[[str], None]
) -> dict[str, Any]:
    """One answer, streamed through `send`. Raises UsageProblem where the prompt leaves no room for one."""
    prompt = prompt_ids(request.messages, tokenizer)
    room = int(getattr(model.config, "max_position_embeddings", 0) or 2**31) - len(prompt)
    if room < 1:
        raise UsageProblem(
            f"The prompt has {len(prompt)} tokens and the model reads {room + len(prompt)}", fix="Shorten it."
        )
    if request.seed is not None:
        transformers.set_seed(request.seed)
    stops = stop_ids(model, tokenizer)
    sampling = {"do_sample": False}
    if request.temperature > 0:
        sampling = {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
    ids = torch.tensor([prompt], device=device)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=min(request.max_new_tokens, room),
        eos_token_id=stops, pad_token_id=tokenizer.pad_id, streamer=_Stream(tokenizer, stops, send), **sampling,
    )  # fmt: skip
    new = out[0, len(prompt) :].tolist()
    finished = bool(new) and new[-1] in stops
    return {
        "text": _answer_of(new, stops, tokenizer),
        "prompt_tokens": len(prompt),
        "answer_tokens": len(new),
        "finish_reason": "stop" if finished else "length",
    }


def serve_requests(text: str, events: Writer) -> None:
    """Answer requests, one JSON line each on standard input, until it is closed."""
    spec = GenerateSpec.model_validate_json(text)
    model, tokenizer = load(spec, {"tuned": spec.adapter} if spec.adapter else {})
    events.send(Progress(stage="load", done=1, total=1, unit="model"))
    for number, line in enumerate(sys.stdin):
        try:
            request = Request.model_validate_json(line)
            value = answer(
                model,
                tokenizer,
                request,
                spec.device,
                lambda piece, n=number: events.send(Delta(request=n, text=piece)),
            )
        except Exception as error:  # noqa: BLE001  one bad request must not end the conversation
            problem: LorasmithError = as_problem(error)
            value = {"error": problem.as_dict()}
        events.send(Result(value={"request": number, **value}))


if __name__ == "__main__":
    run_job(serve_requests, lambda text: Path(json.loads(text)["events"]))
