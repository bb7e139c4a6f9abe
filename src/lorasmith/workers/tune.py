"""The search's worker: base and rows are loaded once, and trial after trial is put on, trained, taken off (TUN-2, TUN-3).

It is told what to do over its channel, one command at a time, and ends when nobody is left at the other end.
"""

from __future__ import annotations

import gc
import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from lorasmith.core import paths
from lorasmith.core.channel import Channel, Frame
from lorasmith.core.errors import LorasmithError
from lorasmith.core.events import Event, Metric, Progress, Writer
from lorasmith.evaluation.spec import EvaluateJob
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Learning
from lorasmith.training.spec import LOCK_FILE, WorkerSpec
from lorasmith.tuning.spec import Trained, Trouble, TuneJob
from lorasmith.workers import lora
from lorasmith.workers.attempt import Attempt, Material, finish, gather
from lorasmith.workers.course import Diverged
from lorasmith.workers.evaluate import answered, answered_samples
from lorasmith.workers.rows import Rows
from lorasmith.workers.runtime import as_problem, end_with_parent, is_out_of_memory, quiet_libraries
from lorasmith.workers.together import Company, shared

_AT_THEIR_END = {"completed", "early_stopping_patience", "moderate_overfitting", "severe_overfitting"}


class _Told(Writer):
    """Keeps a trial's events in its folder and passes on how far it is, and its numbers."""

    def __init__(self, path: Path, tell: Callable[[dict[str, Any]], None]):
        super().__init__(path)
        self._tell = tell

    def send(self, event: Event) -> None:
        super().send(event)
        if isinstance(event, Progress | Metric):
            self._tell({"event": event.model_dump(mode="json")})


def _nobody(_: dict[str, Any]) -> None:
    """Nobody is told."""


class Bench:
    """Everything that trials share."""

    def __init__(self, start: WorkerSpec):
        self.start = start
        self.material: Material | None = None
        self.company: Company | None = None
        """Of the trials that are trained at the same time, where several are."""

    def load(self) -> Material:
        """The base with nothing on it, and the rows. Raises what `gather` raises."""
        if self.material is None:
            with Writer(self.start.run_folder / "events.jsonl") as events:
                self.material = gather(self.start, events)
        return self.material

    def train(self, spec: WorkerSpec, tell: Callable[[dict[str, Any]], None] = _nobody) -> Trained | Trouble:
        """Train a trial to its next pause, or to its end; its adapter and report are then in its folder. What is no trial of a
        search has rows of its own. `tell` hears of it."""
        shares = self.load()
        attempt: Attempt | None = None
        with paths.only_one(spec.run_folder / LOCK_FILE), _Told(spec.run_folder / "events.jsonl", tell) as told:
            try:
                material = shares if spec.trial else gather(spec, told, shares.model)
                if not isinstance(material.knows, Learning):  # which has hold of the very model that it was made for
                    material = replace(material, model=shared(material.model))
                attempt = Attempt(spec, told, material=material, company=self.company)
                attempt.run()
                if spec.trial is None or attempt.course.stop_reason in _AT_THEIR_END:
                    finish(attempt)
                result = _trained(attempt)
            except Diverged as error:
                result = Trouble(kind="diverged", reason=str(error))
            except Exception as error:  # noqa: BLE001  a trial that fails does not end the search
                traceback.print_exc()
                kind = "out_of_memory" if is_out_of_memory(error) else "failed"
                problem = as_problem(error)
                result = Trouble(kind=kind, reason=str(error).split("\n", 1)[0], error=problem.as_dict())
            self._clear(attempt)
        if isinstance(result, Trained):
            result = result.model_copy(update={"resident_bytes": psutil.Process().memory_info().rss})
        return result

    def _clear(self, attempt: Attempt | None) -> None:
        """Take the trial's adapter off, where it is on the model that others will be put on; where it is unclear what it has
        left, the base is loaded anew for the next."""
        if attempt is not None:
            attempt.close()
        learner = getattr(attempt, "learner", None)
        if learner is None:
            self.material = None
        elif self.material and isinstance(self.material.knows, Learning):
            lora.remove_lora(learner.model)  # from the part that wore it, which is as it was
        del attempt, learner
        gc.collect()

    def answer(self, job: EvaluateJob, threshold: int, tell: Callable[[dict[str, Any]], None] = _nobody) -> None:
        """Have the base and the adapters that `job` names answer held-out rows."""
        material = self.load()
        rows = Rows(
            job.data_path, threshold, "validation", max_length=job.max_length, limit=job.spec.sample or 0
        )  # fmt: skip
        knows = material.knows
        wearer = FAMILIES.get(job.family).wearer(material.model) if isinstance(knows, Learning) else material.model
        model = lora.load_adapters(wearer, job.adapters)
        try:
            with _Told(job.events, tell) as told:
                found = (
                    answered_samples(job, model, rows, knows, told)
                    if isinstance(knows, Learning)
                    else answered(job, model, rows, knows, told)
                )
                paths.write_json(job.answers_path, found)
        finally:
            base = lora.remove_lora(model)
            if not isinstance(knows, Learning):
                material.model = base


def _trained(attempt: Attempt) -> Trained:
    course = attempt.course
    return Trained(
        stop_reason=course.stop_reason, step=attempt.step, seconds=course.elapsed(), resident_bytes=0,
        losses={one.step: one.val_loss for one in course.history},
    )  # fmt: skip


class _Hub:
    """Carries out what the channel asks, each seat's commands one after the other, those of several seats side by side."""

    def __init__(self, bench: Bench, channel: Channel, seats: int):
        self._bench, self._channel, self._seats = bench, channel, seats
        self._asked: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Until nobody is left at the other end."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            company = self._bench.company
            is_busy = company is not None and company.is_busy
            try:
                frame = self._asked.get(block=not is_busy)
            except queue.Empty:
                frame = None
                if company:
                    company.turn()
                continue
            if frame is None:
                return
            self._begin(frame.header)

    def _listen(self) -> None:
        while frame := self._channel.receive():
            self._asked.put(frame)
        self._asked.put(None)

    def _begin(self, command: dict[str, Any]) -> None:
        if self._seats == 1:
            self._carry_out(command)
            return
        if self._bench.company is None:
            try:
                self._bench.company = Company(self._bench.load().model)
            except Exception as error:  # noqa: BLE001  everything must reach the user
                self._failed(command["seat"], error)
                return
        self._bench.company.begin(lambda: self._carry_out(command))

    def _carry_out(self, command: dict[str, Any]) -> None:
        seat = command["seat"]

        def tell(said: dict[str, Any]) -> None:
            self._channel.send({"seat": seat, **said})

        try:
            tell(_done(self._bench, command, tell))
        except Exception as error:  # noqa: BLE001  everything must reach the user
            self._failed(seat, error)

    def _failed(self, seat: int, error: Exception) -> None:
        traceback.print_exc()
        problem = error if isinstance(error, LorasmithError) else as_problem(error)
        self._channel.send({"seat": seat, "failed": problem.as_dict()})


def _done(bench: Bench, command: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """What there is to say when the command has been carried out."""
    if command["do"] == "answer":
        bench.answer(EvaluateJob.model_validate(command["job"]), command["threshold"], tell)
        return {"done": {}}
    result = bench.train(WorkerSpec.model_validate(command["spec"]), tell)
    return {"trouble" if isinstance(result, Trouble) else "done": result.model_dump(mode="json")}


def main() -> None:
    """Carry out what is asked until nobody asks any more."""
    quiet_libraries()
    end_with_parent()
    job = TuneJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channel = Channel(socket.socket(fileno=int(os.environ["LORASMITH_CHANNEL"])))
    _Hub(Bench(job.start), channel, job.seats).run()
    os._exit(0)


if __name__ == "__main__":
    main()
