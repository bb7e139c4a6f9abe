"""From a path to examples: recognises the format by the rows' content and reports every row that cannot be used."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lorasmith.core.errors import DataProblem
from lorasmith.data.columns import format_for, parse_columns, renamed, suggestion
from lorasmith.data.examples import Example, Format, RowProblem, names_of
from lorasmith.data.folders import data_files, list_files
from lorasmith.data.formats import FORMATS
from lorasmith.data.media import MEDIA_KEYS, audio_of, checked, images_of
from lorasmith.data.records import Record, read_records

_SNIFFED_ROWS = 100
_REMEMBERED_PROBLEMS = 20


@dataclass
class BadRows:
    """Rows that were left out, with the first reasons."""

    count: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if len(self.problems) < _REMEMBERED_PROBLEMS:
            self.problems.append((line, reason))


@dataclass(frozen=True)
class Source:
    """A recognised file or folder of examples: iterate as often as needed, each time from disk."""

    path: Path
    format: Format
    columns: dict[str, str]
    skip_bad_rows: bool
    bad_rows: BadRows

    @cached_property
    def root(self) -> Path:
        """The dataset's folder: what rows name lies below it."""
        return (self.path if self.path.is_dir() else self.path.parent).resolve()

    def __iter__(self) -> Iterator[Example]:
        """Examples in file order. Raises DataProblem at the first bad row unless `skip_bad_rows`."""
        self.bad_rows.count = 0
        self.bad_rows.problems.clear()
        is_folder = self.path.is_dir()
        for record in read_records(self.path):
            name = _below(record.file, self.path) if is_folder else ""
            try:
                yield from self._examples(record, name)
            except RowProblem as problem:
                if not self.skip_bad_rows:
                    raise DataProblem(
                        f"{place(record.line, name or self.path.name)} cannot be used: {problem}",
                        why=f"It was read as {self.format.name}; a row looks like  {self.format.example}",
                        fix="Repair it, or leave such rows out with --skip-bad-rows.",
                        line=record.line,
                    ) from problem
                self.bad_rows.add(record.line, f"'{name}': {problem}" if name else str(problem))

    def _examples(self, record: Record, name: str) -> list[Example]:
        """The record's examples, with the file's name where there are several files. Raises RowProblem."""
        if record.problem:
            raise RowProblem(record.problem)
        row = renamed(record.row, self.columns) if self.columns else record.row
        examples = self.format.read(record.line, row)
        if name:
            examples = [replace(example, file=name) for example in examples]
        if MEDIA_KEYS.isdisjoint(row):
            for example in examples:
                if example.images or example.audio:
                    break
            else:
                return examples
        folder = (
            record.file.parent.resolve() if record.line else self.root
        )  # a file that is a row is named from the root
        return [self._with_media(example, row, folder) for example in examples]

    def _with_media(self, example: Example, row: dict[str, Any], folder: Path) -> Example:
        """With the files that the row names, each of them checked; a format of plain text may have overlooked them."""
        images, audio = example.images or images_of(row), example.audio or audio_of(row)
        return replace(
            example,
            images=tuple(checked(name, folder, self.root) for name in images),
            masks=tuple(checked(name, folder, self.root) for name in example.masks),
            audio=tuple(checked(name, folder, self.root) for name in audio),
        )

    def where(self, example: Example) -> str:
        """Where an example stands, to begin a sentence: `Line 7 of 'b.jsonl'`."""
        return place(example.line, example.file or self.path.name)


def place(line: int, name: str) -> str:
    return f"Line {line} of '{name}'" if line else f"'{name}'"


def _below(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


class _LowerKeys(Format):
    """A format whose rows write its keys in another case: `Instruction`, `OUTPUT`."""

    def __init__(self, inner: Format):
        self.inner = inner
        self.name, self.title, self.example = inner.name, inner.title, inner.example
        self.objectives = inner.objectives  # type: ignore[misc]  # those of this one

    def claims(self, row: dict[str, Any]) -> bool:
        return self.inner.claims(_lowered(row))

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        return self.inner.read(line, _lowered(row))


def _lowered(row: dict[str, Any]) -> dict[str, Any]:
    return {str(key).strip().lower(): value for key, value in row.items()}


def open_source(path: Path, *, format_name: str = "", columns: str = "", skip_bad_rows: bool = False) -> Source:
    """Recognise the format of a file or of all files of a folder.

    Raises DataProblem, NotFoundProblem, EnvironmentProblem, UsageProblem.
    """
    mapping = parse_columns(columns)
    format_name = format_for(mapping) if mapping else format_name
    chosen = FORMATS.get(format_name) if format_name else None
    files = data_files(list_files(path)) if path.is_dir() else []
    found: dict[str, str] = {}
    for file in files or [path]:
        rows = list(itertools.islice(read_records(file), _SNIFFED_ROWS))
        if not rows:
            raise DataProblem(f"The data file '{file}' is empty", why="It holds no example.")
        if not format_name:
            chosen = _recognise(rows, _below(file, path) if files else path.name)
            found.setdefault(chosen.name, _below(file, path) if files else "")
    if len(found) > 1:
        raise _mixed(found, path)
    assert chosen  # noqa: S101  there is at least one file
    return Source(path, chosen, mapping, skip_bad_rows, BadRows())


def _mixed(found: dict[str, str], path: Path) -> DataProblem:
    (one, first), (other, second) = itertools.islice(found.items(), 2)
    return DataProblem(
        f"The files of '{path.name}' are of different formats",
        why=f"'{first}' looks like {one}, '{second}' like {other}.",
        fix="Give each format a folder of its own, or name one file.",
    )


def _recognise(rows: list[Record], name: str) -> Format:
    """The format that claims most of the first rows."""
    usable = [record.row for record in rows if not record.problem]
    for plugins in (FORMATS.all(), [_LowerKeys(plugin) for plugin in FORMATS.all()]):
        claims = {plugin: sum(plugin.claims(row) for row in usable) for plugin in plugins}
        best = max(claims, key=lambda plugin: claims[plugin])
        if claims[best]:
            return best
    bad = next((record for record in rows if record.problem), rows[0])
    found = bad.problem or f"an object with {names_of(bad.row)}"
    known = "\n".join(f"  {plugin.name:<18} {plugin.example}" for plugin in FORMATS.all())
    raise DataProblem(
        "Unable to detect data format",
        why=f"{place(bad.line, name)}: {found}",
        fix=f"Supported formats, with a row of each:\n{known}\n"
        f"Other column names, also inside of columns (a.0.b):  {suggestion(usable)}",
        line=bad.line,
    )
