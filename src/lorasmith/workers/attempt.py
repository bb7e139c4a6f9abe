"""One way through a training: what it starts from, the steps, and what is left behind. The training worker and the search make
their trainings of it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.integrations import get_reporting_integration_callbacks

from lorasmith.core import paths
from lorasmith.core.errors import DataProblem
from lorasmith.core.events import Warn, Writer
from lorasmith.core.facts import PREFERENCES, DataFacts
from lorasmith.data.findings import truncation
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Learning
from lorasmith.plan import hardware
from lorasmith.plan.choose import TrainPlan
from lorasmith.training import report
from lorasmith.training.spec import DATA_FILE, WorkerSpec
from lorasmith.workers import comparison, lora
from lorasmith.workers.course import Course
from lorasmith.workers.learner import Learner, load_base, require_finite, require_known
from lorasmith.workers.rows import Rows
from lorasmith.workers.runtime import give_blocks_back, is_out_of_memory, keep_blocks, limit_memory
from lorasmith.workers.samples import SampleTrainer, learning_for, readable
from lorasmith.workers.together import Company
from lorasmith.workers.trainer import LoraTrainer, Run

_LEFT_ALONE = 0.05  # of the free memory, for others


@dataclass
class Material:
    """What a training starts from, in memory. A search keeps one for all its trials."""

    knows: Tokenizer | Learning
    """What makes tokens of texts; for rows that are more than tokens what makes batches of them."""
    rows: Rows
    validation: Rows
    model: Any
    """The untouched base."""
    base: dict[str, Any] | None
    """What it makes of the held-out rows: `losses` and `answers`; None where there are none."""


def gather(spec: WorkerSpec, events: Writer, base: Any = None) -> Material:
    """Read the rows and load the base, unless it is given. Raises errors of memory, and problems of the data or the weights."""
    plan, facts = spec.plan, DataFacts(**spec.data_facts)
    (give_blocks_back if plan.tight_memory else keep_blocks)()
    transformers.set_seed(spec.spec.seed)
    data = spec.run_folder / DATA_FILE
    rows = Rows(data, facts.threshold, "train", max_length=plan.max_length)
    _check_rows(rows, spec, events)
    validation = Rows(data, facts.threshold, "validation", max_length=plan.max_length, limit=plan.eval_rows)
    model = load_base(spec) if base is None else base
    if not spec.lesson:
        require_known(model, facts.largest_id)
    knows = _learning(spec, model) if spec.lesson else load_tokenizer(spec.model_folder)
    if isinstance(knows, Learning):
        skip = spec.spec.skip_bad_rows
        rows = readable(rows, knows, skip_bad=skip, events=events)
        validation = readable(validation, knows, skip_bad=skip, events=events)
        _check_rows(rows, spec, events)
    if plan.device == "cpu" and base is None:
        limit_memory(_room(plan))
    before = None
    if len(validation):
        before = comparison.of_base(model, validation, knows, spec)
        require_finite(sum(before["losses"].values()), FAMILIES.get(spec.family).wearer(model), spec.model_folder)
    return Material(knows, rows, validation, model, before)


def _learning(spec: WorkerSpec, model: Any) -> Learning:
    learning = learning_for(spec.family, spec.model_folder, spec.lesson, model, spec.changes)
    learning.max_length, learning.augments = spec.plan.max_length, spec.spec.augment
    return learning


class Attempt:
    """One way through a training: made anew, with a smaller plan or a lower rate, where the one before broke off.

    With `material` it starts from what is in memory already; with `company` its steps are computed with those of others.
    """

    def __init__(
        self, spec: WorkerSpec, events: Writer, turns: int = 0, material: Material | None = None,
        company: Company | None = None,
    ):  # fmt: skip
        self.spec, self.events, self.turns, self.company = spec, events, turns, company
        self.facts = DataFacts(**spec.data_facts)
        self.material = material
        self.learner: Learner
        self.course: Any = None
        """A Course, once there is one."""

    def prepare(self) -> Course:
        """Everything in memory, nothing trained. Raises what `gather` raises."""
        spec = self.spec
        material = self.material = self.material or gather(spec, self.events)
        learning = material.knows if isinstance(material.knows, Learning) else None
        self.learner = Learner(spec, material.model, learning)
        trainer = self.make_trainer(material)
        trainer.company = self.company
        course = self.course = Course(spec, self.events, trainer, self.learner, material.validation)
        trainer.add_callback(course)
        trainer.args.run_name = spec.run_folder.name
        for kind in get_reporting_integration_callbacks(list(spec.integrations)):
            trainer.add_callback(kind)
        if spec.resume_from:
            course.restore(spec.resume_from)
        course.turns = self.turns
        course.base_loss = material.base["losses"].get("val_loss") if material.base else None
        course.decisions += [decision for decision in spec.made if decision not in course.decisions]
        return course

    def make_trainer(self, material: Material) -> Run:
        """The trainer for the plan's objective."""
        spec, rate_factor = self.spec, 0.5**self.turns
        if isinstance(material.knows, Learning):
            return SampleTrainer(
                learning=material.knows, model=self.learner.model, rows=material.rows, plan=spec.plan,
                folder=spec.run_folder / "checkpoints", seed=spec.spec.seed, rate_factor=rate_factor,
            )  # fmt: skip
        if spec.plan.objective in PREFERENCES:
            from lorasmith.workers import preferences

            return preferences.make_trainer(
                self.learner,
                material.rows,
                material.validation,
                spec,
                material.knows,
                self.events,
                rate_factor=rate_factor,
            )
        return LoraTrainer(
            model=self.learner.model, rows=material.rows, plan=spec.plan, folder=spec.run_folder / "checkpoints",
            seed=spec.spec.seed, pad=material.knows.pad_id, rate_factor=rate_factor,
        )  # fmt: skip

    def run(self) -> None:
        """Train to the end. Raises what `prepare` raises, and Diverged."""
        resume_from = self.spec.resume_from
        self.prepare().trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)

    @property
    def step(self) -> int:
        """The last step that was done."""
        return self.course.trainer.state.global_step if self.course else 0

    def rescue(self) -> Path | None:
        """A checkpoint of the last whole step, made though memory has run out; None where there is none to be had."""
        if self.course is None or not self.course.trainer.extra_state or self.course.trainer.is_stepping:
            return None
        trainer = self.course.trainer
        trainer.model.zero_grad(set_to_none=True)
        gc.collect()
        try:
            return trainer.save_now()
        except Exception as error:
            if is_out_of_memory(error):
                return None
            raise

    def close(self) -> None:
        if self.course:
            self.course.close()


def _room(plan: TrainPlan) -> int:
    """Bytes that may still be taken."""
    room = round((1 - _LEFT_ALONE) * hardware.ram().available)
    return min(room, plan.memory_bytes - hardware.resident_peak_bytes()) if plan.memory_bytes else room


def _check_rows(rows: Rows, spec: WorkerSpec, events: Writer) -> None:
    if not len(rows):
        raise DataProblem(
            "No row has a token to learn", why=f"At {spec.plan.max_length} tokens a row nothing of the answers is left.",
            fix="Raise --max-length.",
        )  # fmt: skip
    if spec.plan.objective == "pretrain":
        return
    for found in truncation(len(rows), rows.answers_cut, spec.plan.max_length, allowed=spec.spec.allow_truncation):
        if found.level == "fatal":
            why = "A model that never sees how answers end does not learn to end them."
            raise DataProblem(f"{found}", why=why, fix=found.fix)
        events.send(Warn(message=f"{found}."))


def finish(attempt: Attempt) -> dict[str, Any]:
    """Keep the best, compare it with the base, write what the run leaves behind."""
    spec, learner, course = attempt.spec, attempt.learner, attempt.course
    run = spec.run_folder
    peak = report.peak_memory_bytes(spec.plan.device)
    if course.history and course.best_folder.exists():
        learner.restore(course.best_folder)
    learner.model.eval()
    compared, samples = None, []
    material = attempt.material
    if material and material.base:
        rows = course.validation
        tuned = comparison.of_tuned(course.trainer, rows, spec)
        compared = {"base": material.base["losses"], "tuned": tuned, "rows": len(rows)}
        before, knows = material.base["answers"], material.knows
        if isinstance(knows, Learning):
            compared["kinds"] = material.base["kinds"]
            samples = comparison.sample_answers(knows, learner.model, rows, before)
        else:
            after = comparison.answers(learner.model, rows, knows, spec)
            samples = comparison.samples(before, after, rows, knows)

    def fill(folder: Path) -> None:
        learner.save(folder)
        if spec.template:
            (folder / "chat_template.jinja").write_text(spec.template, encoding="utf-8")

    paths.write_folder(run / learner.name, fill)
    outcome = report.Outcome(
        stop_reason=course.stop_reason,
        steps_done=attempt.step,
        seconds=course.elapsed(),
        train_seconds=course.train_seconds,
        predicted_seconds=course.predicted_seconds,
        course_seconds=course.course_seconds,
        energy_joules=course.energy_joules,
        energy_of=course.meter.devices if course.meter else "",
        answers_cut=course.trainer.rows.answers_cut,
        tokens=course.tokens,
        supervised_tokens=course.supervised,
        unit=course.unit,
        peak_memory_bytes=peak,
        history=course.history,
        decisions=course.decisions,
        last_train_loss=course.last_train_loss(),
        comparison=compared,
        samples=samples,
        versions={"torch": torch.__version__, "transformers": transformers.__version__, "peft": lora.peft.__version__},
    )
    return report.write(spec, attempt.facts, outcome)
