"""From a path to examples: recognises the format by the rows' content and reports every row that cannot be used."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lorasmith.core.errors import DataProblem, UsageProblem
from lorasmith.data.examples import Example, Format, RowProblem
from lorasmith.data.formats import FORMATS
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
    """A recognised file of examples: iterate as often as needed, each time from disk."""

    path: Path
    format: Format
    columns: dict[str, str]
    skip_bad_rows: bool
    bad_rows: BadRows

    def __iter__(self) -> Iterator[Example]:
        """Examples in file order. Raises DataProblem at the first bad row unless `skip_bad_rows`."""
        self.bad_rows.count = 0
        self.bad_rows.problems.clear()
        for record in read_records(self.path):
            try:
                if record.problem:
                    raise RowProblem(record.problem)
                yield self.format.read(record.line, _renamed(record.row, self.columns))
            except RowProblem as problem:
                if not self.skip_bad_rows:
                    raise DataProblem(
                        f"Line {record.line} of '{self.path.name}' cannot be used: {problem}",
                        why=f"The file was read as {self.format.name}; a row looks like  {self.format.example}",
                        fix="Repair that line, or leave such rows out with --skip-bad-rows.",
                        line=record.line,
                    ) from problem
                self.bad_rows.add(record.line, str(problem))


def _renamed(row: dict[str, object], columns: dict[str, str]) -> dict[str, object]:
    if not columns:
        return row
    missing = [name for name in columns.values() if name not in row]
    if missing:
        raise RowProblem(f"there is no column '{missing[0]}'; the row has: {', '.join(map(str, row))}")
    return {wanted: row[name] for wanted, name in columns.items()}


def parse_columns(text: str) -> dict[str, str]:
    """`prompt=a,completion=b` as a mapping from our names to the file's. Raises UsageProblem."""
    if not text:
        return {}
    pairs = [part.split("=", 1) for part in text.split(",")]
    columns = {pair[0].strip(): pair[-1].strip() for pair in pairs}
    if any(len(pair) != 2 for pair in pairs) or set(columns) != {"prompt", "completion"}:
        raise UsageProblem(
            f"--columns {text!r} cannot be read", fix="Name two columns of your file: --columns prompt=…,completion=…"
        )
    return columns


def open_source(path: Path, *, format_name: str = "", columns: str = "", skip_bad_rows: bool = False) -> Source:
    """Recognise the format of `path`. Raises DataProblem, NotFoundProblem, EnvironmentProblem, UsageProblem."""
    mapping = parse_columns(columns)
    if mapping:
        format_name = "prompt-completion"
    rows = list(itertools.islice(read_records(path), _SNIFFED_ROWS))
    if not rows:
        raise DataProblem(f"The data file '{path}' is empty", why="It holds no example.")
    chosen = FORMATS.get(format_name) if format_name else _recognise(rows, path)
    return Source(path, chosen, mapping, skip_bad_rows, BadRows())


def _recognise(rows: list[Record], path: Path) -> Format:
    """The format that claims most of the first rows."""
    claims = {
        plugin: sum(plugin.claims(record.row) for record in rows if not record.problem) for plugin in FORMATS.all()
    }
    best = max(claims, key=lambda plugin: claims[plugin])
    if claims[best]:
        return best
    bad = next((record for record in rows if record.problem), rows[0])
    found = bad.problem or f"an object with {', '.join(map(str, bad.row)) or 'no keys'}"
    known = "\n".join(f"  {plugin.name:<18} {plugin.example}" for plugin in FORMATS.all())
    raise DataProblem(
        "Unable to detect data format",
        why=f"Line {bad.line} of '{path.name}': {found}",
        fix=f"Supported formats, with a row of each:\n{known}\nOther column names: --columns prompt=…,completion=…",
        line=bad.line,
    )
