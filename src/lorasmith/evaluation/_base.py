"""What a metric is: numbers for rows, and how they become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """One row as a model left it: its greedy answer, the wanted one, and how likely the wanted one was to it."""

    prompt: str
    wanted: str
    answer: str
    nll: float
    """Nats, summed over the `tokens` of the wanted answer."""
    tokens: int


class Metric(ABC):
    """A metric. A plug-in module in `metrics/` holds one as `plugin`."""

    name: str
    title: str
    higher_is_better: bool
    needs_answers: bool
    """Whether answers must be generated for it."""

    @abstractmethod
    def parts(self, row: Answered) -> tuple[float, float]:
        """The row's (amount, weight): what `total` makes the metric of."""

    @abstractmethod
    def total(self, parts: Sequence[tuple[float, float]]) -> float:
        """The metric over rows."""
