"""What kind of file holds the examples, told by its first bytes: JSON lines, JSON, a table, Parquet, Arrow, text."""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path
from typing import IO, Literal

import orjson

from lorasmith.core.errors import DataProblem
from lorasmith.data.compression import DAMAGES, open_bytes, unpacked_ending

HEAD_BYTES = 2**16
DELIMITERS = {".csv": ",", ".tsv": "\t"}
# Two of these in the first line make a table of a file that is called neither .csv nor .tsv.
_COLUMNS = frozenset(
    {
        "question", "answer", "query", "response", "reply", "prompt", "completion", "chosen", "rejected", "instruction",
        "output", "input", "target", "text", "label", "input_text", "target_text", "output_text", "source", "src", "tgt",
        "problem", "solution", "system", "file_name",
    }
)  # fmt: skip
_JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")
_LINE_END = re.compile(r"\r\n|\r|\n")

Container = Literal["jsonl", "json", "csv", "parquet", "arrow", "text"]


def encoding_of(head: bytes) -> str:
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
            fix="Give a JSONL, JSON, CSV, TSV, Parquet, Arrow or text file (gzip, zstd, bzip2 and xz are fine).",
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


def container_of(path: Path) -> tuple[Container, str]:
    """What kind of file it is, and its text encoding; the ending decides only where the content leaves a doubt.

    Raises DataProblem for an empty or a binary file.
    """
    with open_bytes(path) as file:
        head = _read_head(path, file)
    if not head:
        raise DataProblem(f"The data file '{path}' is empty", fix="It must hold at least one example.")
    if head.startswith(b"PAR1"):
        return "parquet", ""
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow", ""
    try:
        encoding = encoding_of(head)
    except DataProblem as problem:
        problem.what = f"'{path.name}': {problem.what[0].lower()}{problem.what[1:]}"
        raise
    # A character may be cut at the head's end; what is missing of it is no reason to refuse the file.
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    if not text.strip():
        raise DataProblem(f"The data file '{path}' is empty", why="It holds blank lines only.")
    return _container_of_text(text, path), encoding


def _container_of_text(text: str, path: Path) -> Container:
    body, ending = text.lstrip(), unpacked_ending(path)
    if body[0] == "{":
        return _objects(body)
    if body[0] == "[" and (ending == ".json" or body[1:].lstrip()[:1] in ("{", "]", "")):
        return "json"
    if ending == ".json" or ending in _JSON_LINES:
        return "jsonl"
    if ending in DELIMITERS:
        return "csv"
    first = _LINE_END.split(body, maxsplit=1)[0]
    cells = next(csv.reader([first], delimiter=delimiter_of(first, path)), [])
    return "csv" if len({cell.strip().lower() for cell in cells} & _COLUMNS) >= 2 else "text"


def _objects(body: str) -> Container:
    """Whether objects stand one in a line, or run over several lines."""
    lines = [line.strip() for line in _LINE_END.split(body, maxsplit=2)[:2]]
    if len(lines) == 1 or lines[1].startswith("{"):
        return "json" if lines[0] == "{" else "jsonl"
    try:
        orjson.loads(lines[0])
    except orjson.JSONDecodeError:
        return "jsonl" if lines[0].endswith("}") else "json"
    return "jsonl"


def _read_head(path: Path, file: IO[bytes]) -> bytes:
    try:
        return file.read(HEAD_BYTES)
    except DAMAGES as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> DataProblem:
    said = str(error).splitlines()
    return DataProblem(f"The data file '{path}' is damaged", why=f"{said[0] if said else type(error).__name__}.")


def delimiter_of(header: str, path: Path) -> str:
    """What parts the cells of a table: the most frequent of tab, comma and semicolon in its first line."""
    counts = {mark: header.count(mark) for mark in ("\t", ",", ";")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else DELIMITERS.get(unpacked_ending(path), ",")
