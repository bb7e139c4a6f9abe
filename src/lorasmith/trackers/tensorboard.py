"""TensorBoard event files in the run's `logs/training`. Imports the library only when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.trackers._base import LocalTracker

FOLDER = "logs/training"


class TensorBoard(LocalTracker):
    name = "tensorboard"

    def __init__(self) -> None:
        self._writer: Any = None

    def start(self, run_folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an interrupted run wrote after the step that is resumed from is hidden by the purge step.
        self._writer = SummaryWriter(str(run_folder / FOLDER), purge_step=first_step + 1 if first_step else None)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


plugin = TensorBoard()
