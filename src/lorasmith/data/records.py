"""Files of examples as rows with their line numbers, whatever they are packed in; a folder is read file by file.

It streams: memory does not grow with the file. It does not know what the rows mean; that is `formats`.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from lorasmith.core.errors import DataProblem
from lorasmith.data.compression import DAMAGES, open_bytes
from lorasmith.data.containers import container_of, damaged
from lorasmith.data.examples import kind_of

MAX_ROW_CHARS = 16 * 2**20  # a single example beyond 16 Mi characters is a mistake, and would have to be held whole
MAX_PARAGRAPH_CHARS = 2**20  # a text without blank lines is no single example; it goes on as the next one
_TOO_LONG = f"it is longer than {MAX_ROW_CHARS // 2**20} Mi characters"
_CHUNK_CHARS = 2**20
_GAP = re.compile(r"[ \t\r\n,\[\]]*")
# Only finds where an object ends; what it means orjson says, by the rules of JSON. Long numbers cost nothing this way.
_DECODER = json.JSONDecoder(parse_int=len, parse_float=len)


class Record(NamedTuple):
    """One row and the line it starts on (for Parquet and Arrow the row's number, for a file that is a row itself 0).

    A row that cannot be read has a `problem`.
    """

    line: int
    row: dict[str, Any]
    problem: str
    file: Path


def read_records(path: Path) -> Iterator[Record]:
    """Every row of the file, or of every file in the folder, in turn. Rows that cannot be read come with a `problem`.

    Raises DataProblem where the rest of a file cannot be told apart into rows, NotFoundProblem, EnvironmentProblem.
    """
    if path.is_dir():
        from lorasmith.data.folders import read_folder

        yield from read_folder(path)
        return
    kind, encoding = container_of(path)
    if kind in ("parquet", "arrow"):
        from lorasmith.data.tables import read_arrow, read_parquet

        yield from (read_parquet if kind == "parquet" else read_arrow)(path)
        return
    from lorasmith.data.tables import read_csv

    readers = {"jsonl": _jsonl, "json": _json, "csv": read_csv, "text": _paragraphs}
    with open_bytes(path) as binary, io.TextIOWrapper(binary, encoding=encoding, newline="") as text:
        try:
            yield from readers[kind](text, path)
        except UnicodeDecodeError as error:
            raise DataProblem(
                f"Line {_undecodable_line(path, encoding)} of '{path.name}' is not valid {encoding.removesuffix('-sig').upper()}",
                why=f"{error.reason}: byte 0x{error.object[error.start]:02x}.",
                fix="Save the file as UTF-8.",
            ) from error
        except DAMAGES as error:
            raise damaged(path, error) from error


def _undecodable_line(path: Path, encoding: str) -> int:
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 1
    # Behind the line there may be damage; it was not reached.
    with open_bytes(path) as file, contextlib.suppress(*DAMAGES):
        while chunk := file.read(_CHUNK_CHARS):
            try:
                number += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                return number + error.object[: error.start].decode(error.encoding, errors="ignore").count("\n")
    return number


def lines_of(text: IO[str], path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines. Raises DataProblem at one that is too long to be held."""
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
    for number, line in lines_of(text, path):
        stripped = line.strip("\ufeff \t\r\n")
        if stripped and (stripped[0] == "{" or stripped.strip()):
            yield _record(number, stripped, path)


def _record(number: int, text: str, path: Path) -> Record:
    try:
        row = orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError) as error:
        said = (
            f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        )
        return Record(number, {}, f"broken JSON ({said}): {shorten(text)}", path)
    if isinstance(row, dict):
        return Record(number, row, "", path)
    return Record(number, {}, f"expected an object, found {kind_of(row)}: {shorten(text)}", path)


def _json(text: IO[str], path: Path) -> Iterator[Record]:
    """Objects of a JSON list, or one after another, each with the line it starts on; never the whole file at once."""
    buffer, position, line, at_end = "", 0, 1, False
    while True:
        start = _after_gap(buffer, position)
        line += buffer.count("\n", position, start)
        position = start
        if position < len(buffer):
            end = _end_of_value(buffer, position, line, at_end, path)
            if end and (at_end or end < len(buffer)):  # a number at the buffer's end may go on
                is_long = end - position > MAX_ROW_CHARS
                yield Record(line, {}, _TOO_LONG, path) if is_long else _record(line, buffer[position:end], path)
                line += buffer.count("\n", position, end)
                position = end
                continue
        elif at_end:
            return
        chunk = text.read(max(_CHUNK_CHARS, len(buffer) - position))
        at_end = not chunk
        buffer, position = buffer[position:] + chunk, 0


def _after_gap(buffer: str, position: int) -> int:
    match = _GAP.match(buffer, position)
    return match.end() if match else position


def _end_of_value(buffer: str, position: int, line: int, at_end: bool, path: Path) -> int:
    """Where the value that starts at `position` ends; 0 where more of the file is needed. Raises DataProblem."""
    try:
        return _DECODER.raw_decode(buffer, position)[1]
    except RecursionError as error:
        raise DataProblem(f"The row in line {line} of '{path.name}' is nested too deeply") from error
    except json.JSONDecodeError as error:
        if not at_end and len(buffer) - position <= MAX_ROW_CHARS:
            return 0
        raise DataProblem(
            f"'{path.name}' is broken JSON in line {line + buffer.count(chr(10), position, error.pos)}",
            why=f"{error.msg}: {shorten(buffer[error.pos : error.pos + 200]) or 'the file ends here'}",
            fix="Nothing after that place can be read; repair the file, or write one example a line (JSONL).",
        ) from error


def _paragraphs(text: IO[str], path: Path) -> Iterator[Record]:
    """Paragraphs, parted by blank lines, as `{text}`; very long ones are parted at a line's end."""
    lines: list[str] = []
    first, size = 1, 0
    for number, line in lines_of(text, path):
        is_blank = not line.strip()
        if lines and (is_blank or size + len(line) > MAX_PARAGRAPH_CHARS):
            yield Record(first, {"text": "\n".join(lines)}, "", path)
            lines, size = [], 0
        if not is_blank:
            first = first if lines else number
            lines.append(line.rstrip("\r\n"))
            size += len(line)
    if lines:
        yield Record(first, {"text": "\n".join(lines)}, "", path)


def shorten(text: str, limit: int = 80) -> str:
    """The beginning of `text` on one line, for a message."""
    text = " ".join(text[: 20 * limit].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
