"""Pictures with their text: captions, transcriptions of a line, descriptions."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, text_of
from lorasmith.data.media import IMAGE_ENDINGS, IMAGE_KEYS, ending, images_of

_TEXT = ("text", "caption", "transcription", "description")
_OTHERS = frozenset({"label", "ground_truth", "messages", "conversations", "words", "tokens", "audio"})


class ImageText(Format):
    name = "image-text"
    title = "folder of images with a .txt beside each, or JSONL/Parquet with image (a file's name) and text"
    example = '{"image": "pages/1.png", "text": "Invoice 17"}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        name = row.get("file_name")
        has_image = any(key in row for key in IMAGE_KEYS) or (isinstance(name, str) and ending(name) in IMAGE_ENDINGS)
        return has_image and any(key in row for key in _TEXT) and _OTHERS.isdisjoint(row)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        images, text = images_of(row), text_of(row, *_TEXT)
        if not images:
            raise RowProblem("'image' names no file")
        if not text.strip():
            raise RowProblem("the text of the image is empty")
        return [Example(line, text=text, images=images)]


plugin = ImageText()
