"""What happens between the steps: progress is told, evaluations are made and judged, and the run ends or turns back."""

from __future__ import annotations

import copy
import math
import os
import signal
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from lorasmith.core import paths
from lorasmith.core.events import Checkpoint, Decision, Metric, Progress, Step, Writer
from lorasmith.core.progress import amount, duration
from lorasmith.evaluation.metrics import METRICS
from lorasmith.families._head import has_unknown_tail
from lorasmith.plan import energy
from lorasmith.trackers import TRACKERS
from lorasmith.trackers._base import LocalTracker
from lorasmith.training import autolearn, report
from lorasmith.training.spec import DecisionMade, WorkerSpec
from lorasmith.workers import lora
from lorasmith.workers.comparison import scored, summary
from lorasmith.workers.learner import Learner, require_finite
from lorasmith.workers.rehearsal import Rehearsed, joining_agrees, packing_agrees, rehearse
from lorasmith.workers.rows import Rows
from lorasmith.workers.samples import SampleTrainer
from lorasmith.workers.trainer import Run, read_state

SAVE_EVERY_SECONDS = 300.0
PROGRESS_EVERY_SECONDS = 0.5
_PEAK_EVERY_SECONDS = 0.5

_LIVE: weakref.WeakSet[Course] = weakref.WeakSet()
"""All that a signal asks to stop: several trainings may go on in one process."""


class Diverged(Exception):
    """The loss has left the path."""


class Course(TrainerCallback):
    """Watches the steps: tells of them, evaluates, keeps the best adapter, and decides when to stop."""

    def __init__(self, spec: WorkerSpec, events: Writer, trainer: Run, learner: Learner, validation: Rows):
        self.spec, self.events, self.validation = spec, events, validation
        self.trainer, self.learner, self.plan = trainer, learner, trainer.plan
        self.best_folder = spec.run_folder / "checkpoints" / "best"
        self.history: list[autolearn.Evaluation] = []
        self.decisions: list[DecisionMade] = []
        self.stop_reason: autolearn.StopReason = "completed"
        self.losses_since: list[float] = []
        self.watch = autolearn.LossWatch()
        self.base_loss: float | None = None
        """The untouched base's loss on the same rows, where it is of the same kind."""
        self.turns = 0
        self.tokens = self.supervised = 0
        self.seconds_before = self.train_seconds = 0.0
        self.rehearsed: Rehearsed | None = None
        self.predicted_seconds = self.course_seconds = 0.0
        self.meter: energy.EnergyMeter | None = None
        self.joules_before: float | None = 0.0
        self.energy_joules: float | None = None
        self.asked_to_stop = False
        self.peak = self.peak_seen = 0.0
        self.parent = os.getppid()
        self.started = self.step_started = self.last_told = self._now()
        # Copies: several trainings may go on in one process, each with files of its own.
        found = [] if spec.spec.no_tensorboard else [copy.copy(TRACKERS.get(name)) for name in spec.trackers]
        self.trackers = [one for one in found if isinstance(one, LocalTracker)]
        _LIVE.add(self)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _now(self) -> float:
        """Seconds, without those that go to other trainings in this process."""
        return time.monotonic() - (self.trainer.company.away() if self.trainer.company else 0.0)

    def _on_signal(self, *_: Any) -> None:
        for course in _LIVE:
            course.asked_to_stop = True

    # State that a checkpoint keeps.

    def state(self, *, is_evaluated: bool) -> dict[str, Any]:
        return {
            "history": [evaluation.model_dump() for evaluation in self.history],
            "decisions": [decision.model_dump() for decision in self.decisions],
            "losses_since": self.losses_since,
            "watch": {"recent": self.watch.recent, "lowest": self.watch.lowest},
            "turns": self.turns,
            "rate_factor": self.trainer.rate_factor,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": self.elapsed(),
            "train_seconds": self.train_seconds,
            "predicted_seconds": self.predicted_seconds,
            "energy_joules": self.joules(),
            "is_evaluated": is_evaluated,
        }

    def restore(self, checkpoint: Path) -> None:
        state = read_state(checkpoint)
        self.history = [autolearn.Evaluation(**fields) for fields in state["history"]]
        self.decisions = [DecisionMade(**fields) for fields in state["decisions"]]
        self.losses_since = state["losses_since"]
        self.watch = autolearn.LossWatch(**state["watch"])
        self.turns = max(self.turns, state["turns"])
        self.tokens, self.supervised = state["tokens"], state["supervised"]
        self.seconds_before, self.train_seconds = state["seconds"], state["train_seconds"]
        self.predicted_seconds, self.course_seconds = state["predicted_seconds"], state["seconds"]
        self.joules_before = self.energy_joules = state["energy_joules"]

    @property
    def unit(self) -> str:
        """What the losses are means over."""
        return self.trainer.learning.lesson.unit if isinstance(self.trainer, SampleTrainer) else "tokens"

    def elapsed(self) -> float:
        return self.seconds_before + self._now() - self.started

    def joules(self) -> float | None:
        """What the run has used so far; None where that cannot be read."""
        return energy.added(self.joules_before, self.meter.joules()) if self.meter else self.joules_before

    def decide(self, step: int, name: str, reason: str, lines: list[str] | None = None) -> None:
        """Tell of something decided along the way and keep it for the report."""
        self.decisions.append(DecisionMade(step=step, name=name, reason=reason))
        self.events.send(Decision(step=step, name=name, reason=reason, lines=lines or [reason]))

    # Trainer's hooks.

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        step = state.global_step
        if self.spec.resume_from:
            self.trainer.use_rate_factor(read_state(self.spec.resume_from)["rate_factor"])
        if self.learner.is_packing and not packing_agrees(
            self.trainer.model, self.trainer.rows, self.trainer.pad, self.plan.device
        ):
            self.learner.is_packing = False
        if self.plan.packing and not self.learner.is_packing:
            self.trainer.plan = self.plan = self.plan.model_copy(update={"packing": False})
            self._found(step, "unpacked", "rows are padded: this model does not keep joined rows apart")
        if self.learner.is_joined and not joining_agrees(self.trainer):
            self.learner.is_joined = False
            self._found(
                step, "not_joined", "adapters are computed by PEFT's own layers: joined, this model learns otherwise"
            )
        # Before the rehearsal takes the memory: a thread that finds none never says that it has started, and Python waits.
        for tracker in self.trackers:
            tracker.start(self.spec.run_folder, step)
        self._rehearse(step)
        if has_unknown_tail(self.trainer.model):
            self._found(
                step, "whole_logits",
                "the logits of all learnt tokens are held at once: this model changes them in a way that is not known here",
            )  # fmt: skip
        if company := self.trainer.company:
            self.trainer.goes_along = self.plan.packing and company.takes(self.trainer.model)
            if not self.trainer.goes_along:
                self._found(
                    step,
                    "alone",
                    "its steps are computed by themselves: only plain LoRA over rows that are joined shares them",
                )
        self.meter = energy.energy_meter(self.plan.device)
        self.started = self.step_started = self._now()
        self._tell(step)
        if step and self._is_due(step) and not any(evaluation.step == step for evaluation in self.history):
            self._evaluate(step, control)  # memory ran out in it
        return control

    def _found(self, step: int, name: str, reason: str) -> None:
        """Decide what the model itself decides: a resumed run finds the same again, and it is said once."""
        if not any(made.name == name for made in self.decisions):
            self.decide(step, name, reason)

    def _rehearse(self, step: int) -> None:
        if self.spec.trial:
            return  # a search would rehearse the same rows again and again; what does not fit ends its trial
        self.rehearsed = rehearse(self.trainer, self.validation)
        if not step:
            require_finite(self.rehearsed.loss, self.trainer.model, self.spec.model_folder)
        left = self.rehearsed.total_seconds(self.trainer.rows, self.spec) * (1 - step / self.plan.steps)
        self.predicted_seconds = self.predicted_seconds or left
        rows = f"{self.rehearsed.rows} longest rows" if self.rehearsed.rows > 1 else "longest row"
        note = (
            f"the {rows} at once ({self.rehearsed.tokens:,} tokens) fit: peak {amount(self.rehearsed.peak_bytes)}; "
            f"about {duration(left)} to go"
        )
        self.events.send(Step(title="rehearsed", note=note))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        lora.after_step(self.trainer.model, self.plan, state.global_step + 1)
        self.trainer.is_stepping = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.is_stepping = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        step = state.global_step
        facts = self.trainer.take_step_facts()
        self.losses_since.append(facts["loss"])
        self.tokens += int(facts["tokens"])
        self.supervised += int(facts["supervised"])
        now = self._now()
        seconds = now - self.step_started
        self.train_seconds += seconds
        self._track(step, facts, seconds)
        if trouble := self.watch.add(facts["loss"], self.base_loss):
            raise Diverged(trouble)
        if now - self.last_told >= PROGRESS_EVERY_SECONDS or step == self.plan.steps:
            self._tell(step)
        is_due = self._is_due(step)
        if is_due:
            self._evaluate(step, control)
        self._look_around(step, control)
        over = step == self.plan.steps
        overdue = time.monotonic() - self.trainer.last_save > SAVE_EVERY_SECONDS
        if control.should_training_stop or overdue or is_due or over:
            control.should_save = True
        # Kept up to date at every step: where memory runs out in the next one, this is what the run goes back to.
        self.trainer.extra_state = self.state(is_evaluated=is_due)
        self.step_started = self._now()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        path = str(self.trainer.folder / f"checkpoint-{state.global_step}")
        self.events.send(Checkpoint(step=state.global_step, path=path))
        self.step_started = self._now()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.course_seconds, self.energy_joules = self.elapsed(), self.joules()
        self.close()

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()
        for name in self.spec.integrations:  # the worker ends too quickly for what they do at its exit
            finish = getattr(sys.modules.get(name), "finish", None)
            if callable(finish):
                finish()

    # What they do.

    def _is_due(self, step: int) -> bool:
        is_measured = bool(self.plan.evaluations) and len(self.validation) > 0
        return is_measured and (step % self.plan.eval_every == 0 or step == self.plan.steps)

    def _tell(self, step: int) -> None:
        self.last_told = self._now()
        rate = step / self.train_seconds if self.train_seconds else None
        note = f"loss {self.losses_since[-1]:.3f}" if self.losses_since else ""
        if self.plan.circular:
            note += f" · pass {step / self.plan.steps * self.plan.epochs:.1f}"
        left = (self.plan.steps - step) * self.elapsed() / step if step else None
        self.events.send(
            Progress(stage="train", done=step, total=self.plan.steps, rate=rate, seconds_left=left, note=note)
        )

    def _track(self, step: int, facts: dict[str, float], seconds: float) -> None:
        values = {
            "loss/train": facts["loss"],
            "learning_rate": self.trainer._get_learning_rate(),
            "gradient_norm": facts["gradient_norm"],
            "tokens_per_second": facts["tokens"] / seconds,
            "supervised_tokens_per_second": facts["supervised"] / seconds,
            "memory_bytes": self._peak(),
            "seconds_left": (self.plan.steps - step) * self.elapsed() / step,
        }
        self._log(step, values)

    def _peak(self) -> float:
        """Looked at now and then: on a CPU it walks over all that is mapped, which takes longer than a small model's step."""
        if (now := time.monotonic()) - self.peak_seen > _PEAK_EVERY_SECONDS:
            self.peak, self.peak_seen = float(report.peak_memory_bytes(self.plan.device)), now
        return self.peak

    def _log(self, step: int, values: dict[str, float]) -> None:
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.events.send(Metric(step=step, values=finite))
        for tracker in self.trackers:
            tracker.log(step, finite)
        if self.spec.integrations:
            trainer = self.trainer
            trainer.callback_handler.on_log(trainer.args, trainer.state, trainer.control, dict(finite))

    def last_train_loss(self) -> float:
        """Mean of the steps before the last evaluation, or of all where there was none."""
        return self.history[-1].train_loss if self.history else _mean(self.losses_since)

    def thresholds(self) -> autolearn.Thresholds:
        asked = self.spec.spec
        passes = self.plan.epochs * self.plan.eval_every / self.plan.steps if self.plan.circular else 0.0
        return autolearn.Thresholds(asked.patience, asked.overfitting_threshold, asked.min_evaluations, passes)

    def _evaluate(self, step: int, control: Any) -> None:
        found = summary(self.trainer.row_losses(self.validation))
        if not math.isfinite(found["val_loss"]):
            raise Diverged("the validation loss is no finite number")
        if self.base_loss is not None and autolearn.has_risen(found["val_loss"], self.base_loss):
            raise Diverged(
                f"the validation loss is {found['val_loss']:.3g}, and the untouched base's {self.base_loss:.3g}"
            )
        number, score = len(self.history) + 1, self._score()
        self.history.append(
            autolearn.Evaluation(number=number, step=step, train_loss=_mean(self.losses_since), score=score, **found)
        )
        self.losses_since = []
        verdict = autolearn.judge(self.history, self.thresholds())
        last = self.history[-1]
        if verdict.is_best:
            paths.write_folder(self.best_folder, self.learner.save)
        trial = self.spec.trial
        if verdict.stop and step < self.plan.steps and (trial is None or trial.stops_itself):
            self.stop_reason = verdict.stop
            control.should_training_stop = True
        elif trial and self._lowest() > trial.stop_above.get(step, math.inf):
            self.stop_reason = "outdone"
            control.should_training_stop = True
        control.should_save = True
        values = {
            "loss/validation": last.val_loss, "overfitting_score": verdict.gap, "token_accuracy": last.token_accuracy,
            "exact_match": last.exact_match, **({} if last.score is None else {"score": last.score}),
        }  # fmt: skip
        if self.plan.circular:
            values["passes"] = step / self.plan.steps * self.plan.epochs
        self._log(step, values)
        lines = autolearn.describe(self.history, verdict, self.plan.steps, self.plan.objective)
        self.decide(step, verdict.stop or "continue", verdict.reason, lines)

    def _lowest(self) -> float:
        return min(one.val_loss for one in self.history)

    def _score(self) -> float | None:
        """The family's main metric of held-out answers, where the training is to be judged by it."""
        trainer = self.trainer
        if not isinstance(trainer, SampleTrainer) or not trainer.learning.augments:
            return None
        figures, _, _ = scored(trainer.learning, trainer.model, self.validation)
        metric = METRICS.get(trainer.learning.lesson.metrics[0])
        value = next(iter(figures.values()), None)
        return value if value is None or metric.higher_is_better else 1 - value

    def _look_around(self, step: int, control: Any) -> None:
        """Reasons to stop that come from outside."""
        limit, trial = self.spec.spec.time_limit, self.spec.trial
        abandoned = self.spec.watch_parent and os.getppid() != self.parent
        if self.asked_to_stop or abandoned:
            self.stop_reason = "stopped_by_user"
            control.should_training_stop = True
        elif limit is not None and self.elapsed() > 60 * limit:
            self.stop_reason = "time_limit"
            control.should_training_stop = True
        elif trial and step == trial.pause_at < self.plan.steps and not control.should_training_stop:
            self.stop_reason = "paused"
            control.should_training_stop = True


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))
