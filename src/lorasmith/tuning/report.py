"""What a search came to: the best parameters, all trials, how much better than the automatic choice (TUN-5)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.evaluation.report import Figure, FigureKind

REPORT_FILE, PAGE_FILE = "tune.json", "tune.html"


class TrialRow(BaseModel):
    """One trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    is_automatic: bool
    outcome: str
    """`measured`, `ended early`, `failed`, `waiting` or `under way`."""
    reason: str = ""
    params: dict[str, Any]
    losses: dict[int, float]
    """Validation loss in nats a token, by sixteenths of the rows that the automatic choice learns from."""
    value: float | None = None
    """What decides, of those that were measured."""
    seconds: float | None = None
    resident_bytes: int | None = None
    """Of the worker after the trial."""


class TuneReport(BaseModel):
    """`tune.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    model_id: str
    data: str
    figure: str
    kind: FigureKind
    """Of what decides."""
    note: str = ""
    best: int
    best_params: dict[str, Any]
    base: Figure | None
    scores: dict[int, Figure]
    """By trial, of those that were measured in this folder."""
    gain: Figure | None
    """How much better the best trial is than the automatic choice, paired by rows; None where it is that choice."""
    rows: int
    """Held-out rows that were answered."""
    trials: list[TrialRow]
    importances: dict[str, float]
    seconds: float
    """Of all trials' training."""
    notes: list[str] = []
    folder: str

    @property
    def is_better(self) -> bool:
        """Whether the gain's interval leaves out that there is none."""
        if self.gain is None:
            return False
        return self.gain.low > 0 if self.kind.higher_is_better else self.gain.high < 0

    @property
    def verdict(self) -> str:
        """One sentence."""
        from lorasmith.evaluation.page import interval, shown

        if self.gain is None:
            if any(row.is_automatic and row.number == self.best for row in self.trials):
                return "Nothing was better than the automatic choice."
            return "The automatic choice was measured elsewhere: how much better this is cannot be told here."
        said = f"{'+' if self.gain.value > 0 else ''}{shown(self.gain.value, self.kind)}"
        where = f"{self.kind.title} {said} ({interval(self.gain.low, self.gain.high, self.kind)})"
        if self.is_better:
            return f"Trial {self.best} is better than the automatic choice: {where}."
        return f"Not clearly better than the automatic choice: trial {self.best} has {where}."

    def write(self) -> None:
        """tune.json and tune.html in the search's folder."""
        from pathlib import Path

        from lorasmith.tuning.page import page

        folder = Path(self.folder)
        paths.write_json(folder / REPORT_FILE, self.model_dump(mode="json", exclude={"folder"}))
        paths.write_text(folder / PAGE_FILE, page(self))
