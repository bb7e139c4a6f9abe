"""What a tracker is: it is told numbers by name and step, and never stops a training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path


class Tracker(ABC):
    """A place where metrics go. A plug-in module in `trackers/` holds one as `plugin`."""

    name: str

    @abstractmethod
    def start(self, run_folder: Path, first_step: int) -> None:
        """Get ready for a run that goes on after `first_step`."""

    @abstractmethod
    def log(self, step: int, values: dict[str, float]) -> None:
        """Take the numbers of one step."""

    @abstractmethod
    def close(self) -> None:
        """Write out what is left."""
