"""A folder as a dataset: its data files one after another, or pictures and recordings with texts or classes.

Files that lead out of the folder are refused, hidden ones left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import orjson

from lorasmith.core.errors import DataProblem
from lorasmith.data.compression import open_bytes, unpacked_ending
from lorasmith.data.containers import container_of
from lorasmith.data.media import AUDIO_ENDINGS, IMAGE_ENDINGS, ending, stays_inside
from lorasmith.data.records import MAX_PARAGRAPH_CHARS, Record, read_records

_TABLES = frozenset(
    {".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".ipc"}
)
# What `datasets` writes beside its tables.
_NOTES = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})


def read_folder(folder: Path) -> Iterator[Record]:
    """Every row of every data file in and below `folder`, in the order of names. Raises DataProblem."""
    files = list_files(folder)
    if tables := data_files(files):
        for file in tables:
            yield from read_records(file)
        return
    media = [file for file in files if ending(file.name) in IMAGE_ENDINGS | AUDIO_ENDINGS]
    if not media:
        raise DataProblem(
            f"There is no data file in '{folder}'",
            why=f"It holds: {', '.join(file.name for file in files[:10]) or 'nothing'}.",
            fix="Put JSONL, JSON, CSV, TSV, Parquet, Arrow or text files into it, or images with a .txt beside each.",
        )
    texts = {file.with_suffix("") for file in files if file.suffix.lower() == ".txt"}
    if texts & {file.with_suffix("") for file in media}:
        yield from _captions(media, folder)
    else:
        yield from _classes(media, folder)


def data_files(files: list[Path]) -> list[Path]:
    """Those of `files` that hold rows. Texts beside pictures and recordings are captions, no rows."""
    tables = [file for file in files if unpacked_ending(file) in _TABLES and file.name not in _NOTES]
    tables = _without_caches(tables)
    if tables or any(ending(file.name) in IMAGE_ENDINGS | AUDIO_ENDINGS for file in files):
        return tables
    return [file for file in files if unpacked_ending(file) == ".txt"]


def _without_caches(tables: list[Path]) -> list[Path]:
    """Where `datasets` saved a table, its state.json names the files that belong to it; others are left-overs of caches."""
    saved: dict[Path, set[str]] = {}
    for folder in {file.parent for file in tables if file.suffix == ".arrow"}:
        try:
            state = orjson.loads((folder / "state.json").read_bytes())
            saved[folder] = {str(entry["filename"]) for entry in state["_data_files"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [file for file in tables if file.suffix != ".arrow" or file.name in saved.get(file.parent, {file.name})]


def list_files(folder: Path) -> list[Path]:
    """All files below `folder`, in the order of their paths; hidden ones and hidden folders are left out.

    Raises DataProblem for a link that leads outside.
    """
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    root = folder.resolve()
    for file in found:
        if not stays_inside(file, root):
            raise DataProblem(
                f"'{file.relative_to(folder)}' in '{folder.name}' is a link that leads outside the folder",
                fix="Copy the file into the folder, or give that file itself to --data.",
            )
    return sorted((file for file in found if file.is_file()), key=lambda file: file.relative_to(folder).parts)


def _captions(media: list[Path], folder: Path) -> Iterator[Record]:
    for file in media:
        text = file.with_suffix(".txt")
        if not text.is_file():
            yield Record(0, {}, f"there is no '{text.name}' with its text beside it", file)
            continue
        row = {_kind(file): file.relative_to(folder).as_posix(), "text": ""}
        try:
            row["text"] = _text(text)
        except DataProblem as problem:
            yield Record(0, {}, problem.what, file)
            continue
        yield Record(0, row, "", file)


def _text(file: Path) -> str:
    _, encoding = container_of(file)
    with open_bytes(file) as binary:
        content = binary.read(MAX_PARAGRAPH_CHARS + 1)
    if len(content) > MAX_PARAGRAPH_CHARS:
        raise DataProblem(f"'{file.name}' is too long for the text of one image")
    try:
        return content.decode(encoding or "utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataProblem(f"'{file.name}' is not valid {encoding.removesuffix('-sig').upper()}") from error


def _classes(media: list[Path], folder: Path) -> Iterator[Record]:
    if all(file.parent == folder and ending(file.name) in IMAGE_ENDINGS for file in media):
        for file in media:  # of one thing, for DreamBooth
            yield Record(0, {"image": file.name}, "", file)
        return
    for file in media:
        if file.parent == folder:
            problem = "it lies in no folder that names its class, and there is no .txt with its text beside it"
            yield Record(0, {}, problem, file)
        else:
            yield Record(0, {_kind(file): file.relative_to(folder).as_posix(), "label": file.parent.name}, "", file)


def _kind(file: Path) -> str:
    return "image" if ending(file.name) in IMAGE_ENDINGS else "audio"
