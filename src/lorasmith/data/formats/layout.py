"""Words of a page with their places and classes (LayoutLM)."""

from __future__ import annotations

from typing import Any

from lorasmith.core.samples import Box
from lorasmith.data.examples import Example, Format, RowProblem, as_text, kind_of
from lorasmith.data.media import images_of

WORDS = ("words", "tokens")
BOXES = ("bboxes", "boxes", "bbox")
TAGS = ("ner_tags", "labels", "tags")
_PAGE = 1000  # LayoutLM measures in thousandths of the page


class Layout(Format):
    name = "layout"
    title = "JSON, JSONL or Parquet with words, bboxes (0 to 1000) and ner_tags, optional image"
    example = '{"words": ["Total", "12"], "bboxes": [[10, 10, 90, 30], [100, 10, 140, 30]], "ner_tags": [1, 2]}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return key_of(row, WORDS) in row and key_of(row, BOXES) in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        words = tuple(as_text(word, key_of(row, WORDS)) for word in list_of(row, WORDS))
        boxes = tuple(_box(value, number) for number, value in enumerate(list_of(row, BOXES), 1))
        tags = tuple(tag_of(tag) for tag in list_of(row, TAGS))
        if not words:
            raise RowProblem("there are no words")
        if not len(words) == len(boxes) == len(tags):
            raise RowProblem(f"{len(words)} words, {len(boxes)} boxes and {len(tags)} tags: there must be one for each")
        return [Example(line, words=words, boxes=boxes, tags=tags, images=images_of(row))]


def key_of(row: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key in row), keys[0])


def list_of(row: dict[str, Any], keys: tuple[str, ...]) -> list[Any]:
    key = key_of(row, keys)
    value = row.get(key)
    if not isinstance(value, list):
        raise RowProblem(f"'{key}' must be a list, found {kind_of(value)}" if key in row else f"'{key}' is missing")
    return value


def _box(value: Any, number: int) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        raise RowProblem(f"box {number} must be four numbers: left, top, right, bottom")
    edges: list[int] = []
    for edge in value:
        if isinstance(edge, bool) or not isinstance(edge, (int, float)) or not 0 <= edge <= _PAGE:
            raise RowProblem(f"box {number} must hold numbers from 0 to {_PAGE}, found {str(edge)[:40]}")
        edges.append(round(edge))
    left, top, right, bottom = edges
    if right < left or bottom < top:
        raise RowProblem(f"box {number} ends before it begins: {edges}")
    return left, top, right, bottom


def tag_of(value: Any) -> str | int:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise RowProblem(f"a tag must be a name or a number, found {kind_of(value)}")


plugin = Layout()
