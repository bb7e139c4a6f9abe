"""The training worker: base, data and plan in; adapter (or model), report and events out.

It tries, and where memory runs out or the loss leaves its path it takes one step back and tries again, smaller or slower.
"""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import LorasmithError
from lorasmith.core.events import Decision, Writer
from lorasmith.training import autolearn
from lorasmith.training.ladder import step_down
from lorasmith.training.spec import LOCK_FILE, DecisionMade, WorkerSpec, checkpoint_step
from lorasmith.workers.attempt import Attempt, finish
from lorasmith.workers.course import Diverged
from lorasmith.workers.runtime import is_out_of_memory, run_job, unlimit_memory
from lorasmith.workers.trainer import (
    checkpoints,
    good_checkpoints,
    point_to,
    read_state,
)


def train(text: str, events: Writer) -> dict[str, Any]:
    """The whole of a training, as `WorkerSpec` says."""
    spec = WorkerSpec.model_validate_json(text)
    with paths.only_one(spec.run_folder / LOCK_FILE):
        paths.recover_folder(spec.run_folder / "checkpoints" / "best")
        return _train(spec, events)


def _train(spec: WorkerSpec, events: Writer) -> dict[str, Any]:
    turns = read_state(spec.resume_from)["turns"] if spec.resume_from else 0
    while True:
        attempt = Attempt(spec, events, turns)
        diverged, wanted, rescued = "", "", None
        try:
            if turns > autolearn.MAX_TURNS:
                _give_up(attempt)
            else:
                attempt.run()
            return finish(attempt)
        except Diverged as error:
            diverged = str(error)
        except Exception as error:
            if isinstance(error, LorasmithError) or not is_out_of_memory(error):
                raise
            wanted = str(error).split("\n", 1)[0]
            rescued = attempt.rescue()
        step = attempt.step
        attempt.close()
        unlimit_memory()
        del attempt  # and with it the model, before the next is loaded
        gc.collect()
        if diverged:
            turns += 1
            spec = _turned_back(spec, step, diverged, turns)
        else:
            last = spec.run_folder / "checkpoints" / "last"
            spec = step_down(spec, rescued or (last.resolve() if last.exists() else None), step, wanted)
        decision = spec.made[-1]
        events.send(Decision(**decision.model_dump(), lines=[f"step {step}: {decision.reason}"]))


def _turned_back(spec: WorkerSpec, step: int, trouble: str, turns: int) -> WorkerSpec:
    """Back to the last evaluated checkpoint, or to the start, with half the learning rate (TRN-4). What came after is removed, so
    that a run that is stopped and resumed goes the same way."""
    folder = spec.run_folder / "checkpoints"
    target = next(iter(good_checkpoints(folder)[::-1]), None)
    for checkpoint in checkpoints(folder):
        if target is None or checkpoint_step(checkpoint) > checkpoint_step(target):
            shutil.rmtree(checkpoint)
    if target:
        point_to(folder, target)
    else:
        (folder / "last").unlink(missing_ok=True)
        shutil.rmtree(folder / "best", ignore_errors=True)
    where = f"step {checkpoint_step(target)}" if target else "the start"
    rate = spec.plan.learning_rate * 0.5**turns
    then = f"the learning rate is halved to {rate:.3g}"
    if turns > autolearn.MAX_TURNS:
        then = f"it has turned back {autolearn.MAX_TURNS} times already, so it ends"
    reason = f"{trouble}: back to {where}, {then}"
    decision = DecisionMade(step=step, name="turned_back", reason=reason)
    return spec.model_copy(update={"resume_from": target, "made": [*spec.made, decision]})


def _give_up(attempt: Attempt) -> None:
    """The end of a training that diverges whatever the rate: the state that it turned back to is what is kept."""
    course = attempt.prepare()
    course.stop_reason = "diverged"
    if attempt.spec.resume_from:
        attempt.learner.restore(attempt.spec.resume_from)
        course.trainer.state.global_step = checkpoint_step(attempt.spec.resume_from)


if __name__ == "__main__":
    run_job(train, lambda text: Path(json.loads(text)["run_folder"]) / "events.jsonl")
