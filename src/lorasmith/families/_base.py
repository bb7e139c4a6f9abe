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

    def linear_shapes(self, shapes: Mapping[str, list[int]]) -> list[tuple[int, int]]:  # noqa: ARG002  a hook
        """Of all weights' shapes by name, those of the linear layers that LoRA adapts, as (out, in)."""
        return []

    def load(self, folder: Path, *, dtype: str, device: str) -> Any:
        """The model, frozen, in `dtype` on `device`. Worker plane only: this imports torch.

        Raises NotImplementedError where the family cannot be trained or served yet.
        """
        raise NotImplementedError(f"{self.title} cannot be loaded yet")


def task_by_head(evidence: Evidence, heads: Mapping[str, str]) -> str:
    """The task of the first head (part of a class name) that the model names; empty without one."""
    return next((task for part, task in heads.items() if evidence.speaks_of(part)), "")
