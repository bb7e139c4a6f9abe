"""COCO's annotations: one file with all pictures, their boxes, and the names of classes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from lorasmith.core.samples import Area
from lorasmith.data.examples import Example, Format, RowProblem, as_text, kind_of
from lorasmith.data.formats.objects import area_of

_PARTS = ("images", "annotations", "categories")


class Coco(Format):
    name = "coco"
    title = "COCO's JSON: one object with images, annotations (bbox) and categories"
    example = (
        '{"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "category_id": 3,'
        ' "bbox": [20, 10, 64, 48]}], "categories": [{"id": 3, "name": "cat"}]}'
    )
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return all(isinstance(row.get(key), list) for key in _PARTS)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        """One example for each picture. Boxes of crowds are left out: they are around many things at once."""
        images, annotations, categories = (_list(row, key) for key in _PARTS)
        pictures = {_of(one, "id", "image"): as_text(_of(one, "file_name", "image"), "file_name") for one in images}
        names = {_of(one, "id", "category"): as_text(_of(one, "name", "category"), "name") for one in categories}
        found: dict[Any, list[tuple[Area, str]]] = defaultdict(list)
        for number, one in enumerate(annotations, 1):
            what = f"annotation {number}"
            picture, category = _of(one, "image_id", what), _of(one, "category_id", what)
            if picture not in pictures:
                raise RowProblem(f"{what} is of the picture {picture}, which is not among the images")
            if category not in names:
                raise RowProblem(f"{what} is of the category {category}, which is not among the categories")
            if not one.get("iscrowd"):
                found[picture].append((area_of(one.get("bbox"), f"{what} ('{pictures[picture]}')"), names[category]))
        return [
            Example(
                line, images=(file,), areas=tuple(area for area, _ in found[key]), tags=tuple(tag for _, tag in found[key])
            )
            for key, file in pictures.items()
        ]  # fmt: skip


def _list(row: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(row.get(key), list):
        raise RowProblem(f"'{key}' must be a list, found {kind_of(row.get(key))}")
    return row[key]


def _of(value: Any, key: str, what: str) -> Any:
    """Raises RowProblem where `value` is no object with such a key, a number or a text."""
    if not isinstance(value, dict):
        raise RowProblem(f"{what} must be an object, found {kind_of(value)}")
    found = value.get(key)
    if not isinstance(found, int | str):
        raise RowProblem(f"{what} has no '{key}'")
    return found


plugin = Coco()
