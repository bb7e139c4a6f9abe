"""The loss of every step of a run, as its report keeps it: read from the run's events, thinned out. It draws nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from lorasmith.core.events import Metric, parse

MAX_POINTS = 300
_DIGITS = 5


class Curve(BaseModel):
    """Columns of equal length: `steps[i]` is the last step of the i-th point, whose values are those of the steps since the point
    before: the mean of losses and rates, the largest gradient norm. None where a norm was no finite number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: list[int] = []
    train_loss: list[float] = []
    learning_rate: list[float] = []
    gradient_norm: list[float | None] = []


class _Point(NamedTuple):
    step: int
    loss: float
    rate: float
    norm: float | None


def read_curve(events: Path, last_step: int, max_points: int = MAX_POINTS) -> Curve:
    """The curve up to `last_step` in a run's `events.jsonl`. Steps that the run turned back behind, or that a resumed run did
    once more, are those of the last time."""
    points = _points(events)
    while points and points[-1].step > last_step:
        points.pop()
    return _thinned(points, max_points)


def _points(events: Path) -> list[_Point]:
    points: list[_Point] = []
    try:
        file = events.open("rb")
    except OSError:
        return points
    with file:
        for line in file:
            # Most lines say something else; and the last one of a run that was killed may have no end.
            if b'"loss/train"' not in line or not line.endswith(b"\n"):
                continue
            event = parse(line)
            if isinstance(event, Metric):
                while points and points[-1].step >= event.step:
                    points.pop()
                told = event.values
                points.append(
                    _Point(event.step, told["loss/train"], told.get("learning_rate", 0.0), told.get("gradient_norm"))
                )
    return points


def _thinned(points: list[_Point], most: int) -> Curve:
    count = min(most, len(points))
    parts = [points[len(points) * i // count : len(points) * (i + 1) // count] for i in range(count)]
    return Curve(
        steps=[part[-1].step for part in parts],
        train_loss=[_short(sum(point.loss for point in part) / len(part)) for part in parts],
        learning_rate=[_short(sum(point.rate for point in part) / len(part)) for part in parts],
        gradient_norm=[_largest(part) for part in parts],
    )


def _largest(part: list[_Point]) -> float | None:
    norms = [point.norm for point in part if point.norm is not None]
    return _short(max(norms)) if len(norms) == len(part) else None


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
