"""The training worker: base, adapters, data and plan in; adapter, report and events out."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainerCallback

from lorasmith.core import paths
from lorasmith.core.errors import DataProblem
from lorasmith.core.events import Checkpoint, Decision, Metric, Progress, Warn, Writer
from lorasmith.core.facts import DataFacts
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.families import FAMILIES
from lorasmith.trackers import TRACKERS
from lorasmith.training import autolearn, report
from lorasmith.training.spec import LOCK_FILE, WorkerSpec
from lorasmith.workers import lora
from lorasmith.workers.generate import answer_rows
from lorasmith.workers.measure import RowLoss, row_losses
from lorasmith.workers.rows import Rows
from lorasmith.workers.runtime import give_blocks_back, run_job
from lorasmith.workers.trainer import STATE_FILE, LoraTrainer

SAVE_EVERY_SECONDS = 300.0
PROGRESS_EVERY_SECONDS = 0.5
NUM_SAMPLES = 4
_CUT_SHARE = 0.2


class Course(TrainerCallback):
    """Watches the steps: tells of them, evaluates, keeps the best adapter, and decides when to stop."""

    def __init__(self, spec: WorkerSpec, events: Writer, validation: Rows, adapters: Path):
        self.spec, self.events, self.validation = spec, events, validation
        self.plan = spec.plan
        self.best_folder = adapters
        self.history: list[autolearn.Evaluation] = []
        self.stop_reason: autolearn.StopReason = "completed"
        self.losses_since: list[float] = []
        self.tokens = self.supervised = 0
        self.seconds_before = self.train_seconds = 0.0
        self.asked_to_stop = False
        self.parent = os.getppid()
        self.started = self.step_started = self.last_told = time.monotonic()
        self.trainer: LoraTrainer
        self.trackers = [] if spec.spec.no_tensorboard else [TRACKERS.get("tensorboard")]
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self.asked_to_stop = True

    # State that a checkpoint keeps.

    def state(self) -> dict[str, Any]:
        return {
            "history": [evaluation.model_dump() for evaluation in self.history],
            "losses_since": self.losses_since,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": self.elapsed(),
            "train_seconds": self.train_seconds,
        }

    def restore(self, checkpoint: Path) -> None:
        state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        self.history = [autolearn.Evaluation(**fields) for fields in state["history"]]
        self.losses_since = state["losses_since"]
        self.tokens, self.supervised = state["tokens"], state["supervised"]
        self.seconds_before, self.train_seconds = state["seconds"], state["train_seconds"]

    def elapsed(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    # Trainer's hooks.

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for tracker in self.trackers:
            tracker.start(self.spec.run_folder, state.global_step)
        self.started = self.step_started = time.monotonic()
        self._tell(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        step = state.global_step
        facts = self.trainer.take_step_facts()
        self.losses_since.append(facts["loss"])
        self.tokens += int(facts["tokens"])
        self.supervised += int(facts["supervised"])
        now = time.monotonic()
        seconds = now - self.step_started
        self.train_seconds += seconds
        self._track(step, facts, seconds)
        if now - self.last_told >= PROGRESS_EVERY_SECONDS or step == self.plan.steps:
            self._tell(step)
        over = step == self.plan.steps
        if self.plan.evaluations and (step % self.plan.eval_every == 0 or over):
            self._evaluate(step, control)
        self._look_around(control)
        if control.should_training_stop or time.monotonic() - self.trainer.last_save > SAVE_EVERY_SECONDS:
            control.should_save = True
        if control.should_save or over:
            control.should_save = True
            self.trainer.extra_state = self.state()
        self.step_started = time.monotonic()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        path = str(self.trainer.folder / f"checkpoint-{state.global_step}")
        self.events.send(Checkpoint(step=state.global_step, path=path))
        self.step_started = time.monotonic()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for tracker in self.trackers:
            tracker.close()

    # What they do.

    def _tell(self, step: int) -> None:
        self.last_told = time.monotonic()
        rate = step / self.train_seconds if self.train_seconds else None
        loss = f"loss {self.losses_since[-1]:.3f}" if self.losses_since else ""
        left = (self.plan.steps - step) * self.elapsed() / step if step else None
        self.events.send(
            Progress(stage="train", done=step, total=self.plan.steps, rate=rate, seconds_left=left, note=loss)
        )

    def _track(self, step: int, facts: dict[str, float], seconds: float) -> None:
        values = {
            "loss/train": facts["loss"],
            "learning_rate": self.trainer._get_learning_rate(),
            "gradient_norm": facts["gradient_norm"],
            "tokens_per_second": facts["tokens"] / seconds,
            "supervised_tokens_per_second": facts["supervised"] / seconds,
            "memory_bytes": float(report.peak_memory_bytes(self.plan.device)),
            "seconds_left": (self.plan.steps - step) * self.elapsed() / step,
        }
        self._log(step, values)

    def _log(self, step: int, values: dict[str, float]) -> None:
        self.events.send(Metric(step=step, values=values))
        for tracker in self.trackers:
            tracker.log(step, values)

    def _evaluate(self, step: int, control: Any) -> None:
        losses = validation_losses(self.trainer.model, self.validation, self.spec)
        tokens = sum(loss.tokens for loss in losses)
        self.history.append(
            autolearn.Evaluation(
                number=len(self.history) + 1,
                step=step,
                train_loss=_mean(self.losses_since),
                val_loss=sum(loss.nll for loss in losses) / tokens,
                token_accuracy=sum(loss.correct for loss in losses) / tokens,
                exact_match=sum(loss.exact for loss in losses) / len(losses),
            )
        )
        self.losses_since = []
        asked = self.spec.spec
        verdict = autolearn.judge(
            self.history, autolearn.Thresholds(asked.patience, asked.overfitting_threshold, asked.min_evaluations)
        )
        last = self.history[-1]
        if verdict.is_best:
            paths.write_folder(self.best_folder, lambda folder: lora.save_adapter(self.trainer.model, folder))
        if verdict.stop and step < self.plan.steps:
            self.stop_reason = verdict.stop
            control.should_training_stop = True
        control.should_save = True
        self._log(
            step,
            {
                "loss/validation": last.val_loss,
                "overfitting_score": verdict.gap,
                "token_accuracy": last.token_accuracy,
                "exact_match": last.exact_match,
            },
        )
        lines = autolearn.describe(self.history, verdict, self.plan.steps)
        self.events.send(Decision(step=step, name=verdict.stop or "continue", reason=verdict.reason, lines=lines))

    def _look_around(self, control: Any) -> None:
        """Reasons to stop that come from outside."""
        limit = self.spec.spec.time_limit
        abandoned = self.spec.watch_parent and os.getppid() != self.parent
        if self.asked_to_stop or abandoned:
            self.stop_reason = "stopped_by_user"
            control.should_training_stop = True
        elif limit is not None and self.elapsed() > 60 * limit:
            self.stop_reason = "time_limit"
            control.should_training_stop = True


def validation_losses(model: Any, rows: Rows, spec: WorkerSpec) -> list[RowLoss]:
    plan = spec.plan
    tokens = plan.micro_batch * plan.max_length
    return row_losses(model, rows, batch_tokens=tokens, pad=0, device=plan.device)


def train(text: str, events: Writer) -> dict[str, Any]:
    """The whole of a training, as `WorkerSpec` says."""
    spec = WorkerSpec.model_validate_json(text)
    with paths.only_one(spec.run_folder / LOCK_FILE):
        return _train(spec, events)


def _train(spec: WorkerSpec, events: Writer) -> dict[str, Any]:
    plan, run = spec.plan, spec.run_folder
    facts = DataFacts(**spec.data_facts)
    if plan.tight_memory:
        give_blocks_back()
    transformers.set_seed(spec.spec.seed)
    train_rows = Rows(run / "data.arrow", facts.threshold, "train", max_length=plan.max_length)
    validation = Rows(
        run / "data.arrow", facts.threshold, "validation", max_length=plan.max_length, limit=plan.eval_rows
    )
    _check_rows(train_rows, spec, events)
    tokenizer = load_tokenizer(spec.model_folder)
    base = FAMILIES.get(spec.family).load(spec.model_folder, dtype=plan.precision, device=plan.device)
    transformers.set_seed(spec.spec.seed)  # adapters start the same however much loading drew from the generator
    model = lora.apply_lora(base, plan, spec.model_id if "/" in spec.model_id else str(spec.model_folder))
    course = Course(spec, events, validation, run / "checkpoints" / "best")
    course.trainer = LoraTrainer(
        model=model, rows=train_rows, plan=plan, folder=run / "checkpoints", seed=spec.spec.seed, pad=tokenizer.pad_id
    )
    course.trainer.add_callback(course)
    if spec.resume_from:
        course.restore(spec.resume_from)
    course.trainer.train(resume_from_checkpoint=str(spec.resume_from) if spec.resume_from else None)
    return _finish(spec, facts, course, model, tokenizer)


def _check_rows(rows: Rows, spec: WorkerSpec, events: Writer) -> None:
    if not len(rows):
        raise DataProblem(
            "No row has a token to learn", why=f"At {spec.plan.max_length} tokens a row nothing of the answers is left.",
            fix="Raise --max-length.",
        )  # fmt: skip
    if (
        rows.answers_cut > _CUT_SHARE * len(rows)
        and not spec.spec.allow_truncation
        and spec.spec.objective != "pretrain"
    ):
        raise DataProblem(
            f"{rows.answers_cut} of {len(rows)} answers would be cut off at {spec.plan.max_length} tokens",
            why="A model that never sees how answers end does not learn to end them.",
            fix="Raise --max-length, or go on with --allow-truncation.",
        )
    if rows.answers_cut:
        events.send(
            Warn(message=f"{rows.answers_cut} of {len(rows)} answers are cut off at {spec.plan.max_length} tokens")
        )


def _finish(spec: WorkerSpec, facts: DataFacts, course: Course, model: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    """Keep the best adapter, compare it with the base, write what the run leaves behind."""
    run = spec.run_folder
    peak = report.peak_memory_bytes(spec.plan.device)
    if course.history and course.best_folder.exists():
        lora.restore_adapter(model, course.best_folder)
    model.eval()
    comparison, samples = None, []
    if len(course.validation):
        tuned = validation_losses(model, course.validation, spec)
        with model.disable_adapter():
            untouched = validation_losses(model, course.validation, spec)
        comparison = {"base": _summary(untouched), "tuned": _summary(tuned), "rows": len(tuned)}
        samples = _samples(model, course.validation, tokenizer, spec)

    def fill(folder: Path) -> None:
        lora.save_adapter(model, folder)
        if spec.template:
            (folder / "chat_template.jinja").write_text(spec.template, encoding="utf-8")

    paths.write_folder(run / "lora", fill)
    outcome = report.Outcome(
        stop_reason=course.stop_reason,
        steps_done=course.trainer.state.global_step,
        seconds=course.elapsed(),
        train_seconds=course.train_seconds,
        tokens=course.tokens,
        supervised_tokens=course.supervised,
        peak_memory_bytes=peak,
        history=course.history,
        last_train_loss=course.history[-1].train_loss if course.history else _mean(course.losses_since),
        comparison=comparison,
        samples=samples,
        versions={"torch": torch.__version__, "transformers": transformers.__version__, "peft": lora.peft.__version__},
    )
    return report.write(spec, facts, outcome)


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def _summary(losses: list[RowLoss]) -> dict[str, float]:
    tokens = sum(loss.tokens for loss in losses)
    return {
        "val_loss": sum(loss.nll for loss in losses) / tokens,
        "exact_match": sum(loss.exact for loss in losses) / len(losses),
    }


def _samples(model: Any, rows: Rows, tokenizer: Tokenizer, spec: WorkerSpec) -> list[dict[str, str]]:
    """A few held-out rows with the answers before and after."""
    chosen = [rows[index] for index in range(min(NUM_SAMPLES, len(rows)))]
    prompts = [row.ids[: row.spans[-1][0]] for row in chosen]
    limit = min(256, max(stop - start for row in chosen for start, stop in row.spans[-1:]) + 16)
    after = answer_rows(model, prompts, tokenizer, max_new_tokens=limit, device=spec.plan.device)
    with model.disable_adapter():
        before = answer_rows(model, prompts, tokenizer, max_new_tokens=limit, device=spec.plan.device)
    decode = tokenizer.encoder.decode
    return [
        {"prompt": decode(prompt), "wanted": decode(row.ids[slice(*row.spans[-1])]), "before": old, "after": new}
        for row, prompt, old, new in zip(chosen, prompts, before, after, strict=True)
    ]


if __name__ == "__main__":
    run_job(train, lambda text: Path(json.loads(text)["run_folder"]) / "events.jsonl")
