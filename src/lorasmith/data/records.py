"""Files of examples as rows with their line numbers, whatever they are packed in: JSON, CSV, Parquet, text, compressed.

It streams: memory does not grow with the file. It does not know what the rows mean; that is `formats`.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import orjson

from lorasmith.core.errors import DataProblem, EnvironmentProblem, NotFoundProblem

MAX_ROW_CHARS = 16 * 2**20  # a single example beyond 16 Mi characters is a mistake, and would have to be held whole
_CHUNK_CHARS = 2**20
_HEAD_BYTES = 2**16
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_DECODER = json.JSONDecoder()

Container = Literal["jsonl", "json", "csv", "parquet", "text"]


class Record(NamedTuple):
    """One row and the line it starts on (for Parquet: the row's number). A row that cannot be read has a `problem`."""

    line: int
    row: dict[str, Any]
    problem: str = ""


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, gunzipped or unzstd-ed on the fly by its first bytes, not by its name.

    Raises NotFoundProblem, EnvironmentProblem (rights).
    """
    try:
        with path.open("rb") as probe:
            magic = probe.read(4)
        if magic[:2] == b"\x1f\x8b":
            return gzip.open(path)  # type: ignore[return-value]
        if magic == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))  # type: ignore[arg-type]
        return path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundProblem(f"There is no data file '{path}'", fix="Check the path given to --data.") from error
    except IsADirectoryError as error:
        raise DataProblem(
            f"'{path}' is a folder, not a data file", fix="Name the file inside it, e.g. --data folder/train.jsonl."
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"The data file '{path}' cannot be opened", why=f"{error.strerror}.", fix="Check its rights with 'ls -l'."
        ) from error


def _encoding_of(head: bytes) -> str:
    """The text encoding that `head`, the first bytes of a file, shows. Raises DataProblem where it is no text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) // 4 and not even:
        return "utf-16-le"
    if even > len(head) // 4 and not odd:
        return "utf-16-be"
    if 0 in head:
        raise DataProblem(
            "This is a binary file, not a file of examples",
            why=f"There is a zero byte at position {head.index(0)}.",
            fix="Give a JSONL, JSON, CSV, TSV, Parquet or text file (gzip and zstd are fine).",
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        raise DataProblem(
            "This file is neither text in UTF-8 nor in UTF-16",
            why=f"Byte 0x{head[error.start]:02x} at position {error.start} cannot be read.",
            fix="If it is text in another encoding: iconv -f latin1 -t utf8 OLD > NEW",
        ) from error
    return "utf-8-sig"


def container_of(path: Path) -> Container:
    """What kind of file it is, by its content; the ending decides only between table and text.

    Raises DataProblem for an empty or a binary file.
    """
    with open_bytes(path) as file:
        head = _read_head(path, file)
    if not head:
        raise DataProblem(f"The data file '{path}' is empty", fix="It must hold at least one example.")
    if head.startswith(b"PAR1"):
        return "parquet"
    # A character may be cut at the head's end; what is missing of it is no reason to refuse the file.
    text = head.decode(_encoding_of(head), errors="ignore").lstrip("\ufeff")
    if not text.strip():
        raise DataProblem(f"The data file '{path}' is empty", why="It holds blank lines only.")
    return _container_of_text(text, path)


def _container_of_text(text: str, path: Path) -> Container:
    body = text.lstrip()
    if body[0] == "{":
        first = body.split("\n", 1)[0].strip()
        return "json" if first == "{" else "jsonl"
    if body[0] == "[" and body[1:].lstrip()[:1] in ("{", "]", ""):
        return "json"
    if _ending(path) in _DELIMITERS:
        return "csv"
    cells = next(csv.reader([body.split("\n", 1)[0]], delimiter=_delimiter(body, path)))
    known = {"question", "answer", "prompt", "completion", "instruction", "output", "input"}
    return "csv" if len({cell.strip().lower() for cell in cells} & known) >= 2 else "text"


def _read_head(path: Path, file: IO[bytes]) -> bytes:
    try:
        return file.read(_HEAD_BYTES)
    except (OSError, EOFError) as error:
        raise DataProblem(f"The data file '{path}' is damaged", why=f"{error}.") from error


def _ending(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return Path(name).suffix


def _delimiter(text: str, path: Path) -> str:
    header = text.split("\n", 1)[0]
    counts = {mark: header.count(mark) for mark in ("\t", ",", ";")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else _DELIMITERS.get(_ending(path), ",")


def read_records(path: Path) -> Iterator[Record]:
    """Every row of the file in turn. Rows that cannot be read come with a `problem`; the others are not lost.

    Raises DataProblem where the rest of the file cannot be told apart into rows.
    """
    kind = container_of(path)
    if kind == "parquet":
        yield from _parquet(path)
        return
    with open_bytes(path) as binary:
        encoding = _encoding_of(_read_head(path, binary))
    with open_bytes(path) as binary, io.TextIOWrapper(binary, encoding=encoding, newline="") as text:
        readers = {"jsonl": _jsonl, "json": _json, "csv": _csv, "text": _paragraphs}
        try:
            yield from readers[kind](text, path)
        except UnicodeDecodeError as error:
            raise DataProblem(
                f"Line {_undecodable_line(path, encoding)} of '{path.name}' is not valid {encoding.removesuffix('-sig').upper()}",
                why=f"{error.reason}: byte 0x{error.object[error.start]:02x}.",
                fix="Save the file as UTF-8.",
            ) from error
        except (OSError, EOFError) as error:
            raise DataProblem(f"The data file '{path}' is damaged", why=f"{error}.") from error


def _undecodable_line(path: Path, encoding: str) -> int:
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 1
    with open_bytes(path) as file, contextlib.suppress(UnicodeDecodeError):
        while chunk := file.read(1):
            number += decoder.decode(chunk) == "\n"
    return number


def _lines(text: IO[str], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    while line := text.readline(MAX_ROW_CHARS + 1):
        number += 1
        if len(line) > MAX_ROW_CHARS:
            raise DataProblem(
                f"Line {number} of '{path.name}' is longer than {MAX_ROW_CHARS // 2**20} Mi characters",
                why="One example must be held in memory whole; this looks like a file without line breaks.",
                fix="Write one example a line (JSONL), or a JSON list of examples.",
            )
        yield number, line


def _jsonl(text: IO[str], path: Path) -> Iterator[Record]:
    for number, line in _lines(text, path):
        stripped = line.strip()
        if not stripped:
            continue
        try:
            row = orjson.loads(stripped)
        except orjson.JSONDecodeError as error:
            yield Record(number, {}, f"broken JSON ({error.msg} at column {error.colno}): {_shorten(stripped)}")
            continue
        if isinstance(row, dict):
            yield Record(number, row)
        else:
            yield Record(number, {}, f"expected an object, found {_kind(row)}: {_shorten(stripped)}")


def _json(text: IO[str], path: Path) -> Iterator[Record]:
    """Objects of a JSON list, or one after another, each with the line it starts on; never the whole file at once."""
    buffer, position, line, at_end = "", 0, 1, False
    while True:
        start = _skip(buffer, position)
        line += buffer.count("\n", position, start)
        position = start
        if position < len(buffer):
            try:
                row, end = _DECODER.raw_decode(buffer, position)
            except RecursionError as error:
                raise DataProblem(f"The row in line {line} of '{path.name}' is nested too deeply") from error
            except json.JSONDecodeError as error:
                if at_end or len(buffer) - position > MAX_ROW_CHARS:
                    raise DataProblem(
                        f"'{path.name}' is broken JSON in line {line + buffer.count(chr(10), position, error.pos)}",
                        why=f"{error.msg}: {_shorten(buffer[error.pos : error.pos + 200]) or 'the file ends here'}",
                        fix="Nothing after that place can be read; repair the file, or write one example a line (JSONL).",
                    ) from error
            else:
                yield (
                    Record(line, row)
                    if isinstance(row, dict)
                    else Record(line, {}, f"expected an object, found {_kind(row)}")
                )
                line += buffer.count("\n", position, end)
                position = end
                continue
        elif at_end:
            return
        chunk = text.read(max(_CHUNK_CHARS, len(buffer) - position))
        at_end = not chunk
        buffer, position = buffer[position:] + chunk, 0


def _skip(buffer: str, position: int) -> int:
    while position < len(buffer) and buffer[position] in " \t\r\n,[]":
        position += 1
    return position


def _csv(text: IO[str], path: Path) -> Iterator[Record]:
    csv.field_size_limit(MAX_ROW_CHARS)
    header = text.readline(MAX_ROW_CHARS)
    delimiter = _delimiter(header, path)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
    reader = csv.reader(text, delimiter=delimiter)
    while True:
        line = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataProblem(f"Line {line} of '{path.name}' cannot be read as a table row", why=f"{error}.") from error
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            yield Record(line, {}, f"{len(cells)} cells under {len(names)} columns: {_shorten(str(cells))}")
        else:
            yield Record(line, dict(zip(names, cells, strict=False)))


def _paragraphs(text: IO[str], path: Path) -> Iterator[Record]:
    """Paragraphs, parted by blank lines, as `{text}`."""
    lines: list[str] = []
    first = 1
    for number, line in _lines(text, path):
        if line.strip():
            first = first if lines else number
            lines.append(line.rstrip("\r\n"))
        elif lines:
            yield Record(first, {"text": "\n".join(lines)})
            lines = []
    if lines:
        yield Record(first, {"text": "\n".join(lines)})


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield Record(number, row)
    except (pa.ArrowException, OSError) as error:
        raise DataProblem(f"The Parquet file '{path}' is damaged", why=str(error).split("\n", 1)[0]) from error


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true/false", type(None): "null"}
    return names.get(type(value), "a number")


def _shorten(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
