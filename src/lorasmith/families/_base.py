"""What a family file must say of itself. No family is named here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any


class Family(ABC):
    """One model family. A plug-in module in `families/` holds one as `plugin`."""

    name: str
    title: str

    @abstractmethod
    def recognises(self, config: dict[str, Any]) -> bool:
        """Whether a `config.json` is of this family: by its structure, never by its name."""

    @abstractmethod
    def linear_shapes(self, shapes: dict[str, list[int]]) -> list[tuple[int, int]]:
        """Of all weights' shapes by name, those of the linear layers that LoRA adapts, as (out, in)."""

    @abstractmethod
    def load(self, folder: Path, *, dtype: str, device: str) -> Any:
        """The model, frozen, in `dtype` on `device`. Worker plane only: this imports torch."""
