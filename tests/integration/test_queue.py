"""Tasks as they run: processes of their own, that no server takes with it (STU-9)."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.trainings import losses_by_step

from lorasmith.core import paths
from lorasmith.core.events import Metric, Result, parse
from lorasmith.plan import hardware
from lorasmith.store.database import Database, url_of
from lorasmith.store.tables import Task
from lorasmith.studio.queue import Queue
from lorasmith.studio.room import Room
from lorasmith.studio.running import DATABASE_FILE
from lorasmith.studio.tasks import EVENTS_FILE, LOCK_FILE, LOG_FILE, Tasks, folder_of

QUICK = {"max_steps": 12, "eval_fraction": 0.3, "no_tensorboard": True}
LONG = QUICK | {"max_steps": 100_000, "epochs": 1000, "patience": 10_000, "overfitting_threshold": 1e6}


@pytest.fixture
def tasks(home: Path) -> Iterator[Tasks]:
    database = Database(url_of("", DATABASE_FILE))
    made = Tasks(database)
    yield made
    for task in made.running():
        if task.process and psutil.pid_exists(task.process):
            os.kill(task.process, signal.SIGKILL)
    database.close()


@pytest.fixture
def queue(tasks: Tasks) -> Iterator[Queue]:
    made = Queue(tasks)
    made.start()
    yield made
    made.close()


def until(tasks: Tasks, number: int, holds: Callable[[Task], object], seconds: float = 90) -> Task:
    deadline = time.monotonic() + seconds
    while not holds(task := tasks.get(number)):
        assert time.monotonic() < deadline, (task.status, task.message, task.error)
        time.sleep(0.05)
    return task


def steps_told(number: int) -> int:
    file = folder_of(number) / EVENTS_FILE
    return file.read_text().count('"loss/train"') if file.exists() else 0


SERVER = """
import time
from lorasmith.store.database import Database, url_of
from lorasmith.studio.queue import Queue
from lorasmith.studio.room import Room
from lorasmith.studio.running import DATABASE_FILE
from lorasmith.studio.tasks import Tasks
Queue(Tasks(Database(url_of("", DATABASE_FILE)))).start()
time.sleep(1000)
"""


@pytest.fixture
def server() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts another server, as often as it is called."""
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, "-c", SERVER]))
        return made[-1]

    yield start
    for one in made:
        one.kill()
        one.wait()


def test_a_training_runs_to_its_end(tasks: Tasks, queue: Queue, tiny_llama: Path, sums: Path) -> None:
    """STU-8, STU-9: its figures, what was planned, what was told."""
    number = tasks.create("train", "my first", {"model": str(tiny_llama), "data": str(sums), **QUICK}).id
    queue.wake()
    task = until(tasks, number, lambda one: one.completed_at)
    assert task.status == "completed", task.error
    assert task.progress == 100
    assert Path(task.measured["adapter"], "adapter_model.safetensors").exists()
    assert task.predicted["peak_bytes"] > 0
    assert Path(task.output_path).name == "my_first" or Path(task.output_path).name == "my-first"
    told = [parse(line) for line in (folder_of(number) / EVENTS_FILE).read_bytes().splitlines()]
    assert len([event for event in told if isinstance(event, Metric) and "loss/train" in event.values]) == 12
    assert isinstance(told[-1], Result)


def test_a_lock_that_is_held_a_moment_is_waited_for(tasks: Tasks, queue: Queue, tiny_llama: Path, sums: Path) -> None:
    """STU-9: by a queue that looks whether the task's process is dead, or by the process that did it before."""
    number = tasks.create("train", "a", {"model": str(tiny_llama), "data": str(sums), **QUICK}).id
    folder = paths.make_folder(folder_of(number))
    with paths.only_one(folder / LOCK_FILE):
        queue.wake()
        until(tasks, number, lambda _: (folder / LOG_FILE).exists())
        time.sleep(3)
    assert until(tasks, number, lambda one: one.completed_at, 30).status == "completed"


def test_a_training_that_cannot_be_says_why(tasks: Tasks, queue: Queue, tiny_llama: Path, tmp_path: Path) -> None:
    """STU-9, QLT-1: the message that a terminal would show."""
    number = tasks.create("train", "a", {"model": str(tiny_llama), "data": str(tmp_path / "none.jsonl")}).id
    task = until(tasks, number, lambda one: one.completed_at)
    assert task.status == "failed"
    assert task.error is not None
    assert "none.jsonl" in task.error["what"]
    assert task.message == task.error["what"]


def test_one_after_the_other_and_in_their_order(tasks: Tasks, queue: Queue, tiny_llama: Path, sums: Path) -> None:
    """STU-9: one training at a time on a device."""
    asked = {"model": str(tiny_llama), "data": str(sums), **QUICK}
    numbers = [tasks.create("train", f"t{number}", asked).id for number in range(3)]
    done = [until(tasks, number, lambda one: one.completed_at) for number in numbers]
    assert [task.status for task in done] == ["completed"] * 3
    for before, after in itertools.pairwise(done):
        assert before.completed_at is not None
        assert after.started_at is not None
        assert before.completed_at <= after.started_at


def test_two_at_once_where_both_fit(tasks: Tasks, tiny_llama: Path, sums: Path) -> None:
    """STU-9: on a machine with cores and memory for both; each is the training that it would be alone."""
    larger = hardware.observe().model_copy(update={"num_cores": 8})
    queue = Queue(tasks, room=Room(lambda: larger))
    asked = {"model": str(tiny_llama), "data": str(sums), **LONG}
    queue.start()
    try:
        first, second = (tasks.create("train", name, asked).id for name in ("a", "b"))
        until(tasks, second, lambda _: steps_told(second) > 5)
        assert tasks.get(first).status == tasks.get(second).status == "running"
        assert tasks.get(second).predicted.keys() >= {"peak_bytes", "gpu"}
        for number in (first, second):
            tasks.stop(number)
            assert until(tasks, number, lambda one: one.completed_at).status == "stopped"
    finally:
        queue.close()


def test_stopped_it_saves_and_goes_on_from_there(tasks: Tasks, queue: Queue, tiny_llama: Path, sums: Path) -> None:
    """STU-2, STU-9"""
    number = tasks.create("train", "a", {"model": str(tiny_llama), "data": str(sums), **LONG}).id
    until(tasks, number, lambda _: steps_told(number) > 50)
    tasks.stop(number)
    task = until(tasks, number, lambda one: one.completed_at)
    assert task.status == "stopped"
    reached = max(losses_by_step(folder_of(number)))
    tasks.resume(number)
    until(tasks, number, lambda _: max(losses_by_step(folder_of(number))) > reached + 20)
    tasks.stop(number)
    assert until(tasks, number, lambda one: one.completed_at).status == "stopped"
    told = list(losses_by_step(folder_of(number)))
    assert told == list(range(1, len(told) + 1)), "it began anew"


def test_a_server_that_is_killed_takes_nothing_with_it(
    tasks: Tasks, server: Callable[[], subprocess.Popen[bytes]], tiny_llama: Path, sums: Path
) -> None:
    """STU-9, REL-1: kill -9 of the server in the middle; the training never stops, another server finds it and starts nothing twice."""
    first = server()
    number = tasks.create("train", "a", {"model": str(tiny_llama), "data": str(sums), **LONG}).id
    task = until(tasks, number, lambda one: one.process and steps_told(number) > 10)
    first.kill()
    first.wait()
    server()
    server()
    seen = steps_told(number)
    until(tasks, number, lambda _: steps_told(number) > seen + 200)
    again = tasks.get(number)
    assert (again.status, again.process) == ("running", task.process)
    assert task.process is not None
    workers = [
        one for one in psutil.process_iter(["cmdline"]) if "lorasmith.studio.running" in (one.info["cmdline"] or [])
    ]
    assert [one.pid for one in workers if one.cmdline()[-1] == str(number)] == [task.process]
    tasks.stop(number)
    assert until(tasks, number, lambda one: one.completed_at).status == "stopped"


def test_a_process_that_dies_is_found_and_goes_on_from_its_checkpoint(
    tasks: Tasks, queue: Queue, tiny_llama: Path, sums: Path
) -> None:
    """STU-9: within 15 seconds of silence, with what is known of it."""
    number = tasks.create("train", "a", {"model": str(tiny_llama), "data": str(sums), **LONG}).id
    task = until(tasks, number, lambda one: one.process and one.progress and steps_told(number) > 50)
    assert task.process is not None
    os.kill(task.process, signal.SIGKILL)
    died = time.monotonic()
    task = until(tasks, number, lambda one: one.status == "interrupted")
    assert time.monotonic() - died < 17
    assert task.progress > 0
    known = max(losses_by_step(folder_of(number)))
    tasks.resume(number)
    until(tasks, number, lambda _: max(losses_by_step(folder_of(number))) > known)
    assert set(losses_by_step(folder_of(number))) >= set(range(1, known + 1))
    tasks.stop(number)
    assert until(tasks, number, lambda one: one.completed_at).status == "stopped"
