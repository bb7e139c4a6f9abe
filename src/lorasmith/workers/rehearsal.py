"""A dry run on the longest batch before the first step: what will not fit shows now, and not at step 900 (AUT-2).

It leaves no trace: weights, optimizer and random generators are afterwards what they were, bit for bit.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import shutil
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch

from lorasmith.training.report import peak_memory_bytes
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers.joined import join, part
from lorasmith.workers.measure import AGREES, answer_scores
from lorasmith.workers.quick import use_own_parts, use_quick_parts
from lorasmith.workers.rows import Rows
from lorasmith.workers.trainer import Run

_WARMING_SECONDS = 5.0
_PROOF_TOKENS = 8


class Rehearsed(NamedTuple):
    """What a dry run showed."""

    rows: int
    tokens: int
    seconds: float
    """Of one forward and backward pass over the longest micro-batch."""
    evaluation_seconds: float
    """Of one evaluation, reckoned from its longest rows."""
    peak_bytes: int
    loss: float
    """Mean of the micro-batch's tokens."""

    def total_seconds(self, rows: Rows, spec: WorkerSpec) -> float:
        """How long the whole training will take, at the pace of this micro-batch."""
        plan = spec.plan
        tokens = plan.effective_batch * plan.steps * sum(rows.lengths) / len(rows)
        return self.seconds * tokens / self.tokens + plan.evaluations * self.evaluation_seconds


def rehearse(trainer: Run, validation: Rows) -> Rehearsed:
    """One micro-batch of the longest rows forward and backward, an optimizer step at rate 0, an evaluation of the longest rows,
    a checkpoint written and thrown away. Errors pass through: out of memory is what it looks for."""
    batch = trainer.collate(trainer.rows.longest(trainer.plan.micro_batch))
    with _generators_kept():
        seconds = _one_pass(trainer, batch)
        if seconds < _WARMING_SECONDS:  # the first pass also sets up threads and kernels
            trainer.take_step_facts()
            seconds = _one_pass(trainer, batch)
        _step_at_rate_zero(trainer)
        evaluation = _evaluate(trainer, validation)
        _save(trainer)
    loss = trainer.take_step_facts()["loss"]
    tokens = trainer.size(batch)
    peak = peak_memory_bytes(trainer.plan.device)
    return Rehearsed(trainer.plan.micro_batch, tokens, seconds, evaluation, peak, loss)


def _one_pass(trainer: Run, batch: dict[str, torch.Tensor]) -> float:
    started = time.perf_counter()
    trainer.training_step(
        trainer.model_wrapped, dict(batch), num_items_in_batch=trainer.count(batch).to(trainer.args.device)
    )
    if trainer.plan.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _step_at_rate_zero(trainer: Run) -> None:
    """An optimizer step that makes its state, as the first step will, and changes nothing. A resumed run has one already."""
    optimizer = trainer.optimizer
    inner = getattr(optimizer, "optimizer", optimizer)
    if not inner.state:
        rates = [group["lr"] for group in inner.param_groups]
        for group in inner.param_groups:
            group["lr"] = 0.0
        inner.step()
        for group, rate in zip(inner.param_groups, rates, strict=True):
            group["lr"] = rate
        inner.state.clear()
    trainer.model.zero_grad()


def _evaluate(trainer: Run, validation: Rows) -> float:
    if not len(validation):
        return 0.0
    longest = validation.only(validation.longest(trainer.plan.micro_batch))
    started = time.perf_counter()
    trainer.row_losses(longest)
    return (time.perf_counter() - started) * sum(validation.lengths) / sum(longest.lengths)


def _save(trainer: Run) -> None:
    folder = trainer.folder / ".rehearsal.partial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        trainer.fill_checkpoint(folder, trainer.model)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _generators_kept() -> Generator[None, None, None]:
    """Every random generator is afterwards where it was."""
    plain, numbers, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numbers)
        torch.set_rng_state(cpu)
        for index, state in enumerate(devices):
            torch.cuda.set_rng_state(state, index)


@torch.no_grad()
def packing_agrees(model: Any, rows: Rows, pad: int, device: str) -> bool:
    """Whether two rows have the same loss packed as side by side: the proof, on the model itself, that none sees the other."""
    indices = _two_short_rows(rows)
    if len(indices) < 2:
        return True
    was_training = model.training
    model.eval()
    try:
        packed, apart = (
            _mean_loss(model, {name: tensor.to(device) for name, tensor in batch.items()})
            for batch in (rows.packed(indices), rows.batch(indices, pad))
        )
    except (TypeError, ValueError, IndexError):
        return False  # a model that does not pass on what attention needs
    finally:
        model.train(was_training)
    within = AGREES[next(part.weight.dtype for part in model.modules() if isinstance(part, torch.nn.Embedding))]
    return bool((packed - apart).abs() <= within * apart.abs().clamp(min=1e-3))


def joining_agrees(trainer: Run) -> bool:
    """Whether two short rows have the same loss and gradient by layers that are joined as by PEFT's own. Where not, the model has
    PEFT's own afterwards."""
    with _generators_kept():
        batch = trainer.collate(_two_short_rows(trainer.rows))
        generator = torch.get_rng_state()
        quick = _learnt(trainer, batch)
        part(trainer.model)
        use_own_parts(trainer.model)
        torch.set_rng_state(generator)
        plain = _learnt(trainer, batch)
    within = AGREES[torch.float32 if trainer.plan.precision == "float32" else torch.bfloat16]
    agrees = all(abs(one - other) <= within * max(abs(other), 1e-3) for one, other in zip(quick, plain, strict=True))
    if agrees:
        join(trainer.model)
        use_quick_parts(trainer.model)
    return agrees


def _learnt(trainer: Run, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Loss of a batch, and the norm of its gradient; nothing of it is left."""
    _one_pass(trainer, batch)
    gradients = [one.grad for one in trainer.model.parameters() if one.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([one.float().norm() for one in gradients])) if gradients else 0.0
    trainer.model.zero_grad()
    return trainer.take_step_facts()["loss"], float(norm)


def _two_short_rows(rows: Rows) -> list[int]:
    """Two of the shortest rows that are long enough to show a difference."""
    fitting = [index for index, length in enumerate(rows.lengths) if length >= _PROOF_TOKENS]
    return heapq.nsmallest(2, fitting or range(len(rows)), key=rows.lengths.__getitem__)


def _mean_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return answer_scores(model, batch)[0].nll.mean()
