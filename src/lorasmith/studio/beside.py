"""Pictures and recordings that rows of a folder name, to be looked at: found below the folder or not at all (SEC-1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core.errors import NotFoundProblem
from lorasmith.data.examples import RowProblem
from lorasmith.data.media import AUDIO_ENDINGS, IMAGE_ENDINGS, checked, ending
from lorasmith.data.records import Record

KINDS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".bmp": "image/bmp",
    ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff", ".wav": "audio/wav", ".flac": "audio/flac",
    ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".aac": "audio/aac",
}  # fmt: skip
"""What is given out at all, as what. Nothing of it can hold a script."""
_MOST_FILES, _MOST_VALUES = 8, 500
"""Of one column of a row: files shown, and values looked at for them."""


def files_beside(record: Record, root: Path) -> dict[str, list[str]]:
    """By column, the pictures and recordings that a row names and that are there, as paths below `root`, which is resolved."""
    folder = record.file.parent.resolve() if record.line else root  # a file that is a row is named from the root
    found = {name: _named_in(value, folder, root) for name, value in record.row.items()}
    return {name: files for name, files in found.items() if files}


def _named_in(value: Any, folder: Path, root: Path) -> list[str]:
    found, waiting = list[str](), [value]
    for _ in range(_MOST_VALUES):
        if not waiting or len(found) == _MOST_FILES:
            break
        one = waiting.pop(0)
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and ending(one[-8:]) in KINDS:
            found += _there(one, folder, root)
    return found


def _there(name: str, folder: Path, root: Path) -> list[str]:
    try:
        return [checked(name, folder, root)]
    except RowProblem:
        return []


def file_beside(dataset: Path, name: str) -> tuple[Path, str]:
    """The file, and what kind of content it is given out as. Raises NotFoundProblem for what is no picture and no recording in
    the dataset's folder."""
    root = dataset.resolve()
    kind = KINDS.get(ending(name))
    if kind is None or not dataset.is_dir():
        raise NotFoundProblem(
            "There is no such picture or recording in this dataset",
            fix=f"Name one below its folder that ends in {', '.join(sorted(IMAGE_ENDINGS | AUDIO_ENDINGS))}.",
        )
    try:
        return root / checked(name, root, root), kind
    except RowProblem as problem:
        raise NotFoundProblem("There is no such picture or recording in this dataset", why=f"{problem}.") from None
