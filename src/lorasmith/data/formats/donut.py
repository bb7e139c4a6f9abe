"""Donut: pictures of documents and what is to be read off them, as JSON."""

from __future__ import annotations

from typing import Any

import orjson

from lorasmith.data.examples import Example, Format, RowProblem, kind_of
from lorasmith.data.media import IMAGE_KEYS, names_under
from lorasmith.data.turns import plain_json


class Donut(Format):
    name = "donut"
    title = "metadata.jsonl with file_name and ground_truth, beside the images"
    example = '{"file_name": "1.png", "ground_truth": {"gt_parse": {"total": "12.00"}}}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return "ground_truth" in row and any(key in row for key in ("file_name", *IMAGE_KEYS))

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        images = names_under(row, "file_name", *IMAGE_KEYS)
        if not images:
            raise RowProblem("'file_name' names no file")
        return [Example(line, images=images, target=_target(row.get("ground_truth")))]


def _target(value: Any) -> dict[str, Any] | list[Any]:
    """What stands under `gt_parse`, or the first of `gt_parses`; the whole may be JSON in a string."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RowProblem(f"'ground_truth' is no JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(value, dict):
        raise RowProblem(f"'ground_truth' must be an object with 'gt_parse', found {kind_of(value)}")
    several = value.get("gt_parses")
    target = value.get("gt_parse", several[0] if isinstance(several, list) and several else None)
    if not isinstance(target, (dict, list)) or not target:
        raise RowProblem(f"'gt_parse' must be an object with what is to be read, found {kind_of(target)}")
    return plain_json(target, "'gt_parse'")


plugin = Donut()
