"""What this machine has taught: after every run its planned and its measured peak, and how far the plans have been off (CHK-9).

One line of JSON for each run in `logs/measurements.jsonl`, only ever appended to.
"""

from __future__ import annotations

import statistics
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from lorasmith.core import paths, settings

_LAST_RUNS = 20
_FEWEST_RUNS = 3
# Beyond these the plan itself is wrong for the model, and a factor would hide it.
_LEAST, _MOST = 0.7, 1.5
_WORTH_TELLING = 0.02


class Measurement(BaseModel):
    """One run. `planned` is what the plan said before any correction, both in bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    work: Literal["train", "answer"]
    device: str
    family: str
    model: str
    planned: int
    measured: int
    how: dict[str, Any] = {}
    """Precision, rows, length, rank: for people who look for the cause of an error."""


class Correction(NamedTuple):
    """What planned bytes are multiplied by, and how many runs say so."""

    factor: float = 1.0
    runs: int = 0

    def __str__(self) -> str:
        return f"{self.factor - 1:+.0%} by {self.runs} runs measured on this machine"

    def of(self, planned: int) -> int:
        """Bytes to add to `planned`; negative where plans have been too large."""
        return round((self.factor - 1) * planned)


NO_CORRECTION = Correction()


def remember(measurement: Measurement) -> None:
    """Append it. Raises EnvironmentProblem where logs cannot be written."""
    file = settings.load().logs_dir / "measurements.jsonl"
    paths.make_folder(file.parent)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(measurement.model_dump_json() + "\n")


def correction(work: str, device: str, family: str) -> Correction:
    """By the median of measured over planned of the last runs of this kind; none before there are three runs."""
    try:
        lines = (settings.load().logs_dir / "measurements.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return NO_CORRECTION
    ratios = [
        one.measured / one.planned
        for one in map(_read, lines)
        if one and one.planned > 0 and (one.work, one.device, one.family) == (work, device, family)
    ][-_LAST_RUNS:]
    if len(ratios) < _FEWEST_RUNS:
        return NO_CORRECTION
    factor = min(_MOST, max(_LEAST, statistics.median(ratios)))
    return Correction(factor, len(ratios)) if abs(factor - 1) >= _WORTH_TELLING else NO_CORRECTION


def _read(line: str) -> Measurement | None:
    try:
        return Measurement.model_validate_json(line)
    except ValidationError:  # cut off by a full disk, or of another version
        return None
