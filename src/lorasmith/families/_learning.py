"""How a kind of model learns from samples: the batches it is given, what its loss is, what it answers. Worker plane only.

A family's own trainer is one subclass of `Learning` with one method, `batch`; the steps, adapters, checkpoints and evaluations
are those of every training (workers/trainer.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lorasmith.core.errors import UsageProblem
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families._head import Scores, of_logits, scores_at
from lorasmith.families._lessons import Lesson

IGNORED = -100
Batch = dict[str, torch.Tensor]


class Measured(NamedTuple):
    """Of each row of a batch, tensors of shape (rows,): the summed loss in nats over `counts` things to be learnt, of which
    `correct` were the likeliest."""

    nll: torch.Tensor
    counts: torch.Tensor
    correct: torch.Tensor


class Canvas(NamedTuple):
    """A folder for drawn pictures, and the steps that each is drawn in."""

    folder: Path
    steps: int


class Learning(ABC):
    """One loaded model that is to learn, with what makes its inputs.

    `model` may be wrapped for adapters in between: what is called is always the model that a method is given.
    """

    uses_model = False
    """Whether the model itself has a part in making batches, which then cannot be made by another process."""

    def __init__(self, lesson: Lesson, model: Any, processor: Any, changes: ModelChanges):
        self.lesson, self.processor, self.changes = lesson, processor, changes
        self.config: Any = getattr(model, "config", None) or getattr(getattr(model, "model", None), "config", None)
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.max_length = 0
        """Tokens of a row at most, as planned; 0: no limit."""
        self.augments = False
        """Whether training batches are varied at random."""
        self.prepare(model)

    def prepare(self, model: Any) -> None:  # noqa: B027  most have nothing to do
        """What must be set about the model before it learns."""

    @abstractmethod
    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:
        """What the model is called with for these rows, and `labels`, -100 where nothing is learnt.

        `training` asks for what is varied at random; it is drawn from the samples' keys, so that a resumed run sees the same.
        """

    def check(self, sample: Sample) -> None:
        """Read the row's files as far as to know that a batch can be made of them. Raises DataProblem."""
        from lorasmith.families._pictures import sole_picture
        from lorasmith.families._sounds import read_sound

        for name in sample.images:
            sole_picture(Path(name).read_bytes(), what=f"'{Path(name).name}'")
        if sample.audio:
            extractor = getattr(self.processor, "feature_extractor", self.processor)
            for name in sample.audio:
                read_sound(Path(name).read_bytes(), extractor.sampling_rate)

    def measure(self, model: Any, batch: Batch) -> Measured:
        """Loss and hits of each row: cross entropy of `logits` against `labels`, place by place.

        Logits are made at the labelled places only where the model's head can be told so.
        """
        labels = batch["labels"]
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "weights")}
        if labels.ndim == 1:  # a class for each row
            logits, targets = self.logits(model(**inputs)).float(), labels
            owner = torch.arange(len(labels), device=labels.device)
            return by_row(of_logits(logits, targets), owner, len(labels))
        rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
        weights = batch["weights"][rows, columns] if "weights" in batch else None
        scores = scores_at(model, inputs, rows, columns, labels[rows, columns])
        return by_row(scores, rows, len(labels), weights)

    def logits(self, output: Any) -> torch.Tensor:
        """Scores of the classes in a model's output."""
        return output.logits

    def count(self, batch: Batch) -> torch.Tensor:
        """How many things to be learnt a batch holds."""
        return (batch["labels"] != IGNORED).sum()

    def size(self, batch: Batch) -> int:
        """How many tokens, or other things, a batch puts through the model; what speed is told in."""
        return batch["labels"].numel()

    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """The model's own answer to each row, as text, in order; `lesson.wanted` says the right one."""
        raise NotImplementedError

    def right_picture(self, sample: Sample) -> Any:  # noqa: ARG002
        """For models that draw: a row's own picture (PIL), as it is learnt."""
        raise UsageProblem("The CLIP score is of pictures, and this model draws none", fix="Choose other --metrics.")

    canvas: Canvas | None = None
    """Where models that draw leave their answers, which are then names of files there; without it they draw none."""

    def save_beside(self, folder: Path) -> None:
        """Files beside an adapter's: the processor, where it has learnt tokens."""
        if self.changes.tokens:
            self.processor.save_pretrained(folder)


def by_row(scores: Scores, owner: torch.Tensor, num_rows: int, weights: torch.Tensor | None = None) -> Measured:
    """Scores of places as those of the rows that own them; with `weights`, places count more and less."""
    counts = torch.bincount(owner, minlength=num_rows)
    nll = scores.nll if weights is None else scores.nll * weights
    zeros = nll.new_zeros(num_rows)
    return Measured(zeros.index_add(0, owner, nll), counts, zeros.index_add(0, owner, scores.hits.to(nll.dtype)))


def shifted_right(labels: torch.Tensor, start: int, pad: int) -> torch.Tensor:
    """What a decoder is given to write `labels` (rows, tokens): `start`, then all but the last token."""
    given = labels.new_full(labels.shape, pad)
    given[:, 0] = start
    given[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, pad)
    return given


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Lists of numbers as one tensor (rows, longest), filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.long)


def draws(samples: Sequence[Sample]) -> Iterator[torch.Generator]:
    """A random generator for each row of a batch: another one in another company, the same in the same."""
    together = sum(sample.key for sample in samples)
    for sample in samples:
        yield torch.Generator().manual_seed((sample.key * 31 + together) % 2**63)
