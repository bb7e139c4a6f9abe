"""Greedy answers to many prompts at once, for measuring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lorasmith.data.tokenizer import Tokenizer


def stop_ids(model: Any, tokenizer: Tokenizer) -> list[int]:
    """Every token after which an answer is over: the model's own and the tokenizer's."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ids = {*(own if isinstance(own, list) else [own]), *tokenizer.end_ids}
    return sorted(number for number in ids if number is not None)


def answer_of(ids: list[int], stops: list[int], tokenizer: Tokenizer) -> str:
    """The text of an answer up to its end."""
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
            answers[index] = answer_of(out[row, longest:].tolist(), stops, tokenizer)
        on_rows(min(start + batch_rows, len(order)))
    return answers
