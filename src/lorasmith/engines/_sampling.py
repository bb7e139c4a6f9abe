"""What a request asks of any server that samples: each value said outright, so that no server's own defaults count."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core.paths import read_json
from lorasmith.engines._base import GenerateRequest

_NAMES = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class Sampling(NamedTuple):
    """By the names and in the meaning of transformers; a temperature of 0 takes the likeliest token."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float


def own_defaults(folder: Path) -> dict[str, Any]:
    """The sampling parameters of a model's generation_config.json."""
    told = read_json(folder / "generation_config.json")
    found = {name: told[name] for name in _NAMES if told.get(name) is not None}
    if found.get("do_sample"):
        found.setdefault("temperature", 1.0)
    return found


def own_stops(folder: Path) -> frozenset[int]:
    """The tokens after which the model's answers are over."""
    for name in ("generation_config.json", "config.json"):
        told = read_json(folder / name).get("eos_token_id")
        if told is not None:
            return frozenset(told if isinstance(told, list) else [told])
    return frozenset()


def sampling_of(request: GenerateRequest, defaults: dict[str, Any]) -> Sampling:
    """The model's own values count, where the request names none, if the model says that it samples."""
    own = defaults if defaults.get("do_sample") else {}

    def value(name: str, neutral: float, known: dict[str, Any] = own) -> float:
        asked = getattr(request, name)
        return float(asked if asked is not None else known.get(name, neutral))

    return Sampling(
        temperature=value("temperature", 0.0), top_p=value("top_p", 1.0), top_k=int(value("top_k", 0)),
        min_p=value("min_p", 0.0), repetition_penalty=value("repetition_penalty", 1.0, defaults),
    )  # fmt: skip
