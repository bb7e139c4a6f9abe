"""Rows of tables: CSV and TSV, Parquet, and Arrow files as `datasets` saves them. A few rows are in memory at a time."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lorasmith.core.errors import DataProblem
from lorasmith.data import records
from lorasmith.data.containers import delimiter_of
from lorasmith.data.records import Record, lines_of, shorten

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1024
_BATCH_BYTES = 16 * 2**20


def read_csv(text: IO[str], path: Path) -> Iterator[Record]:
    """Rows under the names of the first line. A row that cannot be told apart into cells is a problem of its line."""
    csv.field_size_limit(records.MAX_ROW_CHARS)
    lines = _Lines(text, path)
    header = next(lines, "").lstrip("\ufeff")
    delimiter = delimiter_of(header, path)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    _require_once(names, path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, {}, f"it is no row of a table ({error})", path)
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            yield Record(line, {}, f"{len(cells)} cells under {len(names)} columns: {shorten(str(cells))}", path)
        else:
            yield Record(line, dict(zip(names, cells, strict=False)), "", path)


class _Lines:
    """The lines of a file one by one, and the number of the last."""

    def __init__(self, text: IO[str], path: Path):
        self._lines = lines_of(text, path)
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return line


def _require_once(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataProblem(
            f"The column '{twice[0]}' stands twice in '{path.name}'",
            why="Its cells could not be told apart.", fix="Rename one of them in the first line.",
        )  # fmt: skip


def read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Unbuffered: whole row groups, which may be gigabytes, are not held.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as table:
            _require_once(table.schema_arrow.names, path)
            meta = table.metadata
            num_bytes = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
            per_row = max(1, num_bytes // max(1, meta.num_rows))
            size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // per_row))
            yield from _numbered(table.iter_batches(batch_size=size), path)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise _damaged(path, "Parquet", error) from error


def read_arrow(path: Path) -> Iterator[Record]:
    """Rows of an Arrow stream (as `datasets` writes) or file (Feather). It is not mapped: mapped pages count as memory."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            if is_file:
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            else:
                reader = pa.ipc.open_stream(file)
                batches = iter(reader)
            _require_once(reader.schema.names, path)
            yield from _numbered(batches, path)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise _damaged(path, "Arrow", error) from error


def _damaged(path: Path, kind: str, error: BaseException) -> DataProblem:
    return DataProblem(
        f"The {kind} file '{path}' is damaged", why=f"{shorten(str(error), 200) or type(error).__name__}."
    )


def _numbered(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[Record]:
    number = 0
    for batch in batches:
        batch.validate(full=True)  # else a damaged file could read beyond its memory
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            part = batch.slice(start, _BATCH_ROWS)
            large = part.nbytes > records.MAX_ROW_CHARS
            for row in _rows(part, large):
                number += 1
                yield Record(number, row or {}, "" if row is not None else _TOO_LARGE, path)


_TOO_LARGE = "it is larger than 16 MiB"


def _rows(batch: pa.RecordBatch, is_large: bool) -> Iterator[dict[str, Any] | None]:
    """The rows as objects; None for one that is too large. Where the batch is large, one is made at a time."""
    if not is_large:
        yield from batch.to_pylist()
        return
    for index in range(batch.num_rows):
        one = batch.slice(index, 1)
        yield None if one.nbytes > records.MAX_ROW_CHARS else one.to_pylist()[0]
