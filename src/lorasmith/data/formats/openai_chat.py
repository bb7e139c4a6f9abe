"""OpenAI chat: `messages` with `role` and `content`."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, messages_of


class OpenAIChat(Format):
    name = "openai"
    title = "JSON or JSONL with messages of role/content"
    example = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "messages" in row

    def read(self, line: int, row: dict[str, Any]) -> Example:
        return Example(line, messages_of(row["messages"], "role", "content"))


plugin = OpenAIChat()
