"""Plain text for continued pretraining: paragraphs of a .txt file, or rows of `{text}`."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, text_of

_OTHERS = frozenset({"label", "audio", "image", "images", "file_name", "words", "tokens", "messages", "conversations"})


class PlainText(Format):
    name = "text"
    title = "text file (paragraphs parted by blank lines), or JSON/JSONL with text"
    example = '{"text": "Once upon a time …"}'
    objectives = ("pretrain",)

    def claims(self, row: dict[str, Any]) -> bool:
        return "text" in row and _OTHERS.isdisjoint(row)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        text = text_of(row, "text")
        if not text.strip():
            raise RowProblem("'text' is empty")
        return [Example(line, text=text)]


plugin = PlainText()
