"""The search's worker as the control plane has it: one command at a time, its progress passed on, its death told."""

from __future__ import annotations

import contextlib
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from lorasmith.core import errors, paths
from lorasmith.core.channel import Channel, Frame
from lorasmith.core.events import Listener, parsed
from lorasmith.evaluation.spec import EvaluateJob
from lorasmith.runners.local import Worker
from lorasmith.training.spec import WorkerSpec
from lorasmith.tuning.spec import Trained, Trouble, TuneJob

_Heard = queue.SimpleQueue[Frame | None]


class Seat:
    """Where one trial at a time is trained, or adapters answer."""

    def __init__(self, process: _Process, number: int):
        self.process, self._number = process, number

    def train(self, spec: WorkerSpec, listener: Listener) -> Trained | Trouble:
        """Raises InterruptedRun where it is stopped, WorkerCrash where the worker died, and what it could not do at all."""
        reply = self._ask({"do": "train", "spec": spec.model_dump(mode="json")}, listener)
        if "trouble" in reply:
            return Trouble(**reply["trouble"])
        return Trained(**reply["done"])

    def answer(self, job: EvaluateJob, threshold: int, listener: Listener) -> None:
        """Have base and adapters answer. Raises as `train` does."""
        self._ask({"do": "answer", "job": job.model_dump(mode="json"), "threshold": threshold}, listener)

    def interrupt(self) -> None:
        """Ask for a clean end of what is under way; asked twice, end it now."""
        self.process.interrupt()

    def _ask(self, command: dict[str, Any], listener: Listener) -> dict[str, Any]:
        heard, start = self.process.ask(self._number, command)
        while frame := heard.get():
            if event := frame.header.get("event"):
                listener(parsed(event))
            elif problem := frame.header.get("failed"):
                raise errors.from_dict(problem)
            else:
                return frame.header
        raise self.process.dead(start)


class _Process:
    """A worker with the base and the rows in memory; started when it is first needed, and again after it has died."""

    def __init__(self, job: TuneJob, folder: Path, *, python: Path, needs: tuple[str, ...], number: int):
        self._job, self._folder, self._number = job, folder, number
        self._python, self._needs = python, needs
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._channel: Channel | None = None
        self._heard: dict[int, _Heard] = {}
        self._starts, self._is_gone = 0, False
        self._crash = errors.LorasmithError("The worker has ended")

    def ask(self, seat: int, command: dict[str, Any]) -> tuple[_Heard, int]:
        """What the worker says to this seat from now on, None at the end, where it has died; and the number of its start."""
        with self._lock:
            channel = self._started()
            heard = self._heard[seat] = _Heard()
            with contextlib.suppress(OSError):  # who reads finds that it is dead
                channel.send({"seat": seat, **command})
            if self._is_gone:
                heard.put(None)
            return heard, self._starts

    def interrupt(self) -> None:
        if self._worker:
            self._worker.interrupt()

    def dead(self, start: int) -> errors.LorasmithError:
        """Why the worker of this start has died. Whoever asks next has a new one."""
        with self._lock:
            if self._worker and start == self._starts:
                self._crash = self._worker.crash()
                self._close()
            return self._crash

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._worker:
            self._worker.close()
        if self._channel:
            self._channel.close()
        self._worker = self._channel = None

    def _started(self) -> Channel:
        if self._worker is None or self._channel is None:
            suffix = f"-{self._number}" if self._number else ""
            spec = self._folder / f"worker{suffix}.json"
            paths.write_text(spec, self._job.model_dump_json() + "\n")
            ours, theirs = socket.socketpair()
            with theirs:
                self._worker = Worker(
                    "tune", spec, self._folder / "events.jsonl", self._folder / "logs" / f"worker{suffix}.log",
                    python=self._python, needs=self._needs, channel=theirs.fileno(),
                )  # fmt: skip
            self._channel = Channel(ours)
            self._heard, self._is_gone = {}, False
            self._starts += 1
            threading.Thread(target=self._listen, args=(self._channel, self._heard, self._starts), daemon=True).start()
        return self._channel

    def _listen(self, channel: Channel, heard: dict[int, _Heard], start: int) -> None:
        while frame := channel.receive():
            heard[frame.header["seat"]].put(frame)
        with self._lock:
            self._is_gone = self._is_gone or start == self._starts
            for one in heard.values():
                one.put(None)


@contextlib.contextmanager
def seats(job: TuneJob, processes: int, folder: Path, *, python: Path, needs: tuple[str, ...]) -> Generator[list[Seat]]:
    """The seats of so many workers, which are ended at the end."""
    made = [_Process(job, folder, python=python, needs=needs, number=one) for one in range(processes)]
    try:
        yield [Seat(process, number) for number in range(job.seats) for process in made]
    finally:
        for process in made:
            process.close()


def at_work(
    made: Sequence[Seat], work: Callable[[Seat], None], stopped: threading.Event, *, what: str, fix: str
) -> None:
    """Every seat at its work until nothing is left; Ctrl+C asks for a clean end and sets `stopped`. Raises the first error that
    ended one, InterruptedRun with `what` and `fix` where it was stopped."""
    troubles: list[Exception] = []

    def worked(seat: Seat) -> None:
        try:
            work(seat)
        except Exception as error:  # noqa: BLE001  it is raised again, in the main thread
            troubles.append(error)
            stopped.set()

    def stop(*_: Any) -> None:
        stopped.set()
        for process in {id(seat.process): seat for seat in made}.values():
            process.interrupt()

    threads = [threading.Thread(target=worked, args=(seat,), daemon=True) for seat in made]
    with _on_signal(stop):
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(0.2)  # a join without an end would keep signals waiting
            time.sleep(0 if threads[0].is_alive() else 0.2)
    if stopped.is_set():
        raise next(
            (one for one in troubles if not isinstance(one, errors.InterruptedRun)),
            errors.InterruptedRun(what, fix=fix),
        )


@contextlib.contextmanager
def _on_signal(stop: Callable[..., None]) -> Generator[None]:
    """Ctrl+C and a request to end call `stop`; in another thread than the main one nothing does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(one, signal.signal(one, stop)) for one in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for one, handler in before:
            signal.signal(one, handler)
