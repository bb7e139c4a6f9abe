"""Which tasks may compute at the same time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from lorasmith.plan.hardware import GpuFacts, HardwareFacts
from lorasmith.store.tables import Task
from lorasmith.studio.room import Place, Room

GB = 10**9


def machine(*, cores: int = 8, free: int = 16 * GB, gpus: int = 0) -> HardwareFacts:
    cards = [GpuFacts(name="a", memory_bytes=24 * GB, free_bytes=24 * GB, capability=8.0) for _ in range(gpus)]
    return HardwareFacts(
        cpu="a", num_cores=cores, ram_bytes=32 * GB, ram_free_bytes=free, cpu_has_bf16=False, gpus=cards
    )


def task(number: int, *, kind: str = "train", params: dict[str, Any] | None = None, **more: Any) -> Task:
    fields: dict[str, Any] = {"predicted": {}, "measured": {}} | more
    return Task(id=number, kind=kind, training_params=params or {}, **fields)


def placed(room: Room, one: Task, running: list[Task]) -> Place | None:
    """Asked until it has been reckoned what it takes."""
    room.place(one, running)
    for thread in [made for made in threading.enumerate() if "_reckon" in made.name]:
        thread.join(60)
    return room.place(one, running)


@pytest.fixture
def training(tiny_llama: Path, sums: Path) -> Task:
    return task(2, params={"model": str(tiny_llama), "data": str(sums)})


def test_the_first_needs_no_plan() -> None:
    """STU-9"""
    assert Room(lambda: machine(cores=1)).place(task(1), []) == Place()


def test_on_processors_memory_decides(training: Task) -> None:
    """STU-9: by what is planned for those that run and for the one that waits; not before that is known."""
    room = Room(lambda: machine(free=4 * GB))
    assert placed(room, training, [task(1, predicted={"peak_bytes": 2 * GB})]) == Place()
    assert room.place(training, [task(1)]) is None
    assert room.place(training, [task(1, predicted={"peak_bytes": 4 * GB})]) is None
    has_it = task(1, predicted={"peak_bytes": 4 * GB}, measured={"memory_bytes": 4 * GB})
    assert room.place(training, [has_it]) == Place(), "what it holds is no longer free"
    assert Room(lambda: machine(cores=2)).place(training, [has_it]) is None, "each wants two cores"


def test_what_nobody_can_plan_waits(sums: Path) -> None:
    """STU-9: evaluations and exports say nothing of their memory; a training that cannot be fails in its turn."""
    room, beside = Room(machine), [task(1, predicted={"peak_bytes": 1})]
    assert placed(room, task(2, kind="evaluate"), beside) is None
    assert placed(room, task(3, params={"model": "no/where", "data": str(sums)}), beside) is None


def test_a_gpu_for_each() -> None:
    """STU-9: one computing task on a GPU, each on one of its own, which is all that its process sees."""
    room = Room(lambda: machine(gpus=2))
    first = task(1, predicted={"gpu": 0})
    assert room.place(task(2), []) == Place(0)
    assert room.place(task(2), [first]) == Place(1)
    assert room.place(task(3), [first, task(2, predicted={"gpu": 1})]) is None
    assert room.place(task(3, params={"device": "cpu"}), [first]) == Place()
    assert Place(1).variables({}) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert Place(1).variables({"CUDA_VISIBLE_DEVICES": "4,6"}) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert Place().variables({"CUDA_VISIBLE_DEVICES": "4,6"}) == {}
