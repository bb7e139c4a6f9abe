"""Figures with their intervals: what a figure is worth is part of the figure (EVA-5)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from lorasmith.evaluation._base import Metric, Parts

RESAMPLES = 1000
_COVERED = 0.95


class Score(NamedTuple):
    """A figure over all rows with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def _interval(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    tail = (1 - _COVERED) / 2
    return ordered[int(tail * len(ordered))], ordered[min(len(ordered) - 1, int((1 - tail) * len(ordered)))]


def _resamples(count: int, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [rng.choices(range(count), k=count) for _ in range(RESAMPLES)]


def score(metric: Metric, parts: Sequence[Parts | None], *, seed: int) -> dict[str, Score]:
    """The metric's figures over the rows that have parts, each with its percentile bootstrap interval (Efron & Tibshirani 1993,
    ch. 13). Empty where no row has any."""
    told = [one for one in parts if one is not None]
    if not told:
        return {}
    totals = [metric.total([told[index] for index in draw]) for draw in _resamples(len(told), seed)]
    return {name: Score(value, *_interval([one[name] for one in totals])) for name, value in metric.total(told).items()}


def difference(
    metric: Metric, base: Sequence[Parts | None], other: Sequence[Parts | None], *, seed: int
) -> dict[str, Score]:
    """How much `other` differs from `base` over the rows where both have parts, paired: both are resampled together."""
    pairs = [(one, two) for one, two in zip(base, other, strict=True) if one is not None and two is not None]
    if not pairs:
        return {}

    def apart(drawn: Sequence[tuple[Parts, Parts]]) -> dict[str, float]:
        before, after = (metric.total(side) for side in zip(*drawn, strict=True))
        return {name: after[name] - before[name] for name in after}

    totals = [apart([pairs[index] for index in draw]) for draw in _resamples(len(pairs), seed)]
    return {name: Score(value, *_interval([one[name] for one in totals])) for name, value in apart(pairs).items()}
