"""Pictures and recordings that rows name: where they may lie, and that they are there (SEC-1).

Nothing is fetched and nothing is opened here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lorasmith.data.examples import RowProblem, kind_of

IMAGE_KEYS = ("image", "images", "image_path", "image_paths", "img", "img_path", "picture")
MASK_KEYS = ("mask", "label_image", "segmentation_mask", "annotation")
AUDIO_KEYS = ("audio", "audios", "audio_path", "audio_filepath", "wav")
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
AUDIO_ENDINGS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac"})
MEDIA_KEYS = frozenset((*IMAGE_KEYS, *MASK_KEYS, *AUDIO_KEYS))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MAX_NAME_CHARS = 1024


def names_under(row: dict[str, Any], *keys: str) -> tuple[str, ...]:
    """The file names under the first of `keys` that holds any: a string, `{path}`, or a list of them. Raises RowProblem."""
    for key in keys:
        value = row.get(key)
        if value:
            return tuple(_name(entry, key) for entry in (value if isinstance(value, list) else [value]))
    return ()


def _name(value: Any, key: str) -> str:
    if isinstance(value, dict):
        if value.get("bytes"):
            raise RowProblem(f"'{key}' holds the file itself; save it beside the table and give its name")
        value = value.get("path")
    if not isinstance(value, str) or not value:
        raise RowProblem(f"'{key}' must name a file, found {kind_of(value)}")
    return value


def images_of(row: dict[str, Any], parts: list[str] | None = None) -> tuple[str, ...]:
    """The pictures of a row. `parts` are those that its turns hold, where "" stands for the next of the column."""
    keys = (*IMAGE_KEYS, "file_name") if _is_named(row, "file_name", IMAGE_ENDINGS) else IMAGE_KEYS
    return _filled(parts or [], names_under(row, *keys))


def audio_of(row: dict[str, Any], parts: list[str] | None = None) -> tuple[str, ...]:
    """The recordings of a row, as `images_of`."""
    named = (key for key in ("file_name", "path") if _is_named(row, key, AUDIO_ENDINGS))
    return _filled(parts or [], names_under(row, *AUDIO_KEYS, *named))


def _is_named(row: dict[str, Any], key: str, endings: frozenset[str]) -> bool:
    name = row.get(key)
    return isinstance(name, str) and ending(name) in endings


def _filled(parts: list[str], column: tuple[str, ...]) -> tuple[str, ...]:
    rest = iter(column)
    names = [part or next(rest, "") for part in parts]
    if not all(names):
        raise RowProblem("a turn holds a picture or a recording, but no file is named for it")
    return (*names, *rest)


def ending(name: str) -> str:
    return Path(name).suffix.lower()


def checked(name: str, folder: Path, root: Path) -> str:
    """`name` as a path below `root`, sought beside the file that names it (`folder`), then from `root`.

    Raises RowProblem for addresses, for what would lead outside `root`, and for what is not there. `root` is resolved.
    """
    shown = f"'{_printable(name)}'"
    if _SCHEME.match(name):
        raise RowProblem(f"{shown} is an address; nothing is fetched for a dataset: save the file in its folder")
    if "\\" in name or any(ord(char) < 32 or ord(char) == 127 for char in name) or len(name) > _MAX_NAME_CHARS:
        raise RowProblem(f"{shown} is no file name that can be used: write it short, with '/', without control signs")
    parts = name.split("/")
    if name.startswith(("/", "~")) or ".." in parts:
        raise RowProblem(f"{shown} leads outside the dataset's folder; name files below it")
    for start in dict.fromkeys((folder, root)):
        try:
            found = (start / name).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a ring
            continue
        if not found.is_relative_to(_allowed(root)):
            raise RowProblem(f"{shown} is a link that leads outside the dataset's folder")
        if found.is_file():
            return (start / name).relative_to(root).as_posix()
        raise RowProblem(f"{shown} is no file")
    raise RowProblem(f"there is no file {shown}")


def _allowed(root: Path) -> Path:
    """`root`; for a snapshot in the Hub's cache, whose files are links to `blobs`, that repository's folder."""
    snapshots = next((parent for parent in root.parents if parent.name == "snapshots"), None)
    return snapshots.parent if snapshots and (snapshots.parent / "blobs").is_dir() else root


def stays_inside(file: Path, root: Path) -> bool:
    """Whether `file`, which was found below `root`, is no link to a place outside."""
    try:
        return not file.is_symlink() or file.resolve(strict=True).is_relative_to(_allowed(root))
    except (OSError, RuntimeError):
        return False


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in name[:120])
