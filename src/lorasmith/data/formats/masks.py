"""Pictures with masks: a second picture whose pixels are numbers of classes."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem
from lorasmith.data.media import IMAGE_KEYS, MASK_KEYS, images_of, names_under


class Masks(Format):
    name = "masks"
    title = "JSON, JSONL or a table with image and mask, names of two files"
    example = '{"image": "1.png", "mask": "1-mask.png"}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return any(key in row for key in MASK_KEYS) and any(key in row for key in (*IMAGE_KEYS, "file_name"))

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        images, masks = images_of(row), names_under(row, *MASK_KEYS)
        if len(images) != 1 or len(masks) != 1:
            raise RowProblem(f"there must be one picture and one mask, found {len(images)} and {len(masks)}")
        return [Example(line, images=images, masks=masks)]


plugin = Masks()
