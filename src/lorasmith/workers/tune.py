"""The search's worker: base and rows are loaded once, and trial after trial is put on, trained, taken off (TUN-2, TUN-3).

It is told what to do over its channel, one command at a time, and ends when nobody is left at the other end.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import psutil

from lorasmith.core import paths
from lorasmith.core.channel import Channel
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

_AT_THEIR_END = {"completed", "early_stopping_patience", "moderate_overfitting", "severe_overfitting"}


class _Told(Writer):
    """Keeps a trial's events in its folder and passes on how far it is, and its numbers."""

    def __init__(self, path: Path, channel: Channel | None):
        super().__init__(path)
        self._channel = channel

    def send(self, event: Event) -> None:
        super().send(event)
        if self._channel and isinstance(event, Progress | Metric):
            self._channel.send({"event": event.model_dump(mode="json")})


class Bench:
    """Everything that trials share. `channel` is told of their progress."""

    def __init__(self, start: WorkerSpec, channel: Channel | None = None):
        self.start, self.channel = start, channel
        self.material: Material | None = None

    def load(self) -> Material:
        """The base with nothing on it, and the rows. Raises what `gather` raises."""
        if self.material is None:
            with Writer(self.start.run_folder / "events.jsonl") as events:
                self.material = gather(self.start, events)
        return self.material

    def train(self, spec: WorkerSpec) -> Trained | Trouble:
        """Train a trial to its next pause, or to its end; its adapter and report are then in its folder."""
        material = self.load()
        attempt: Attempt | None = None
        with paths.only_one(spec.run_folder / LOCK_FILE), _Told(spec.run_folder / "events.jsonl", self.channel) as told:
            try:
                attempt = Attempt(spec, told, material=material)
                attempt.run()
                if attempt.course.stop_reason in _AT_THEIR_END:
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
        """Take the trial's adapter off; where it is unclear what it has left, the base is loaded anew for the next."""
        if attempt is not None:
            attempt.close()
        learner = getattr(attempt, "learner", None)
        if learner is None or self.material is None:
            self.material = None
        else:
            base = lora.remove_lora(learner.model)
            if not isinstance(self.material.knows, Learning):  # else adapters are on a part of it, which is as it was
                self.material.model = base
        del attempt, learner
        gc.collect()

    def answer(self, job: EvaluateJob, threshold: int) -> None:
        """Have the base and the adapters that `job` names answer held-out rows."""
        material = self.load()
        rows = Rows(
            job.data_path, threshold, "validation", max_length=job.max_length, limit=job.spec.sample or 0
        )  # fmt: skip
        knows = material.knows
        wearer = FAMILIES.get(job.family).wearer(material.model) if isinstance(knows, Learning) else material.model
        model = lora.load_adapters(wearer, job.adapters)
        try:
            with _Told(job.events, self.channel) as told:
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


def _done(bench: Bench, command: dict[str, Any]) -> dict[str, Any]:
    """What there is to say when the command has been carried out."""
    if command["do"] == "answer":
        bench.answer(EvaluateJob.model_validate(command["job"]), command["threshold"])
        return {"done": {}}
    result = bench.train(WorkerSpec.model_validate(command["spec"]))
    return {"trouble" if isinstance(result, Trouble) else "done": result.model_dump(mode="json")}


def main() -> None:
    """Carry out what is asked until nobody asks any more."""
    quiet_libraries()
    end_with_parent()
    job = TuneJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channel = Channel(socket.socket(fileno=int(os.environ["LORASMITH_CHANNEL"])))
    bench = Bench(job.start, channel)
    while frame := channel.receive():
        try:
            reply = _done(bench, frame.header)
        except Exception as error:  # noqa: BLE001  everything must reach the user
            traceback.print_exc()
            problem = error if isinstance(error, LorasmithError) else as_problem(error)
            reply = {"failed": problem.as_dict()}
        channel.send(reply)
    os._exit(0)


if __name__ == "__main__":
    main()
