"""ShareGPT: `conversations` of turns with `from` and `value`."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, messages_of


class ShareGPT(Format):
    name = "sharegpt"
    title = "JSON or JSONL with conversations of from/value turns"
    example = '{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "conversations" in row

    def read(self, line: int, row: dict[str, Any]) -> Example:
        turns = row["conversations"]
        first = turns[0] if isinstance(turns, list) and turns else {}
        role, content = ("role", "content") if isinstance(first, dict) and "role" in first else ("from", "value")
        messages = messages_of(turns, role, content)
        system = row.get("system")
        if isinstance(system, str) and system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
        return Example(line, messages)


plugin = ShareGPT()
