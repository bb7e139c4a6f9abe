"""Before and after: what a model makes of the held-out rows (TRN-7)."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from lorasmith.core import paths
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.core.facts import PREFERENCES
from lorasmith.data.tokenizer import Tokenizer
from lorasmith.evaluation._base import Answered
from lorasmith.evaluation.metrics import METRICS
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Learning
from lorasmith.training.spec import BASE_FILE, WorkerSpec
from lorasmith.workers import likelihood
from lorasmith.workers.generate import answer_rows
from lorasmith.workers.measure import RowLoss, row_losses
from lorasmith.workers.rows import Rows
from lorasmith.workers.samples import SampleTrainer, sample_losses
from lorasmith.workers.trainer import LoraTrainer, Run

NUM_SAMPLES = 4
MEASURED_ROWS = 64
"""Held-out rows that are answered before and after, to be measured by the family's own metrics."""
_LONGEST_SAMPLE = 256


def validation_losses(model: Any, rows: Rows, spec: WorkerSpec) -> list[RowLoss]:
    """One RowLoss for each held-out row."""
    plan = spec.plan
    return row_losses(model, rows, batch_tokens=plan.micro_batch * plan.max_length, pad=0, device=plan.device)


def summary(losses: list[RowLoss]) -> dict[str, float]:
    """Mean loss a token in nats, and the shares of right tokens and of answers right to the letter."""
    tokens = sum(loss.tokens for loss in losses)
    return {
        "val_loss": sum(loss.nll for loss in losses) / tokens,
        "token_accuracy": sum(loss.correct for loss in losses) / tokens,
        "exact_match": sum(loss.exact for loss in losses) / len(losses),
    }


def of_base(model: Any, rows: Rows, knows: Tokenizer | Learning, spec: WorkerSpec) -> dict[str, Any]:
    """What the untouched base makes of the held-out rows: `losses` and `answers`. Measured once for a run, kept in its folder.

    Before anything is put on the model: some adapters change the weights beneath them as soon as they are made.
    """
    file = spec.run_folder / BASE_FILE
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["method"] == spec.plan.method:
            return kept
    found = {
        "method": spec.plan.method,
        **(
            _of_samples(model, rows, knows, spec)
            if isinstance(knows, Learning)
            else _of_texts(model, rows, knows, spec)
        ),
    }
    paths.write_json(file, found)
    return found


def _of_texts(model: Any, rows: Rows, tokenizer: Tokenizer, spec: WorkerSpec) -> dict[str, Any]:
    return {"losses": _measured(model, rows, tokenizer, spec), "answers": answers(model, rows, tokenizer, spec)}


def _of_samples(model: Any, rows: Rows, learning: Learning, spec: WorkerSpec) -> dict[str, Any]:
    """The same of rows that are more than tokens, with the family's own metrics over some of them."""
    plan = spec.plan
    wearer = FAMILIES.get(spec.family).wearer(model)
    tokens = plan.micro_batch * plan.max_length
    losses = sample_losses(learning, wearer, rows, batch_tokens=tokens, device=plan.device)
    scores, kinds, said = scored(learning, wearer, rows)
    return {"losses": summary(losses) | scores, "kinds": kinds, "answers": said[:NUM_SAMPLES]}


def scored(learning: Learning, model: Any, rows: Rows) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """The figures of the lesson's metrics over the first `MEASURED_ROWS` rows, what the main ones are called, and the answers."""
    samples = [rows.sample(index) for index in range(min(MEASURED_ROWS, len(rows)))]
    was_training = model.training
    model.eval()
    said = list(learning.answers(model, samples))
    model.train(was_training)
    answered = [
        Answered(sample.shown, learning.lesson.wanted(sample), answer, 0.0, 0)
        for sample, answer in zip(samples, said, strict=True)
    ]
    figures: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for name in learning.lesson.metrics:
        metric = METRICS.get(name)
        try:
            parts = [part for row in answered if (part := metric.parts(row)) is not None]
        except EnvironmentProblem:
            continue  # a metric whose library is not in the model's environment
        if metric.needs_answers and parts:
            own = metric.total(parts)
            figures |= own
            kinds[next(iter(own))] = metric.title
    return figures, kinds, said


def _measured(model: Any, rows: Rows, tokenizer: Tokenizer, spec: WorkerSpec) -> dict[str, float]:
    plan = spec.plan
    if plan.objective not in PREFERENCES:
        return summary(validation_losses(model, rows, spec))
    # By its own measure a model that is compared with itself would prefer nothing.
    tokens = 2 * plan.micro_batch * plan.max_length
    found = likelihood.likelihoods(model, rows, batch_tokens=tokens, pad=tokenizer.pad_id, device=plan.device)
    return likelihood.summary(found, rows, plan.objective)


def of_tuned(trainer: Run, rows: Rows, spec: WorkerSpec) -> dict[str, float]:
    """The same figures of the model that has learnt; for preferences by the measure that can be taken of any model."""
    if isinstance(trainer, SampleTrainer):
        scores, _, _ = scored(trainer.learning, trainer.model, rows)
        return summary(trainer.row_losses(rows)) | scores
    if isinstance(trainer, LoraTrainer):
        return summary(trainer.row_losses(rows))
    losses = trainer.row_losses(rows)
    return summary(losses) | likelihood.summary(trainer.likelihoods(rows), rows, spec.plan.objective)


def _shown(rows: Rows) -> list[tuple[list[int], list[int]]]:
    """Prompts and wanted answers, as ids, of the rows that a report shows."""
    liked = np.flatnonzero(rows.liked)[:NUM_SAMPLES].tolist()
    chosen = [rows[index] for index in liked]
    return [(row.ids[: row.spans[-1][0]], row.ids[slice(*row.spans[-1])]) for row in chosen]


def answers(model: Any, rows: Rows, tokenizer: Tokenizer, spec: WorkerSpec) -> list[str]:
    """The model's own answers to the first held-out prompts."""
    shown = _shown(rows)
    limit = min(_LONGEST_SAMPLE, max((len(wanted) for _, wanted in shown), default=0) + 16)
    room = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
    prompts = [prompt[-max(1, room - limit) :] for prompt, _ in shown]
    return answer_rows(model, prompts, tokenizer, max_new_tokens=limit, device=spec.plan.device)


def sample_answers(learning: Learning, model: Any, rows: Rows, before: list[str]) -> list[dict[str, str]]:
    """As `samples`, of rows that are more than tokens."""
    shown = [rows.sample(index) for index in range(min(NUM_SAMPLES, len(rows)))]
    after = learning.answers(model, shown)
    return [
        {"prompt": one.shown, "wanted": learning.lesson.wanted(one), "before": old, "after": new}
        for one, old, new in zip(shown, before, after, strict=True)
    ]


def samples(before: list[str], after: list[str], rows: Rows, tokenizer: Tokenizer) -> list[dict[str, str]]:
    """Prompt, wanted answer, and the answers before and after, as texts."""
    decode = tokenizer.encoder.decode
    return [
        {"prompt": decode(prompt), "wanted": decode(wanted), "before": old, "after": new}
        for (prompt, wanted), old, new in zip(_shown(rows), before, after, strict=True)
    ]
