"""What a row of any format becomes: a conversation or a text, and what goes with it. Nothing here knows files or tokens."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, Literal, NotRequired

import orjson
from typing_extensions import TypedDict

from lorasmith.core.samples import Area, Box

Role = Literal["system", "user", "assistant", "tool"]
_EXACT_INTEGERS = 2**53  # a float beyond may be a long integer that lost its last digits


class Message(TypedDict):
    """One turn, with the names that chat templates use. What a row does not say is left out, never None."""

    role: Role
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    """Of the assistant: `{"type": "function", "function": {"name", "arguments": {…}}}`."""
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    """What the assistant thought before it answered."""
    thinking: NotRequired[str]
    """The same under the name that some templates give it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn the answers of, or a text to learn whole. `line` is where it stands in its file."""

    line: int
    messages: list[Message] = field(default_factory=list[Message])
    text: str = ""
    rejected: list[Message] = field(default_factory=list[Message])
    """For preferences: the turns that were turned down, in place of `messages[prompt_turns:]`."""
    is_good: bool | None = None
    """For single judgements (KTO): whether the answer was liked."""
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Functions that the conversation may call, as JSON schemas."""
    prompt_turns: int = 0
    """For preferences and judgements: how many of `messages` come before the answer that was judged."""
    images: tuple[str, ...] = ()
    """Pictures, as paths below the dataset's folder (`Source.root`) that were checked to be there."""
    masks: tuple[str, ...] = ()
    """For each picture one whose pixels are numbers of classes, as paths like theirs."""
    audio: tuple[str, ...] = ()
    """Recordings, as paths like those of pictures."""
    words: tuple[str, ...] = ()
    """The words of a page, in reading order."""
    boxes: tuple[Box, ...] = ()
    """Where each word stands: left, top, right, bottom, in thousandths of the page."""
    areas: tuple[Area, ...] = ()
    """Where each thing in a picture is: left, top, right, bottom, in the picture's pixels."""
    tags: tuple[str | int, ...] = ()
    """The class of each word, or of each thing, by name or number."""
    label: str | None = None
    """The class of the whole row."""
    target: dict[str, Any] | list[Any] | None = None
    """What is to be read off a document, as JSON (Donut)."""
    file: str = ""
    """The file it stands in, below the dataset's folder; empty where the dataset is that one file."""

    @property
    def is_text(self) -> bool:
        return not self.messages

    @property
    def needs(self) -> str:
        """What a model must know beside text to learn from this: `pictures`, `sound` …; empty for a language model's rows."""
        if not (self.images or self.audio or self.words or self.label is not None):
            return ""
        parts = {
            "pictures": self.images,
            "sound": self.audio,
            "words with their places": self.words,
            "classes": self.label is not None,
        }
        return " and ".join(name for name, value in parts.items() if value)

    def key(self, seed: int = 0) -> int:
        """A 64-bit hash of the content: equal rows have equal keys, wherever they stand."""
        content = orjson.dumps(self.messages) if self.messages else self.text.encode(errors="surrogatepass")
        if self.rejected or self.tools or self.is_good is not None or self.needs or self.target is not None:
            content += b"\0" + orjson.dumps(
                [self.rejected, self.is_good, self.tools, self.images, self.audio, self.words, self.boxes, self.tags,
                 self.label, self.target, *([self.masks] if self.masks else []),
                 *([self.areas] if self.areas else [])]
            )  # fmt: skip
        return int.from_bytes(blake2b(content, digest_size=8, key=seed.to_bytes(8, "big", signed=True)).digest(), "big")


class RowProblem(Exception):
    """Why one row cannot be used; the reader adds file and line."""


class Format(ABC):
    """A dataset format. A plug-in module in `formats/` holds one as `plugin`."""

    name: str
    title: str
    example: str
    """One line as it stands in a file, for messages and docs."""
    objectives: ClassVar[tuple[str, ...]] = ("sft",)
    """What a language model can be trained for with it, the natural one first; empty where it needs another kind of model."""

    @abstractmethod
    def claims(self, row: dict[str, Any]) -> bool:
        """Whether the row's keys are those of this format; its values may still be wrong."""

    @abstractmethod
    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        """The row's examples, mostly one. Paths in them are not checked yet. Raises RowProblem with the reason."""


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON: `a list`, `true/false` …"""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true/false", type(None): "null"}
    names |= {int: "a number", float: "a number"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def text_of(row: dict[str, Any], *keys: str, required: bool = True) -> str:
    """The string under the first of `keys` that is there. Numbers are taken as text; raises RowProblem otherwise."""
    for key in keys:
        value = row.get(key)
        if value is not None:
            return as_text(value, key)
    if required:
        null = " is null" if keys[0] in row else " is missing"
        raise RowProblem(f"'{keys[0]}'{null}; the row has: {names_of(row)}")
    return ""


def as_text(value: Any, name: str) -> str:
    """A string as it is, a number as text. Raises RowProblem for anything else, and for numbers that JSON has rounded."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and (not math.isfinite(value) or abs(value) >= _EXACT_INTEGERS):
        raise RowProblem(f"'{name}' is a number too large to be kept exactly ({value:g}); write it in quotes")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RowProblem(f"'{name}' must be text, found {kind_of(value)}")


def names_of(row: dict[str, Any], limit: int = 20) -> str:
    """The row's keys for a message."""
    names = [str(name)[:60] for name in row]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "nothing") + more


def pair(question: str, answer: str, *, system: str = "") -> list[Message]:
    """One question and its answer."""
    before: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
