"""What a family file must say of itself. No family is named here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lorasmith.core.evidence import Evidence

ArchitectureType = Literal[
    "decoder-only", "encoder-only", "encoder-decoder", "state-space", "rnn", "hybrid", "diffusion", "dual-encoder"
]


class Recognition(NamedTuple):
    """A family's claim to a model. The highest `weight` wins; `why` is one clause for the report."""

    weight: int
    architecture_type: ArchitectureType
    task: str
    """In the Hub's words: its pipeline tags, https://huggingface.co/tasks."""
    why: str


# Weights, from what cannot mean anything else to what is left over.
BY_LAYOUT = 100  # files that only such repositories hold
BY_STRUCTURE = 80  # parts of the configuration
BY_SIGNAL = 70  # what goes in: sound, pixels
BY_HEAD = 60  # the class that is named
BY_SHAPE = 40  # what the fields look like, no class being named
LEFT_OVER = 10


# Parts of the names of weights with two sides that are no linear layers, or that are trained in full or not at all.
NOT_ADAPTED = (
    "embed", "wte", "wpe", "lm_head", "norm", "ln_", "embed_out", "shared", "score", "rotary", "classifier", "pooler",
    "cls.", "proj_out", "position", "relative_attention_bias", "qa_outputs", "quantizer", "codevectors", "predictions",
)  # fmt: skip


class Family(ABC):
    """One model family. A plug-in module in `families/` holds one as `plugin`."""

    name: str
    title: str
    primary_library: str = "transformers"
    runs: tuple[ArchitectureType, ...] = ()
    """Kinds that `load` can load so far; none: the family is recognised and checked only."""
    tasks: tuple[str, ...] = ()
    """Pipeline tags that are this family's: one of them on the Hub's page refines the task."""

    @abstractmethod
    def recognise(self, evidence: Evidence) -> Recognition | None:
        """The claim to a model, or None: by structure, never by its name."""

    def adapts(self, name: str, shape: list[int]) -> bool:
        """Whether LoRA adapts the weight of this name and shape: every linear layer but embeddings and heads."""
        return name.endswith(".weight") and len(shape) == 2 and not any(part in name for part in NOT_ADAPTED)

    def load(self, folder: Path, *, dtype: str, device: str) -> Any:
        """The model, frozen, in `dtype` on `device`. Worker plane only: this imports torch.

        Raises NotImplementedError where the family cannot be trained or served yet.
        """
        raise NotImplementedError(f"{self.title} cannot be loaded yet")


def task_by_head(evidence: Evidence, heads: Mapping[str, str]) -> str:
    """The task of the first head (part of a class name) that the model names; empty without one."""
    return next((task for part, task in heads.items() if evidence.speaks_of(part)), "")
