"""Runs a worker as a process of this machine and hands on its events. It knows no job by name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lorasmith.core import errors
from lorasmith.core.errors import EnvironmentProblem, InterruptedRun, WorkerCrash
from lorasmith.core.events import Event, Failure, Listener, Result, follow
from lorasmith.core.progress import duration

_TAIL_CHARS = 1500
_NO_MEMORY = re.compile(r"memory allocation of \d+ bytes failed|bad_alloc")
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors")


def require_training_libraries() -> None:
    """Raises EnvironmentProblem with the cure where the worker's libraries are not installed here."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"Training needs libraries that are not installed here: {', '.join(missing)}",
            fix="pip install 'lorasmith[train]'",
        )


# Of a user's variables for Python those that would spoil the environment of a model. Without compiled modules every start of a
# worker takes three times as long.
NOT_INSIDE = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")


def environment_inside() -> dict[str, str]:
    """The variables for a process in a model's own environment."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INSIDE}


SELDOM_NEEDED = ("bitsandbytes", "datasets", "scipy", "tensorflow", "torchao", "wandb")
"""Packages that libraries import wherever they are installed, and that a worker only has where it says that it needs them."""


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes the system has ended for want of memory since it started; 0 where it does not tell (not Linux)."""
    told = 0
    for file in ("proc/vmstat", "sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError):
            for line in (root / file).read_text(encoding="utf-8").splitlines():
                name, _, number = line.partition(" ")
                told += int(number) if name == "oom_kill" else 0
    return told


class Worker:
    """A started worker. `events()` yields what it tells until it ends; Ctrl+C goes to it, not to us.

    `python` is that of the environment it runs in; without it, our own. After `limit_seconds` it is ended. `needs` names those of
    SELDOM_NEEDED that the job cannot do without. `channel` is a socket that it inherits (core/channel.py).
    """

    def __init__(
        self, job: str, spec_path: Path, events_path: Path, log_path: Path, *,
        python: Path | None = None, limit_seconds: float | None = None, needs: tuple[str, ...] = (),
        channel: int | None = None,
    ):  # fmt: skip
        self.job = job
        self.python = python or Path(sys.executable)
        self.log_path = log_path
        self._events_path = events_path
        self._start = events_path.stat().st_size if events_path.exists() else 0
        self._interrupts = 0
        self._oom_kills_before = oom_kills()
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.python), "-m", f"lorasmith.workers.{job}", str(spec_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=(os.environ if self.python == Path(sys.executable) else environment_inside())
                | {"PYTHONUNBUFFERED": "1", "LORASMITH_WITHOUT": ",".join(sorted(set(SELDOM_NEEDED) - set(needs)))}
                | ({} if channel is None else {"LORASMITH_CHANNEL": str(channel)}),
                pass_fds=() if channel is None else (channel,),
            )

        self._limit_seconds = limit_seconds
        self._ran_out = threading.Event()
        self._timer = threading.Timer(limit_seconds, self._run_out) if limit_seconds else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def _run_out(self) -> None:
        self._ran_out.set()
        self.process.kill()

    def events(self) -> Iterator[Event]:
        """Events until the worker is gone. Raises what it reported, or WorkerCrash where it said nothing."""
        ended = False
        for event in follow(self._events_path, lambda: self.process.poll() is None, start=self._start):
            if isinstance(event, Failure):
                raise errors.from_dict(event.error)
            ended = isinstance(event, Result) or ended
            yield event
        if self.process.wait() != 0 or not ended:
            raise self.crash()

    def interrupt(self, *_: int | FrameType | None) -> None:
        """The first time: ask for a clean end. The second: end it now."""
        self._interrupts += 1
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if self._interrupts == 1 else signal.SIGKILL)

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._timer:
            self._timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def crash(self) -> errors.LorasmithError:
        """What to tell of a worker that ended without a word of its own."""
        code = self.process.wait()
        tail = self.log_path.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARS:].strip()
        if self._interrupts:
            return InterruptedRun(f"The {self.job} worker was stopped")
        if self._ran_out.is_set():
            return WorkerCrash(
                f"The {self.job} worker took longer than {duration(self._limit_seconds or 0)} and was stopped", why=tail
            )
        # Rust's libraries abort where they get no memory; torch's and Python's errors can be handled, and are.
        if code == -signal.SIGABRT and _NO_MEMORY.search(tail):
            return WorkerCrash(f"The {self.job} worker died of memory", why=tail.split("\n")[0], out_of_memory=True)
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills_before:
            return WorkerCrash(
                f"The {self.job} worker was ended by the system",
                why="Memory ran out, and the system chose it.",
                out_of_memory=True,
            )
        if code == -signal.SIGKILL:
            return WorkerCrash(
                f"The {self.job} worker was killed from outside",
                why="Often the system does this when memory runs out.",
                fix="Go on from its last checkpoint with --resume; with less memory: --batch-size 1.",
            )
        why = f"Its last words, from '{self.log_path}':\n{tail}" if tail else f"It wrote nothing to '{self.log_path}'."
        return WorkerCrash(f"The {self.job} worker ended without a result (exit code {code})", why=why)


def run(worker: Worker, listener: Listener) -> dict[str, Any]:
    """Follow `worker` to its end and return its result; Ctrl+C meanwhile asks it to end cleanly."""
    value: dict[str, Any] = {}
    previous = None
    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us there stops the worker itself
        previous = signal.signal(signal.SIGINT, worker.interrupt)
    try:
        for event in worker.events():
            if isinstance(event, Result):
                value = event.value
            listener(event)
    finally:
        worker.close()
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
    return value
