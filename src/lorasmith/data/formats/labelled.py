"""Texts or pictures with their class; folders of pictures are classes, too."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, as_text, kind_of, text_of
from lorasmith.data.media import AUDIO_KEYS, IMAGE_KEYS, audio_of, images_of

_TEXT = ("text", "sentence")
_OTHERS = frozenset({"prompt", "ground_truth", "messages", "conversations", "words", "tokens", "chosen"})


class Labelled(Format):
    name = "labelled"
    title = "JSON, JSONL or a table with text (or image) and label; or a folder of images for each class"
    example = '{"text": "Great film!", "label": "positive"}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        keys = (*_TEXT, "file_name", *IMAGE_KEYS, *AUDIO_KEYS)
        return "label" in row and any(key in row for key in keys) and _OTHERS.isdisjoint(row)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        text, label = text_of(row, *_TEXT, required=False), _label(row.get("label"))
        images, audio = images_of(row), audio_of(row)
        if not text.strip() and not images and not audio:
            raise RowProblem("there is neither a text nor a file to classify")
        return [Example(line, text=text, images=images, audio=audio, label=label)]


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == "":
        raise RowProblem(f"'label' must be a name or a number, found {'nothing' if value == '' else kind_of(value)}")
    return as_text(value, "label")


plugin = Labelled()
