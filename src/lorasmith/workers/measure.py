"""How well a model knows the answers of prepared rows: one forward pass a batch, nothing generated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lorasmith.families._head import Scores, scores_at
from lorasmith.workers.packing import packed_rows
from lorasmith.workers.rows import IGNORED, Rows

AGREES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""How far two ways to one loss may be apart, relative: rounding in fp32, and in half precision."""


@dataclass(frozen=True, slots=True)
class RowLoss:
    """One row: summed negative log-likelihood (nats) over `tokens` answer tokens, of which `correct` are the argmax."""

    nll: float
    tokens: int
    correct: int

    @property
    def exact(self) -> bool:
        """Whether greedy decoding gives this very answer: it does if and only if each token is the likeliest after
        the right ones before it."""
        return self.correct == self.tokens


def answer_scores(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[Scores, torch.Tensor]:
    """How likely the model finds each labelled token of a batch (`Rows.batch` or `Rows.packed`), and each one's row."""
    labels = batch["labels"]
    rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    packed = {name: batch[name] for name in ("position_ids", "cu_seq_lens_q") if name in batch}
    with packed_rows() if packed else contextlib.nullcontext():
        inputs = {"input_ids": batch["input_ids"], **packed}
        return scores_at(model, inputs, rows, columns, labels[rows, columns + 1]), rows


@torch.inference_mode()
def row_losses(model: torch.nn.Module, rows: Rows, *, batch_tokens: int, pad: int, device: str) -> list[RowLoss]:
    """One RowLoss for each row, in order. Batches hold rows of like length, about `batch_tokens` tokens each."""
    losses: list[RowLoss] = [RowLoss(0.0, 0, 0)] * len(rows)
    was_training = model.training
    model.eval()
    for indices in by_length(rows.lengths, batch_tokens):
        batch = {name: tensor.to(device) for name, tensor in rows.batch(indices, pad).items()}
        scores, owner = answer_scores(model, batch)
        for number, index in enumerate(indices):
            mine = owner == number
            nll, hits = scores.nll[mine].double().sum(), scores.hits[mine].sum()
            losses[index] = RowLoss(float(nll), int(mine.sum()), int(hits))
    model.train(was_training)
    return losses


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Row numbers in groups of like length, about `batch_tokens` tokens each."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[index] > batch_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
