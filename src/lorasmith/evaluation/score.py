"""Means with their intervals: what a figure is worth is part of the figure (EVA-5)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from lorasmith.evaluation._base import Answered, Metric

RESAMPLES = 1000
_COVERED = 0.95


class Score(NamedTuple):
    """A metric over all rows with its 95 % bootstrap interval."""

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


def score(metric: Metric, rows: Sequence[Answered], *, seed: int) -> Score:
    """The metric over `rows` with its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13)."""
    parts = [metric.parts(row) for row in rows]
    totals = [metric.total([parts[index] for index in draw]) for draw in _resamples(len(parts), seed)]
    return Score(metric.total(parts), *_interval(totals))


def difference(metric: Metric, base: Sequence[Answered], other: Sequence[Answered], *, seed: int) -> Score:
    """How much `other` differs from `base` on the same rows, paired: both are resampled together."""
    first, second = [metric.parts(row) for row in base], [metric.parts(row) for row in other]
    totals = [
        metric.total([second[index] for index in draw]) - metric.total([first[index] for index in draw])
        for draw in _resamples(len(first), seed)
    ]
    return Score(metric.total(second) - metric.total(first), *_interval(totals))
