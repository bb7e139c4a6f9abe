"""Pictures alone, of one thing: for DreamBooth, where one prompt stands for all of them."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem
from lorasmith.data.media import IMAGE_KEYS, images_of

_NAMES = frozenset((*IMAGE_KEYS, "file_name"))


class Images(Format):
    name = "images"
    title = "folder of images and nothing else (with --instance-prompt), or JSONL with image alone"
    example = '{"image": "cat/1.png"}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return bool(row) and _NAMES.issuperset(row)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        images = images_of(row)
        if not images:
            raise RowProblem("'image' names no file")
        return [Example(line, images=(name,)) for name in images]


plugin = Images()
