"""The search's worker as the control plane has it: one command at a time, its progress passed on, its death told."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

from lorasmith.core import errors, paths
from lorasmith.core.channel import Channel
from lorasmith.core.events import Listener, parsed
from lorasmith.evaluation.spec import EvaluateJob
from lorasmith.runners.local import Worker
from lorasmith.training.spec import WorkerSpec
from lorasmith.tuning.spec import Trained, Trouble, TuneJob


class Bench:
    """A worker process with the base and the rows in memory; started when it is first needed, and again after it has died."""

    def __init__(self, job: TuneJob, folder: Path, *, python: Path, needs: tuple[str, ...], number: int = 0):
        self._job, self._folder, self._number = job, folder, number
        self._python, self._needs = python, needs
        self._worker: Worker | None = None
        self._channel: Channel | None = None

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
        if self._worker:
            self._worker.interrupt()

    def close(self) -> None:
        if self._worker:
            self._worker.close()
        if self._channel:
            self._channel.close()
        self._worker = self._channel = None

    def _ask(self, command: dict[str, Any], listener: Listener) -> dict[str, Any]:
        worker, channel = self._started()
        try:
            channel.send(command)
        except OSError:
            raise self._dead(worker) from None
        while frame := channel.receive():
            if event := frame.header.get("event"):
                listener(parsed(event))
            elif problem := frame.header.get("failed"):
                raise errors.from_dict(problem)
            else:
                return frame.header
        raise self._dead(worker)

    def _started(self) -> tuple[Worker, Channel]:
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
        return self._worker, self._channel

    def _dead(self, worker: Worker) -> errors.LorasmithError:
        problem = worker.crash()
        self.close()
        return problem


@contextlib.contextmanager
def benches(number: int, job: TuneJob, folder: Path, *, python: Path, needs: tuple[str, ...]) -> Generator[list[Bench]]:
    """So many of them, each ended at the end."""
    made = [Bench(job, folder, python=python, needs=needs, number=one) for one in range(number)]
    try:
        yield made
    finally:
        for bench in made:
            bench.close()
