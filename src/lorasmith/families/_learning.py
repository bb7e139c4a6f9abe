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
from lorasmith.families._lessons import Lesson
from lorasmith.families._transformers import takes

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
        from lorasmith.families._pictures import picture_of
        from lorasmith.families._sounds import read_sound

        for name in sample.images:
            picture_of(Path(name).read_bytes(), what=f"'{Path(name).name}'")
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
            return _by_row(logits, targets, owner, len(labels), None)
        rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
        weights = batch["weights"][rows, columns] if "weights" in batch else None
        logits = at_places(model, inputs, rows, columns)
        return _by_row(logits, labels[rows, columns], rows, len(labels), weights)

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

    def save_beside(self, model: Any, folder: Path) -> None:  # noqa: ARG002
        """Files beside an adapter's: the processor, where it has learnt tokens."""
        if self.changes.tokens:
            self.processor.save_pretrained(folder)


def _by_row(
    logits: torch.Tensor, targets: torch.Tensor, owner: torch.Tensor, num_rows: int, weights: torch.Tensor | None
) -> Measured:
    nll = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    counts = torch.bincount(owner, minlength=num_rows)
    if weights is not None:  # a mean that keeps the loss at its own height
        nll = nll * weights
    hits = (logits.detach().argmax(-1) == targets).to(nll.dtype)
    zeros = nll.new_zeros(num_rows)
    return Measured(zeros.index_add(0, owner, nll), counts, zeros.index_add(0, owner, hits))


def at_places(model: Any, inputs: Batch, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Logits (places, classes) in fp32 at the places (row, column) of what comes out. A head that turns hidden states into a
    vocabulary runs at those places only: no array of all tokens times the vocabulary is made."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in takes(_bare(model)) else {}
    if head is None:
        return model(**inputs).logits[rows, columns].float()

    def narrowed(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0][rows, columns], *given[1:])

    hook = head.register_forward_pre_hook(narrowed)
    try:
        return model(**inputs, **options).logits.float()
    finally:
        hook.remove()


def _bare(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


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
