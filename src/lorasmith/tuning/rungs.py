"""Which trials go on: successive halving over rungs, and the median inside the last one (TUN-2). Pure: losses in, verdicts out.

A unit is a sixteenth of the rows that the automatic choice would learn from. Trials are compared at the same number of rows,
whatever their batches. Successive halving: Jamieson & Talwalkar, arXiv 1502.07943; the median rule: Golovin et al., "Google
Vizier" (2017), section 3.2.2.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

UNITS = 16
RUNGS = (1, 4)
"""The units after which trials are compared and most of them end."""
_KEPT = 4  # of so many trials one goes on from the first rung
_LEAST_CURVES = 2

Verdict = Literal["on", "out", "wait"]
Ended = Literal["", "done", "out"]
"""A trial that came to its own end, or that goes no further."""


class Far(NamedTuple):
    """How far a trial has come, in units, and whether it goes no further."""

    units: float
    is_over: bool


@dataclass(frozen=True)
class Standing:
    """How far a trial has come."""

    number: int
    losses: Mapping[int, float]
    """Validation loss by units."""
    ended: Ended = ""

    def at(self, units: int) -> float | None:
        """The lowest loss up to there; None where it has not come so far and may yet. What came to its own end before stands with
        what it had, what went no further is behind all others."""
        if not self.losses or max(self.losses) < units:
            if not self.ended:
                return None
            if self.ended == "out":
                return math.inf
        return min((loss for at, loss in self.losses.items() if at <= units), default=math.inf)


def kept(trials: int, rung: int, finalists: int) -> int:
    """How many of so many trials go on from a rung."""
    return max(finalists, math.ceil(trials / _KEPT)) if rung == 0 else finalists


def units_left(drawn: Collection[Far], trials: int, finalists: int) -> float:
    """Units that the drawn of so many trials will still take, if the automatic choice is not among the best."""
    left = sum(RUNGS[0] - one.units for one in drawn if one.units < RUNGS[0] and not one.is_over)
    for rung, (low, high) in enumerate(pairwise((*RUNGS, UNITS))):
        gone_on = [one for one in drawn if one.units > low]
        left += sum(high - one.units for one in gone_on if one.units < high and not one.is_over)
        left += max(0, kept(trials, rung, finalists) - len(gone_on)) * (high - low)
    return left


def verdict(one: Standing, others: Collection[Standing], rung: int, places: int) -> Verdict:
    """Whether a trial that has come to `rung` is among the best `places` there: certainly, certainly not, or not known before
    others have come as far."""
    own = one.at(RUNGS[rung])
    if own is None:
        return "wait"
    better, unknown = 0, 0
    for other in others:
        loss = other.at(RUNGS[rung])
        unknown += loss is None
        better += loss is not None and (loss, other.number) < (own, one.number)
    if better >= places or not math.isfinite(own):
        return "out"
    return "on" if better + unknown < places else "wait"


def medians(others: Collection[Standing]) -> dict[int, float]:
    """By units beyond the last rung, the median of what other trials had on average up to there: a finalist whose lowest loss is
    above it is outdone. Not of their losses at that very point: a rate that is right in the end is high in the middle, and its
    loss rises and falls there (Google Vizier compares the same two)."""
    found: dict[int, float] = {}
    for units in range(RUNGS[-1] + 1, UNITS):
        means = [
            statistics.fmean(loss for at, loss in other.losses.items() if at <= units)
            for other in others if units in other.losses
        ]  # fmt: skip
        if len(means) >= _LEAST_CURVES:
            found[units] = statistics.median(means)
    return found
