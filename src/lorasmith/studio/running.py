"""A task's own process: `python -m lorasmith.studio.running NUMBER`. It depends on no server: it goes on when that is killed.

What it tells goes to a file that is only ever appended to; the database holds how far it is, and that it is alive.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorasmith.core import paths, settings
from lorasmith.core.errors import InterruptedRun, LorasmithError, UsageProblem
from lorasmith.core.events import Event, Failure, Metric, Progress, Result, Step, Warn, Writer
from lorasmith.store.database import Database, url_of
from lorasmith.store.tables import Task
from lorasmith.studio.kinds import KINDS, Work
from lorasmith.studio.tasks import EVENTS_FILE, LOCK_FILE, Tasks, folder_of

DATABASE_FILE = "studio.db"
_BEAT_SECONDS = 2.0
_COUNTED = frozenset({"train", "search", "download", "evaluate", "export", "compare"})
"""Stages whose share is the task's."""
_CAN_GO_ON = "Stopped; it can go on"
_LOCKED_SECONDS = 5.0
"""So long the task's lock is asked for again: a queue that looks for the dead, or the task's process before, may just hold it."""
_AT_LEAST_SECONDS = 60.0
"""So long the end of a task is tried to be written down where the database has gone."""


class Running:
    """The task as it runs. Its database may go and come back meanwhile."""

    def __init__(self, tasks: Tasks, task: Task, events: Writer):
        self.tasks, self.task, self.events = tasks, task, events
        self.process = os.getpid()
        self._changes: dict[str, Any] = {}
        self._figures: dict[str, Any] = {}
        self._epochs = 0.0
        """Of the whole course, once it is planned."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._asked_to_stop = False

    def __call__(self, event: Event) -> None:
        """Keep an event, and what it says of how far the task is."""
        self.events.send(event)
        figures = _figures(event)
        with self._lock:
            self._changes |= _told(event)
            if self._epochs and isinstance(event, Progress) and event.stage == "train" and event.total:
                self._changes["current_epoch"] = round(event.done / event.total * self._epochs, 4)
            if figures:
                self._figures |= figures
                self._changes["measured"] = dict(self._figures)

    def on_plan(self, predicted: Mapping[str, Any]) -> None:
        with self._lock:
            self._changes["predicted"] = {**self.task.predicted, **predicted}
            self._epochs = float(predicted.get("epochs", 0.0))

    def beat_until_over(self) -> None:
        """In a thread of its own."""
        while not self._over.wait(_BEAT_SECONDS):
            self.beat()

    def beat(self) -> None:
        with self._lock:
            changes, self._changes = self._changes, {}
        try:
            is_to_stop = self.tasks.beat(self.task.id, self.process, **changes)
        except LorasmithError:
            with self._lock:
                self._changes = changes | self._changes  # for when it is back
            return
        if is_to_stop and not self._asked_to_stop:
            self._asked_to_stop = True
            os.kill(self.process, signal.SIGINT)

    def end(self, status: str, **changes: Any) -> None:
        """Write the end down, also where the database comes back only after a while."""
        self._over.set()
        self.beat()
        until = time.monotonic() + _AT_LEAST_SECONDS
        while True:
            try:
                self.tasks.end(self.task.id, self.process, status, **changes)
            except LorasmithError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)
            else:
                return


def database_of(asked: str = "") -> Database:
    """The one that is asked for by its URL, else that of the settings, else SQLite in home."""
    return Database(url_of(asked or settings.load().database_url, DATABASE_FILE))


def _told(event: Event) -> dict[str, Any]:
    if isinstance(event, Progress):
        share = 100 * event.done / event.total if event.total else 0.0
        found: dict[str, Any] = {"message": f"{event.stage} {event.note}".strip()[:500]}
        return found | ({"progress": round(min(100.0, share), 2)} if event.stage in _COUNTED else {})
    if isinstance(event, Step | Warn):
        said = event.message if isinstance(event, Warn) else f"{event.title}: {event.note}".strip(": ")
        return {"message": said[:500]}
    return {}


_SHOWN = {
    "loss/train": "loss", "loss/validation": "val_loss", "memory_bytes": "memory_bytes", "tokens_per_second": "tokens_per_second",
}  # fmt: skip


def _figures(event: Event) -> dict[str, Any]:
    """What a list of tasks shows of one that runs."""
    if isinstance(event, Metric):
        return {name: event.values[told] for told, name in _SHOWN.items() if told in event.values}
    if isinstance(event, Progress) and event.stage in _COUNTED:
        return {"step": event.done} | ({} if event.seconds_left is None else {"seconds_left": event.seconds_left})
    return {}


def run(number: int) -> int:
    """Do the task, unless another process does; the exit code."""
    database = database_of()
    tasks = Tasks(database)
    folder = paths.make_folder(folder_of(number))
    try:
        with contextlib.ExitStack() as held:
            until = time.monotonic() + _LOCKED_SECONDS
            while True:
                try:
                    held.enter_context(paths.only_one(folder / LOCK_FILE))
                    break
                except UsageProblem:
                    if time.monotonic() > until:
                        return 0  # another process is at it
                    time.sleep(0.1)
            return _run(tasks, number, folder)
    finally:
        database.close()


def _run(tasks: Tasks, number: int, folder: Path) -> int:
    before = tasks.get(number)
    kind = KINDS[before.kind]
    goes_on = bool(before.output_path) and Path(before.output_path).exists()
    output = before.output_path or str(kind.folder(before.task_name) if kind.folder else "")
    task = tasks.begin(number, os.getpid(), output)
    if task is None:
        return 0
    with Writer(folder / EVENTS_FILE) as events:
        running = Running(tasks, task, events)
        threading.Thread(target=running.beat_until_over, daemon=True).start()
        work = Work(task.training_params, Path(output or folder), goes_on, running, running.on_plan)
        try:
            done = kind.do(work)
        except (InterruptedRun, KeyboardInterrupt) as stopped:
            running(Warn(message=str(stopped) or "Stopped"))
            running.end("stopped", message=_CAN_GO_ON)
            return 130
        except Exception as error:  # noqa: BLE001  whatever it is, the page has to show it
            problem = error if isinstance(error, LorasmithError) else LorasmithError(str(error) or type(error).__name__)
            running(Failure(error=problem.as_dict()))
            running.end("failed", error=problem.as_dict(), message=problem.what[:500])
            return problem.exit_code
        measured = dict(done.measured)
        running(Result(value=measured))
        if done.is_stopped:
            running.end("stopped", measured=measured, message=_CAN_GO_ON)
            return 130
        running.end("completed", measured=measured, progress=100.0, message="")
    return 0


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1])))
