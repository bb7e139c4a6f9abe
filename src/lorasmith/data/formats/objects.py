"""Pictures with boxes around things, each of a class, as the Hub's image folders have them."""

from __future__ import annotations

import math
from typing import Any

from lorasmith.core.samples import Area
from lorasmith.data.examples import Example, Format, RowProblem, as_text, kind_of
from lorasmith.data.media import IMAGE_KEYS, images_of

_BOXES = ("bbox", "bboxes")
_CLASSES = ("category", "categories", "label", "labels", "category_id", "class", "name")


class Objects(Format):
    name = "objects"
    title = (
        "JSON, JSONL or a table with image and objects: boxes (left, top, width, height in pixels), each with its class"
    )
    example = '{"file_name": "1.png", "objects": {"bbox": [[20, 10, 64, 48]], "category": ["cat"]}}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("objects"), dict | list) and any(key in row for key in (*IMAGE_KEYS, "file_name"))

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        images = images_of(row)
        if len(images) != 1:
            raise RowProblem(f"there must be one picture, found {len(images)}")
        boxes, classes = _columns(row.get("objects"))
        areas = tuple(area_of(box, f"box {number}") for number, box in enumerate(boxes, 1))
        return [Example(line, images=images, areas=areas, tags=tuple(as_text(one, "category") for one in classes))]


def _columns(objects: Any) -> tuple[list[Any], list[Any]]:
    """Boxes and classes: of lists side by side, or of one object for each. Raises RowProblem."""
    if isinstance(objects, dict):
        boxes, classes = _value(objects, _BOXES), _value(objects, _CLASSES)
        if not isinstance(boxes, list) or not isinstance(classes, list):
            raise RowProblem("'objects' must hold two lists: bbox and category")
        if len(boxes) != len(classes):
            raise RowProblem(f"{len(boxes)} boxes and {len(classes)} classes: there must be one for each")
        return boxes, classes
    if not isinstance(objects, list):
        raise RowProblem(f"'objects' must be an object of lists, or a list of objects, found {kind_of(objects)}")
    for number, one in enumerate(objects, 1):
        if not isinstance(one, dict):
            raise RowProblem(f"thing {number} must be an object with bbox and category, found {kind_of(one)}")
    return [_value(one, _BOXES) for one in objects], [_value(one, _CLASSES) for one in objects]


def _value(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """What stands under the first of `keys` that is there. Raises RowProblem where none is."""
    for key in keys:
        if key in row:
            return row[key]
    raise RowProblem(f"'{keys[0]}' is missing; there is: {', '.join(map(str, row)) or 'nothing'}")


def area_of(box: Any, what: str) -> Area:
    """Left, top, right and bottom of a box in COCO's form: left, top, width, height, in pixels. Raises RowProblem for what is no
    box, or none with an area."""
    if not isinstance(box, list) or len(box) != 4:
        raise RowProblem(f"{what} must be four numbers: left, top, width, height in pixels")
    for number in box:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise RowProblem(f"{what} must hold numbers, found {str(number)[:40]}")
    left, top, width, height = (float(number) for number in box)
    if width <= 0 or height <= 0:
        raise RowProblem(f"{what} has no area: {width:g} × {height:g}")
    return left, top, left + width, top + height


plugin = Objects()
