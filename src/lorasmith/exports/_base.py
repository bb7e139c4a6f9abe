"""What a target's file must say of itself. No target is named here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorasmith.core.events import Listener
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges
from lorasmith.exports.spec import ExportReport, ExportSpec


@dataclass(frozen=True)
class Wish:
    """An export as it is known before anything is written."""

    spec: ExportSpec
    facts: ModelFacts
    adapter: Path | None
    changes: ModelChanges
    name: str
    """What it is called."""
    out: Path
    """The folder for it."""
    template: str
    """Chat template: empty for the model's own, a built-in name, or a file."""
    conversations: list[list[dict[str, Any]]]
    """What both models are asked; empty where nothing can be."""
    wanted: list[str]
    """The right answers, where a file of examples was named."""
    max_new_tokens: int
    """So long may an answer be."""
    beside: list[str]
    """The model's files besides its weights."""
    listener: Listener

    @property
    def gguf_stem(self) -> str:
        return self.name.replace("/", "_")


class Target(ABC):
    """Somewhere a model can go. A plug-in module in `exports/targets/` holds one as `plugin`."""

    name: str
    title: str
    own_options: tuple[str, ...] = ()
    """Those of the spec's fields that mean something to this target and not to every other one."""

    def lacks(self, wish: Wish) -> str:  # noqa: ARG002
        """Why this cannot be done; empty where it can. Asked before anything is written."""
        return ""

    @abstractmethod
    def export(self, wish: Wish) -> ExportReport:
        """Write it, compare it with what was trained, and put it in its place; or leave everything as it was.

        Raises DataProblem where it is not the model that was trained, EnvironmentProblem where disk or network fail.
        """
