"""What a metric is: numbers for rows, and how they become figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorasmith.core.events import Listener

Parts = tuple[float, ...]
"""What a row adds to a metric's figures: numbers of one kind for all rows of the metric."""
Columns = Mapping[str, Sequence["Answered"]]
"""The answered rows by model: "base" and the adapters' names. All hold the same rows in the same order."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One row as a model left it: its greedy answer, the wanted one, and how likely the wanted one was to it."""

    prompt: str
    wanted: str
    answer: str
    nll: float
    """Nats, summed over the `tokens` of the wanted answer."""
    tokens: int


@dataclass(frozen=True)
class How:
    """What metrics need that do more than compare letters."""

    folder: Path
    """Where they may write."""
    seed: int = 0
    encoder: str = ""
    """BERTScore's: a folder or owner/name on the Hub; empty is one for the language of the answers."""
    encoder_layers: int | None = None
    clip_model: str = ""
    """What compares pictures with texts: a folder or owner/name on the Hub; empty is `encoder.CLIP`."""
    judge: str = ""
    """The id of the model that marks answers."""
    judge_rows: int = 50
    """How many rows it is asked about, of each model the same."""
    notes: list[str] = field(default_factory=list[str])
    """What a reader of the figures has to know beside them; metrics add to it."""
    on_event: Listener = lambda _: None


class Metric(ABC):
    """A metric. A plug-in module in `metrics/` holds one as `plugin`."""

    name: str
    title: str
    figure: str = ""
    """Its main figure's name among those of `total`, where that is not its own."""
    higher_is_better: bool = True
    needs_answers: bool = True
    """Whether answers must be generated for it."""
    needs_pictures: bool = False
    """Whether a model that draws must draw for it."""
    is_share: bool = True
    """Whether its figures lie between 0 and 1 and are told in percent."""

    @abstractmethod
    def parts(self, row: Answered) -> Parts | None:
        """What the row adds; None where it says nothing about it. Raises EnvironmentProblem where a library is missing."""

    @abstractmethod
    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        """The figures over at least one row, by their names; the first one is the metric's main figure."""

    def measured(self, columns: Columns, how: How) -> dict[str, list[Parts | None]]:  # noqa: ARG002
        """The parts of every row of every model: by rows of their own, unless a metric does them all at once."""
        return {name: [self.parts(row) for row in rows] for name, rows in columns.items()}


def sums(parts: Sequence[Parts]) -> list[float]:
    """The parts of all rows, added up place by place."""
    return [sum(place) for place in zip(*parts, strict=True)]


def ratio(part: float, whole: float) -> float:
    """part / whole; 0 of nothing."""
    return part / whole if whole else 0.0
