"""OpenAI chat: `messages` with `role` and `content`, calls of tools, and parts that are pictures or sound."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format
from lorasmith.data.media import audio_of, images_of
from lorasmith.data.turns import Media, messages_of, tools_of


class OpenAIChat(Format):
    name = "openai"
    title = "JSON or JSONL with messages of role/content, optional tools"
    example = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "messages" in row and "chosen" not in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        media: Media = {}
        messages = messages_of(row.get("messages"), media=media)
        if len(row) == 1 and not media:
            return [Example(line, messages)]
        images, audio = images_of(row, media.get("images")), audio_of(row, media.get("audio"))
        return [Example(line, messages, tools=tools_of(row), images=images, audio=audio)]


plugin = OpenAIChat()
