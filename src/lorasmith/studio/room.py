"""Whether there is room for one more task that computes on this machine: a GPU for each; on processors, memory as the plans say
(STU-9)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lorasmith import flow
from lorasmith.core.errors import LorasmithError
from lorasmith.core.specs import make_spec
from lorasmith.plan import hardware
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.store.tables import Task
from lorasmith.training.spec import TrainSpec

_CORES_EACH = 2
"""With fewer, two at once come to their ends later than one after the other (docs/lab-log.md)."""
_SPARE = 1.1
"""Times the planned memory, since what others take is looked at only now and then."""


class Place(NamedTuple):
    """Where a task computes."""

    gpu: int | None = None
    """Its number, as torch counts them here; None for the processors. It is written down with the task, so that every server
    knows what is taken."""

    def variables(self, before: Mapping[str, str]) -> dict[str, str]:
        """Those that show its process this device alone."""
        if self.gpu is None:
            return {}
        shown = [one for one in before.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
        return {"CUDA_VISIBLE_DEVICES": shown[self.gpu] if len(shown) > self.gpu else str(self.gpu)}


class Room:
    """The devices of this machine, and what the tasks that run have of them."""

    def __init__(self, observe: Callable[[], HardwareFacts] = hardware.observe):
        self._observe = observe
        self._peaks: dict[int, int | None] = {}
        """By task: memory that it will take in bytes; None where nobody can say, or where it is being reckoned."""

    def place(self, task: Task, running: Sequence[Task]) -> Place | None:
        """Where the task can start beside those that compute here; None where it has to wait."""
        machine = self._observe()
        gpus = [number for number, gpu in enumerate(machine.gpus) if gpu.kind != "mps"]
        if gpus and not _asks_for_processors(task):
            taken = {one.predicted.get("gpu") for one in running}
            return next((Place(number) for number in gpus if number not in taken), None)
        beside = [one for one in running if one.predicted.get("gpu") is None]
        return Place() if not beside or self._fits(task, beside, machine) else None

    def _fits(self, task: Task, beside: Sequence[Task], machine: HardwareFacts) -> bool:
        if (len(beside) + 1) * _CORES_EACH > machine.num_cores:
            return False
        if not all(one.predicted.get("peak_bytes") for one in beside):
            return False  # what it will take is not known yet, or never
        own = self._peak(task)
        claimed = sum(max(0, one.predicted["peak_bytes"] - one.measured.get("memory_bytes", 0)) for one in beside)
        return own is not None and _SPARE * (own + claimed) <= machine.ram_free_bytes

    def _peak(self, task: Task) -> int | None:
        """Reckoned once, in a thread: a large file takes its time to be read."""
        if task.id not in self._peaks:
            self._peaks[task.id] = None
            if task.kind == "train":
                threading.Thread(target=self._reckon, args=(task.id, dict(task.training_params)), daemon=True).start()
        return self._peaks[task.id]

    def _reckon(self, number: int, params: Mapping[str, Any]) -> None:
        try:
            self._peaks[number] = flow.foresee(make_spec(TrainSpec, **params)).plan.predicted_peak_bytes
        except LorasmithError:
            return  # it says so itself, when its turn has come


def _asks_for_processors(task: Task) -> bool:
    return task.training_params.get("device") == "cpu"
