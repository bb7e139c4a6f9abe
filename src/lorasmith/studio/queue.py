"""Starts what waits, as far as there is room, and finds what has died. Any number of servers may do so at one database."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from lorasmith.core import paths
from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.store.tables import Task, now
from lorasmith.studio.kinds import KINDS
from lorasmith.studio.room import Place, Room
from lorasmith.studio.tasks import LOCK_FILE, LOG_FILE, SILENT, Tasks, folder_of, this_host

_LOOKS_EVERY_SECONDS = 0.5
_ELSEWHERE = 4 * SILENT
"""A process on another machine cannot be looked for: it is given up after so long a silence."""


class Queue:
    """The queue of this machine. `room` says whether one more task may compute, `others_at_once` how many others may run;
    `meanwhile` is called once round."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        room: Room | None = None,
        others_at_once: int = 4,
        tell: Callable[[str], None] = lambda _: None,
        meanwhile: Callable[[], None] = lambda: None,
    ):
        self.tasks, self._tell, self._meanwhile = tasks, tell, meanwhile
        self._room, self._others_at_once = room or Room(), others_at_once
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopped, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._is_down = False

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def close(self) -> None:
        """Look no more; what runs goes on."""
        self._stopped.set()
        self._woken.set()
        self._thread.join(10)
        for process in self._processes:
            if process.poll() is None:
                process.returncode = 0  # Python would complain that nobody waits for it; nobody is meant to

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                self.look()
                self._meanwhile()
            except LorasmithError as problem:
                if not self._is_down:
                    self._tell(str(problem))
                self._is_down = True
            else:
                self._is_down = False
            self._woken.wait(_LOOKS_EVERY_SECONDS)
            self._woken.clear()

    def look(self) -> None:
        """Once round: what has died is written down, what waits is started where there is room."""
        self._processes = [one for one in self._processes if one.poll() is None]  # polled: else they stay as zombies
        running = self.tasks.running()
        self._find_dead(running)
        here = [task for task in running if task.host == this_host()]
        computing = [task for task in here if task.kind in KINDS and KINDS[task.kind].computes]
        others = len(here) - len(computing)
        is_full = False
        for task in self.tasks.waiting():
            kind = KINDS.get(task.kind)
            if kind is None:
                continue  # another version's
            if not kind.computes:
                if others < self._others_at_once and self.tasks.take(task.id):
                    others += 1
                    self._start(task.id, Place())
                continue
            place = None if is_full else self._room.place(task, computing)
            is_full = place is None  # a small one does not overtake
            if place and self.tasks.take(task.id, predicted={**task.predicted, "gpu": place.gpu}):
                computing.append(self.tasks.get(task.id))
                self._start(task.id, place)

    def _find_dead(self, running: Sequence[Task]) -> None:
        for task in running:
            silence = now() - task.heartbeat if task.heartbeat else SILENT
            if silence < SILENT:
                continue
            if task.host != this_host():
                if task.process and silence > _ELSEWHERE:
                    self.tasks.interrupted(task.id, task.process, task.heartbeat)
            elif _is_alive(task.id):
                continue
            elif task.process is None:
                self.tasks.give_back(task.id)
            else:
                self.tasks.interrupted(task.id, task.process, task.heartbeat)

    def _start(self, number: int, place: Place) -> None:
        """A process that is nobody's child in what counts: no signal of ours reaches it, and it outlives us."""
        folder = paths.make_folder(folder_of(number))
        environment = (
            os.environ
            | place.variables(os.environ)
            | {"LORASMITH_HOME": str(paths.home()), "LORASMITH_DATABASE_URL": self.tasks.database.url}
        )
        with (folder / LOG_FILE).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lorasmith.studio.running", str(number)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)


def _is_alive(number: int) -> bool:
    """Whether a process of this machine holds the task's lock, which ends with it however it ends."""
    lock = folder_of(number) / LOCK_FILE
    if not lock.exists():
        return False
    try:
        with paths.only_one(lock):
            return False
    except UsageProblem:
        return True
