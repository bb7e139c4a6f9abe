"""Finds calls of tools in an answer as it comes. Whatever cannot be read as a call stays text."""

from __future__ import annotations

import json
from typing import Any

from lorasmith.families._calls import TextCall
from lorasmith.serve.text.channels import Bit, bits_of, held_back
from lorasmith.serve.text.toolcalls import FORMATS, CallFormat, Calls, Tools, json_calls

_STARTS = [form.start for form in FORMATS]
_LOOKED_AT = 400
"""Characters at the beginning of an answer that decide whether it is one bare call."""


class ToolScanner:
    """Lets text pass, and holds back what may be a call until it is whole."""

    def __init__(self, tools: Tools):
        self._tools = tools
        self._names = {tool["function"]["name"] for tool in tools}
        self._bare = _bare_beginnings(sorted(self._names))
        self._bare_format = CallFormat("", "", self._read_bare)
        self._buffer, self._blanks = "", ""
        self._inside: CallFormat | None = None
        self._searched = 0
        self._has_calls = False

    @property
    def num_held(self) -> int:
        return len(self._blanks) + len(self._buffer)

    def feed(self, text: str) -> list[Bit]:
        """Bits of the answer, and calls."""
        self._buffer += text
        bits: list[Bit] = []
        while self._buffer:
            found = self._read(self._inside) if self._inside else self._search()
            if found is None:
                break
            bits += found
        return bits

    def flush(self) -> list[Bit]:
        """At the end: a call whose end is missing counts if it can be read."""
        text, self._buffer = self._buffer, ""
        if self._inside:
            return self._made(self._inside, text, text[len(self._inside.start) :])
        return self._answer(text)

    def _search(self) -> list[Bit] | None:
        """Outside of calls: what is sure to be none."""
        if self._bare and (bits := self._begun()) is not None:
            return bits
        if self._bare:
            return None
        found = [(at, form) for form in FORMATS if (at := self._buffer.find(form.start)) >= 0]
        if found:
            at, self._inside = min(found, key=lambda pair: (pair[0], -len(pair[1].start)))
            text, self._buffer = self._buffer[:at], self._buffer[at:]
            self._searched = len(self._inside.start)
            return self._answer(text, before_call=True)
        sure = self._buffer[: len(self._buffer) - held_back(self._buffer, _STARTS)]
        if not sure:
            return None
        self._buffer = self._buffer[len(sure) :]
        return self._answer(sure, before_call=True)

    def _begun(self) -> list[Bit] | None:
        """At the beginning of the answer: whether it is a bare call (Llama 3). None where that is open."""
        text = "".join(self._buffer[:_LOOKED_AT].split())
        if text and any(text.startswith(beginning) for beginning in self._bare):
            self._inside, self._bare, self._searched = self._bare_format, (), 0
            return []
        if any(beginning.startswith(text) for beginning in self._bare) and len(self._buffer) < _LOOKED_AT:
            return None
        self._bare = ()
        return []

    def _read(self, form: CallFormat) -> list[Bit] | None:
        """Inside of a call: nothing, until its end is there."""
        end = form.end
        at = self._buffer.find(end, self._searched) if end else -1
        if at < 0:
            self._searched = max(len(form.start), len(self._buffer) - len(end) + 1)
            return None
        text, self._buffer = self._buffer[: at + len(end)], self._buffer[at + len(end) :]
        return self._made(form, text, text[len(form.start) : at])

    def _made(self, form: CallFormat, text: str, body: str) -> list[Bit]:
        calls = form.read(body, self._tools)
        self._inside, self._bare = None, ()
        if calls is None:
            return self._answer(text)
        self._blanks, self._has_calls = "", True
        return [Bit("call", json.dumps(call.arguments, ensure_ascii=False), call.name) for call in calls]

    def _read_bare(self, text: str, _: Tools) -> Calls:
        calls = json_calls(text)
        return calls if calls and all(call.name in self._names for call in calls) else None

    def _answer(self, text: str, *, before_call: bool = False) -> list[Bit]:
        """Text; blanks at its end wait where a call may follow, for around calls they mean nothing."""
        text = self._blanks + text
        if self._has_calls:
            text = text.lstrip()
            self._has_calls = not text
        kept = len(text.rstrip()) if before_call else len(text)
        self._blanks = text[kept:]
        return bits_of("answer", text[:kept])


def _bare_beginnings(names: list[str]) -> tuple[str, ...]:
    """How an answer begins that is nothing but a call of one of these, without blanks."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in names]
    objects = [
        begun + name
        for name in quoted
        for begun in ('{"name":', '{"type":"function","name":', '{"type":"function","function":', '{"function":{"name":',
                      '{"type":"function","function":{"name":', '{"tool_name":')
    ]  # fmt: skip
    return (*objects, *(f"[{begun}" for begun in objects))


def forced_call(call: TextCall) -> dict[str, Any] | None:
    """The JSON schema of an answer that must be a call; None where the model is free."""
    if not call.tools or call.tool_choice in ("auto", "none"):
        return None
    wanted = [tool["function"] for tool in call.tools if call.tool_choice in ("required", tool["function"]["name"])]
    schemas = [
        {
            "type": "object", "additionalProperties": False, "required": ["name", "arguments"],
            "properties": {"name": {"const": one["name"]}, "arguments": one.get("parameters") or {"type": "object"}},
        }
        for one in wanted
    ]  # fmt: skip
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
