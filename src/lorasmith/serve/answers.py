"""From a call to what is said: the one way that all routes take, for texts piece by piece and for every other family at once."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from lorasmith.core.errors import UsageProblem
from lorasmith.engines import Engine, GenerateRequest
from lorasmith.families._calls import Call, TextCall
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.state import BASE, Served, Voice
from lorasmith.serve.text.messages import messages_of
from lorasmith.serve.text.prompt import Prompt, options_of, prompt_of
from lorasmith.serve.text.stream import Final, Piece, TextStream

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "seed",
             "logprobs", "logit_bias")  # fmt: skip
_UNKNOWN_CONTEXT = 1_000_000
log = logging.getLogger("lorasmith.serve")


class Timing:
    """When an answer began, and when its first token came; seconds."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began


async def text_events(
    served: Served, engine: Engine, call: TextCall, media: list[bytes], timing: Timing
) -> AsyncGenerator[Piece | Final]:
    """The answer's pieces, then the whole. Closing it ends the engine's work within one step.

    Raises UsageProblem for a prompt that is too long, with the numbers, and what the engine raises.
    """
    voice = served.voice(call.adapter)
    if voice.tokenizer is None:
        raise UsageProblem(
            "The model has no tokenizer.json",
            fix="Save it with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    require_short(served, call)
    prompt = await asyncio.to_thread(prompt_of, call, voice.tokenizer, voice.thinking, keeps_end=_is_pair(served))
    if served.spec.log_prompts:
        log.info("prompt: %r", call.prompt or call.messages)
    stream = TextStream(voice.tokenizer, call, voice.thinking, prompt)
    request = engine_request(served, call, voice, prompt, stream)
    beside = _beside(served, call, voice, media)
    label = voice.name if voice.name in served.voices else "gone"
    metrics, last = served.metrics, timing.began
    reason = "stop"
    async with aclosing(engine.generate(request, **beside)) as events:  # type: ignore[type-var]
        async for event in events:
            now = time.perf_counter()
            if event.kind == "done":
                reason = str(event.header["finish_reason"])
                break
            if not timing.first:
                timing.first = now - timing.began
                metrics.first.labels(label).observe(timing.first)
            else:
                metrics.between.labels(label).observe(now - last)
            last = now
            for piece in stream.feed(event.header["ids"], event.header.get("logprobs")):
                yield piece
            if stream.is_stopped:
                break
    for piece in stream.flush():
        yield piece
    final = stream.end(reason)
    metrics.prompt_tokens.labels(label).inc(final.usage["prompt_tokens"])
    metrics.answer_tokens.labels(label).inc(final.usage["thinking_tokens"] + final.usage["answer_tokens"])
    yield final


def _is_pair(served: Served) -> bool:
    """Whether prompt and answer have a context each."""
    return served.model.architecture_type == "encoder-decoder"


def require_short(served: Served, call: TextCall) -> None:
    """Raises UsageProblem for a prompt that cannot fit, before it is rendered and cut into tokens."""
    context = served.engine_facts.context_tokens or _UNKNOWN_CONTEXT
    allowed = max(100_000, context * served.spec.chars_per_token)
    size = len(call.prompt) + len(call.system) + sum(len(str(message)) for message in call.messages)
    if size > allowed:
        raise UsageProblem(
            f"The prompt has {size:,} characters; with a context of {context:,} tokens at most {allowed:,} are read",
            fix="Shorten it.",
        )


def engine_request(served: Served, call: TextCall, voice: Voice, prompt: Prompt, stream: TextStream) -> GenerateRequest:
    """What the engine is asked. Raises UsageProblem where prompt and answer do not fit into the context."""
    context, count = served.engine_facts.context_tokens or _UNKNOWN_CONTEXT, len(prompt.ids)
    if not count:
        raise UsageProblem("Nothing that the model could read is in the prompt", fix="Send a text.")
    room = context if _is_pair(served) else context - count
    if room < 1 or count > context:
        raise UsageProblem(f"The prompt has {count:,} tokens and the model reads {context:,}", fix="Shorten it.")
    wanted = call.max_tokens or room
    if wanted > room and call.max_tokens:
        raise UsageProblem(
            f"The prompt's {count:,} tokens and {wanted:,} of an answer are more than the {context:,} that the model reads",
            fix=f"Ask for at most {room:,} tokens (max_tokens), or shorten the prompt.",
        )
    sampling = {name: getattr(call, name) for name in _SAMPLING}
    return GenerateRequest(
        prompt_ids=prompt.ids, adapter="" if voice.name == BASE else voice.name, max_tokens=wanted,
        thinking_budget=stream.thinking_budget, json_schema=stream.json_schema, **sampling,
    )  # fmt: skip


def _beside(served: Served, call: TextCall, voice: Voice, media: list[bytes]) -> dict[str, Any]:
    """What a model with eyes is given beside the tokens: the conversation itself, whose pictures only its processor can place."""
    if served.family.name != "multimodal":
        return {}
    messages = messages_of(call, reads_parts=True, needs_parts=True)
    options = options_of(call, voice.tokenizer, voice.thinking) if voice.tokenizer else {}
    return {"messages": messages, "template_options": options, "media": media}


async def whole_text(served: Served, call: TextCall, media: list[bytes]) -> tuple[Final, Timing]:
    """The answer as a whole."""
    timing = Timing()
    async with served.admitted() as engine, aclosing(text_events(served, engine, call, media, timing)) as events:
        async for event in events:
            if isinstance(event, Final):
                return event, timing
    raise HttpProblem(500, "The answer had no end", code="model_error")


async def other_events(
    served: Served, engine: Engine, call: Call, media: list[bytes]
) -> AsyncGenerator[dict[str, Any]]:
    """What a family's own call tells: `{"progress", "preview"}`, at last `{"result"}` with its files as base64."""
    given = {text: f"media:{index}" for index, text in enumerate(call.media())}
    fields = {name: _short(value, given) for name, value in call.model_dump(mode="json").items()}
    fields["adapter"] = _adapter(served, call)
    async with aclosing(engine.call(fields, media)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.kind == "progress":
                told: dict[str, Any] = {"progress": {"done": event.header["done"], "total": event.header["total"]}}
                if event.blobs:
                    told["preview"] = {"type": "image/jpeg", "data": base64.b64encode(event.blobs[0]).decode()}
                yield told
            elif event.kind == "done":
                if event.header.get("finish_reason") == "cancelled":
                    return
                yield {"result": with_blobs(event.header["value"], list(event.blobs))}


def _short(value: Any, given: dict[str, str]) -> Any:
    """A field without the files in it, which go beside the call."""
    if isinstance(value, list):
        return [_short(inner, given) for inner in value]
    return given.get(value, value) if isinstance(value, str) else value


def _adapter(served: Served, call: Call) -> str:
    name = served.voice(call.adapter).name
    return "" if name == BASE else name


def with_blobs(value: Any, blobs: list[bytes]) -> Any:
    """`value` with the files in the places that stand for them: `{"data": base64, "type": …}`."""
    if isinstance(value, dict):
        if "$blob" in value:
            rest = {key: inner for key, inner in value.items() if key != "$blob"}
            return {**rest, "data": base64.b64encode(blobs[value["$blob"]]).decode()}
        return {key: with_blobs(inner, blobs) for key, inner in value.items()}
    return [with_blobs(inner, blobs) for inner in value] if isinstance(value, list) else value


async def whole_other(served: Served, call: Call, media: list[bytes]) -> dict[str, Any]:
    """The result as a whole."""
    async with served.admitted() as engine, aclosing(other_events(served, engine, call, media)) as events:
        async for told in events:
            if "result" in told:
                return told["result"]
    raise HttpProblem(499, "The client went away", code="cancelled")


def text_body(served: Served, call: TextCall, final: Final, timing: Timing) -> dict[str, Any]:
    """POST /generate's answer for a text."""
    voice = served.voice(call.adapter)
    return {
        "text": final.text, "thinking": final.thinking if call.show_thinking else None, "tool_calls": final.tool_calls,
        "finish_reason": final.finish_reason, "usage": final.usage, "seconds": round(timing.seconds, 4),
        "seconds_to_first": round(timing.first, 4), "model": served.model.id,
        "adapter": "" if voice.name == BASE else voice.name, "logprobs": final.logprobs,
    }  # fmt: skip
