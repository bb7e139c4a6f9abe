"""Training on samples: pictures, sounds, classes, pairs. Batches and loss are the family's; the rest is every training's."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from lorasmith.core.errors import DataProblem, UsageProblem
from lorasmith.core.events import Progress, Warn, Writer
from lorasmith.core.samples import ModelChanges
from lorasmith.env.records import is_trusted
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Learning
from lorasmith.families._lessons import lesson_for
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.recognise import recognise_place
from lorasmith.plan.choose import TrainPlan
from lorasmith.workers.measure import RowLoss, by_length
from lorasmith.workers.rows import Rows
from lorasmith.workers.trainer import Indices, Run, training_arguments

_READERS, _TELL_SECONDS = 2, 1.0
_HELPERS = 1
"""Processes that make batches while the model computes; more would take the cores from it."""


def learning_for(family: str, folder: Path, format_name: str, model: Any, changes: ModelChanges) -> Learning:
    """What teaches the loaded `model`, and measures it, by data of this format."""
    plugin = FAMILIES.get(family)
    facts = recognise_place(ModelPlace(folder, folder.name))
    lesson = lesson_for(plugin.lessons(facts), format_name)
    if lesson is None:
        raise UsageProblem(f"This model learns nothing from {format_name}")
    processor = plugin.processor(folder, model, trust_remote_code=is_trusted(folder), changes=changes)
    return lesson.make(model, processor, changes)


def readable(rows: Rows, learning: Learning, *, skip_bad: bool, events: Writer) -> Rows:
    """Those of `rows` whose files can be read: every picture and sound is read once before the first step, not at step 900.

    Raises DataProblem for the first that cannot, naming the row, unless `skip_bad`; then they are told of and left out.
    """
    good: list[int] = []
    bad: list[str] = []
    told = time.monotonic()
    with ThreadPoolExecutor(_READERS) as pool:
        for index, problem in enumerate(pool.map(lambda at: _trouble(rows, learning, at), range(len(rows)))):
            if problem is None:
                good.append(index)
            elif not skip_bad:
                raise problem
            else:
                bad.append(problem.what)
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                events.send(Progress(stage="read", done=index + 1, total=len(rows), unit="files"))
    if bad:
        events.send(Warn(message=f"{len(bad)} rows whose files cannot be read are left out: {bad[0]}."))
    return rows.only(good) if bad else rows


def _trouble(rows: Rows, learning: Learning, index: int) -> DataProblem | None:
    sample = rows.sample(index)
    try:
        learning.check(sample)
    except DataProblem as problem:
        problem.what = f"{sample.where}: {problem.what}"
        problem.fix = f"{problem.fix} Or leave such rows out: --skip-bad-rows".strip()
        return problem
    return None


class SampleTrainer(Run):
    """Trains what of `model` is trainable on the samples in `rows`, as `learning` says."""

    def __init__(
        self,
        *,
        learning: Learning,
        model: Any,
        rows: Rows,
        plan: TrainPlan,
        folder: Path,
        seed: int,
        rate_factor: float = 1.0,
    ):
        arguments = training_arguments(plan, folder, seed, rate_factor=rate_factor)
        super().__init__(model=model, args=TrainingArguments(**arguments), train_dataset=Indices(len(rows)))
        self.learning = learning
        self.begin(rows=rows, plan=plan, folder=folder, pad=0, rate_factor=rate_factor)

    @property
    def ahead(self) -> Mapping[str, Any]:  # type: ignore[override]
        """One process makes the next batches while this one computes."""
        if self.learning.uses_model:
            return {}
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        return {"num_workers": _HELPERS, "prefetch_factor": 2 * self.plan.accumulation}

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        return self.learning.batch([self.rows.sample(index) for index in indices], training=True)

    def losses(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
        measured = self.learning.measure(model, inputs)
        return measured.nll.sum(), int(measured.counts.sum())

    def count(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.learning.count(inputs)

    def size(self, inputs: dict[str, torch.Tensor]) -> int:
        return self.learning.size(inputs)

    def row_losses(self, rows: Rows) -> list[RowLoss]:
        plan = self.plan
        return sample_losses(
            self.learning, self.model, rows, batch_tokens=plan.micro_batch * plan.max_length, device=plan.device
        )


@torch.no_grad()
def sample_losses(learning: Learning, model: Any, rows: Rows, *, batch_tokens: int, device: str) -> list[RowLoss]:
    """One RowLoss for each row, in order. Batches hold rows of like length, about `batch_tokens` tokens each."""
    losses: list[RowLoss] = [RowLoss(0.0, 0, 0)] * len(rows)
    was_training = model.training
    model.eval()
    for indices in by_length(rows.lengths, batch_tokens):
        made = learning.batch([rows.sample(index) for index in indices], training=False)
        batch = {name: tensor.to(device) for name, tensor in made.items()}
        measured = learning.measure(model, batch)
        columns = (column.tolist() for column in measured)
        for index, nll, count, correct in zip(indices, *columns, strict=True):
            losses[index] = RowLoss(nll, int(count), int(correct))
    model.train(was_training)
    return losses
