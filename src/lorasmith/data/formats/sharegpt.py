"""ShareGPT: `conversations` of turns with `from` and `value`; function_call and observation turns call tools."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, text_of
from lorasmith.data.media import audio_of, images_of
from lorasmith.data.turns import Media, messages_of, tools_of


class ShareGPT(Format):
    name = "sharegpt"
    title = "JSON or JSONL with conversations of from/value turns, optional system and tools"
    example = '{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "conversations" in row and "chosen" not in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        media: Media = {}
        messages = messages_of(row.get("conversations"), media=media)
        system = text_of(row, "system", required=False)
        if system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
        if len(row) == 1 and not media:
            return [Example(line, messages)]
        images, audio = images_of(row, media.get("images")), audio_of(row, media.get("audio"))
        return [Example(line, messages, tools=tools_of(row), images=images, audio=audio)]


plugin = ShareGPT()
