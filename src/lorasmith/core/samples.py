"""Rows for models that see, hear or label, and what is changed about a model before it learns from them. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from lorasmith.core.errors import UsageProblem

CHANGES_FILE = "lorasmith_changes.json"
"""Beside an adapter's weights: what must be changed about the base before they fit."""
Box = tuple[int, int, int, int]
Area = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row as a family reads it. Paths are absolute; the fields are those of `data.examples.Example`."""

    text: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rejected: str = ""
    """What is not to be found for the first message (embeddings)."""
    images: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    """For each picture one in which each pixel's value is its class."""
    audio: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    areas: tuple[Area, ...] = ()
    """Of things in a picture, in its pixels."""
    tags: tuple[str, ...] = ()
    label: str = ""
    target: Any = None
    where: str = ""
    """Where the row stands, for messages: `Line 7 of 'rows.jsonl'`."""
    key: int = 0
    """The hash of the content: what is random about a row is drawn from it."""

    def dumped(self) -> bytes:
        """As JSON, to be read by `loaded`."""
        return orjson.dumps(self)

    @classmethod
    def loaded(cls, data: bytes) -> Sample:
        return cls(**orjson.loads(data))

    @property
    def shown(self) -> str:
        """What is asked about, in one line for reports."""
        named = [Path(name).name for name in (*self.images, *self.audio)]
        said = self.text or " ".join(self.words) or next((one["content"] for one in self.messages), "")
        return " ".join([*named, said] if said and not named else named or [said])[:500]


class ModelChanges(BaseModel):
    """What is changed about a base before it learns, or before an adapter that learnt so is put on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...] = ()
    """Names of the classes of a new head; empty: the model's own head stays."""
    family: str = ""
    """The family that the model is of afterwards; empty: as before."""
    auto_class: str = ""
    """The Auto class of transformers that has such a head."""
    tokens: tuple[str, ...] = ()
    """Tokens that its tokenizer is taught, in this order."""
    start: str = ""
    """The token that every answer begins with."""
    lists: tuple[str, ...] = ()
    """Keys of the JSON that it writes whose values are lists even where there is one entry."""
    image_size: tuple[int, int] | None = None
    """Height and width that pages are brought to; None: as the processor has it."""

    @property
    def is_empty(self) -> bool:
        return self == ModelChanges()

    def write(self, folder: Path) -> None:
        """Beside an adapter; nothing where nothing is changed."""
        if not self.is_empty:
            (folder / CHANGES_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ModelChanges:
        """Those that the adapter in `folder` needs."""
        file = folder / CHANGES_FILE
        return cls.model_validate_json(file.read_text(encoding="utf-8")) if file.is_file() else cls()


def common_changes(folders: Iterable[Path]) -> ModelChanges:
    """What the adapters in `folders`, which are to lie on one base, all need.

    Raises UsageProblem where they need different things.
    """
    found: dict[str, ModelChanges] = {folder.parent.name: ModelChanges.read(folder) for folder in folders}
    apart = list(dict.fromkeys(found.values()))
    if len(apart) > 1:
        raise UsageProblem(
            "These adapters cannot lie on one base together",
            why=f"{_differing(apart)}: {', '.join(found)}.",
            fix="Take one of them at a time.",
        )
    return apart[0] if apart else ModelChanges()


def _differing(apart: Sequence[ModelChanges]) -> str:
    names = {"labels": "classes", "tokens": "tokens", "start": "beginnings", "image_size": "page sizes"}
    for name, said in names.items():
        if len({getattr(one, name) for one in apart}) > 1:
            return f"They were trained with different {said}"
    return "They were trained on different heads"
