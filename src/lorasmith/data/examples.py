"""What a row of any format becomes: a conversation or a text. Nothing here knows files or tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import orjson
from typing_extensions import TypedDict

Role = Literal["system", "user", "assistant", "tool"]


class Message(TypedDict):
    """One turn, with the role names that chat templates use."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn the answers of, or a text to learn whole. `line` is where it stands in its file."""

    line: int
    messages: list[Message] = field(default_factory=list[Message])
    text: str = ""
    rejected: list[Message] = field(default_factory=list[Message])
    """For preferences: the turns that were turned down, in place of what follows the last turn before them in `messages`."""
    is_good: bool | None = None
    """For single judgements (KTO): whether the answer was liked."""
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Functions that the conversation may call, as JSON schemas."""

    @property
    def is_text(self) -> bool:
        return not self.messages

    def key(self, seed: int = 0) -> int:
        """A 64-bit hash of the content: equal rows have equal keys, wherever they stand."""
        content = orjson.dumps(self.messages) if self.messages else self.text.encode(errors="surrogatepass")
        return int.from_bytes(blake2b(content, digest_size=8, key=seed.to_bytes(8, "big", signed=True)).digest(), "big")


class RowProblem(Exception):
    """Why one row cannot be used; the reader adds file and line."""


class Format(ABC):
    """A dataset format. A plug-in module in `formats/` holds one as `plugin`."""

    name: str
    title: str
    example: str
    """One line as it stands in a file, for messages and docs."""

    @abstractmethod
    def claims(self, row: dict[str, Any]) -> bool:
        """Whether the row's keys are those of this format; its values may still be wrong."""

    @abstractmethod
    def read(self, line: int, row: dict[str, Any]) -> Example:
        """The row's example. Raises RowProblem with the reason."""


def text_of(row: dict[str, Any], *keys: str, required: bool = True) -> str:
    """The string under the first of `keys` that is there. Numbers are taken as text; raises RowProblem otherwise."""
    for key in keys:
        value = row.get(key)
        if value is None:
            continue
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)):
            return str(value)
        raise RowProblem(f"'{key}' must be text, found {type(value).__name__}")
    if required:
        raise RowProblem(f"'{keys[0]}' is missing; the row has: {', '.join(map(str, row)) or 'nothing'}")
    return ""


ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}


def messages_of(value: Any, role_key: str, content_key: str) -> list[Message]:
    """A list of turns under any of the usual names. Raises RowProblem for unknown roles and empty conversations."""
    if not isinstance(value, list):
        raise RowProblem("the conversation must be a list of turns")
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, dict) or role_key not in turn:
            raise RowProblem(f"turn {number} must be an object with '{role_key}' and '{content_key}'")
        role = ROLES.get(str(turn[role_key]).lower())
        if role is None:
            raise RowProblem(
                f"turn {number} has the unknown role '{turn[role_key]}'; known: {', '.join(sorted(ROLES))}"
            )
        messages.append({"role": role, "content": _content(turn.get(content_key), number)})
    if not any(message["role"] == "assistant" for message in messages):
        raise RowProblem("there is no answer: no turn of the assistant")
    return messages


def _content(value: Any, number: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, dict)]
        strange = next((part.get("type") for part in parts if part.get("type") != "text"), None)
        if strange is not None:
            raise RowProblem(f"turn {number} holds a part of type '{strange}'; a language model reads text only")
        return "".join(str(part.get("text", "")) for part in parts)
    raise RowProblem(f"turn {number} has no text")
