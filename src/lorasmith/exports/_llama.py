"""A GGUF file read back by llama.cpp's own server: what it makes of the prompts (EXP-4)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lorasmith.core.facts import ModelFacts
from lorasmith.engines import ENGINES, EngineSpec
from lorasmith.engines._child_server import ChildServer
from lorasmith.exports.parity import Said

_TOP = 20


def said_by_llama(
    model: ModelFacts, conversations: Sequence[list[dict[str, Any]]], *, templated: bool, max_new_tokens: int, log: Path,
    adapter: Path | None = None,
) -> list[Said]:  # fmt: skip
    """What llama.cpp answers, with its own tokenizer and the file's chat template; `adapter` is a folder with one as GGUF.

    What it keeps of earlier tokens is in fp32, not in its usual fp16, so that only the file is compared.
    """
    adapters = {"exported": adapter} if adapter else {}
    spec = EngineSpec(model=model, device="cpu", adapters=adapters, max_rows=1, log_path=log, cache_dtype="float32")
    return asyncio.run(_said(spec, conversations, templated=templated, max_new_tokens=max_new_tokens))


async def _said(
    spec: EngineSpec, conversations: Sequence[list[dict[str, Any]]], *, templated: bool, max_new_tokens: int
) -> list[Said]:  # fmt: skip
    engine = cast(ChildServer, await ENGINES.get("llama_cpp").start(spec, lambda _: None))
    try:
        return [await _one(engine, talk, templated=templated, max_new_tokens=max_new_tokens) for talk in conversations]
    finally:
        await engine.stop()


async def _one(engine: ChildServer, talk: list[dict[str, Any]], *, templated: bool, max_new_tokens: int) -> Said:
    text = talk[-1]["content"]
    if templated:
        text = (await engine.ask("/apply-template", {"messages": talk}))["prompt"]
    ids = (await engine.ask("/tokenize", {"content": text, "add_special": True, "parse_special": True}))["tokens"]
    told = await engine.ask("/completion", {
        "prompt": ids, "n_predict": max_new_tokens, "temperature": 0, "n_probs": _TOP, "return_tokens": True,
        "cache_prompt": False, "samplers": ["temperature"],
        **({"lora": [{"id": 0, "scale": 1.0}]} if engine.adapters else {}),
    })  # fmt: skip
    answer = list(told.get("tokens") or [])
    chances = _aligned(answer, told.get("completion_probabilities") or [])
    if told.get("stop_type") == "eos" and answer:
        answer.pop()
    return Said(ids, answer, chances, talk[-1]["content"], text=str(told.get("content") or ""))


def _aligned(answer: Sequence[int], told: Sequence[dict[str, Any]]) -> list[dict[int, float]]:
    """Probabilities for each token of the answer; empty where llama.cpp tells none, as for tokens within one character."""
    found: list[dict[int, float]] = []
    left = list(told)
    for token in answer:
        if left and left[0]["id"] == token:
            found.append({one["id"]: math.exp(one["logprob"]) for one in left.pop(0).get("top_logprobs", ())})
        else:
            found.append({})
    return found
