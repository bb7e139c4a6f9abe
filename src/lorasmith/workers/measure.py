"""How well a model knows the answers of prepared rows: one forward pass a batch, nothing generated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lorasmith.families._learning import at_places
from lorasmith.workers.packing import packed_rows
from lorasmith.workers.rows import IGNORED, Rows


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


def answer_logits(
    model: torch.nn.Module, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (tokens, vocabulary) in fp32 that predict the labelled tokens, their ids (tokens), and each one's row.

    The model's head runs at those positions only: no array of all tokens times the vocabulary is ever made, which for small
    models would be most of a training's memory. Whatever the model does to its logits afterwards is done to these.
    """
    labels = batch["labels"]
    rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    where = {name: batch[name] for name in ("position_ids", "cu_seq_lens_q") if name in batch}
    return logits_at(model, batch["input_ids"], rows, columns, **where), labels[rows, columns + 1], rows


def logits_at(
    model: torch.nn.Module, input_ids: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, **packed: torch.Tensor
) -> torch.Tensor:
    """Logits (places, vocabulary) in fp32 at the places (row, column) of `input_ids`: the head runs nowhere else.

    `packed` says where rows begin in one that holds several (`Rows.packed`).
    """
    with packed_rows() if packed else contextlib.nullcontext():
        return at_places(model, {"input_ids": input_ids, **packed}, rows, columns)


@torch.inference_mode()
def row_losses(model: torch.nn.Module, rows: Rows, *, batch_tokens: int, pad: int, device: str) -> list[RowLoss]:
    """One RowLoss for each row, in order. Batches hold rows of like length, about `batch_tokens` tokens each."""
    losses: list[RowLoss] = [RowLoss(0.0, 0, 0)] * len(rows)
    was_training = model.training
    model.eval()
    for indices in by_length(rows.lengths, batch_tokens):
        batch = {name: tensor.to(device) for name, tensor in rows.batch(indices, pad).items()}
        logits, targets, owner = answer_logits(model, batch)
        nll = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        hits = logits.argmax(-1) == targets
        for number, index in enumerate(indices):
            mine = owner == number
            losses[index] = RowLoss(float(nll[mine].double().sum()), int(mine.sum()), int(hits[mine].sum()))
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
