"""Noise in good files of every format: a problem or rows come out, never another error, never a hang (REL-4)."""

from __future__ import annotations

import contextlib
import gzip
import json
import random

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.rows import GOOD, TOOL_CHATS, dataset_folder

from lorasmith.core.errors import LorasmithError
from lorasmith.data.examples import RowProblem
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import open_source


@pytest.fixture
def folder(tmp_path):
    return dataset_folder(tmp_path)


def _containers(row):
    rows = [row] * 3
    lines = b"\n".join(orjson.dumps(one) for one in rows)
    yield "jsonl", lines
    yield "json", orjson.dumps(rows, option=orjson.OPT_INDENT_2)
    yield "gz", gzip.compress(lines)
    with contextlib.suppress(pa.ArrowException):
        table = pa.Table.from_pylist(rows)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        yield "parquet", sink.getvalue().to_pybytes()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        yield "arrow", sink.getvalue().to_pybytes()
    if all(isinstance(value, str) for value in row.values()):
        yield "csv", "\n".join([",".join(row), *[",".join(map(json.dumps, one.values())) for one in rows]]).encode()


_PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"\n",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"\xc3",
    b"1e999",
    b"null",
    b"-",
    b"role",
    b"9" * 40,
]


def _mutated(content, rng):
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[place : place + rng.randint(1, 20)] = b""
            case 1:
                data[place:place] = rng.choice(_PIECES)
            case 2:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 3:
                other = rng.randrange(len(data) + 1)
                data[place:place] = data[min(place, other) : max(place, other)][:200]
            case _:
                del data[place : len(data) if rng.random() < 0.3 else place + 1]
    return bytes(data)


def _value(rng, depth=0):
    """Any JSON value, mostly of the shapes that rows have."""
    kinds = [None, True, 0, -1, 2.5, 1e300, "", "x", "assistant", "😀", [], {}]
    if depth > 3 or rng.random() < 0.5:
        return rng.choice(kinds)
    if rng.random() < 0.5:
        return [_value(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    keys = [
        "role",
        "content",
        "from",
        "value",
        "type",
        "text",
        "image",
        "name",
        "function",
        "arguments",
        "tool_calls",
        "path",
        "bytes",
        "gt_parse",
    ]
    return {rng.choice(keys): _value(rng, depth + 1) for _ in range(rng.randint(1, 4))}


def _with_new_value(value, rng):
    """`value` with one place in it exchanged."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return {**value, key: _with_new_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], _with_new_value(value[index], rng), *value[index + 1 :]]
    return _value(rng)


ALL_ROWS = {**GOOD, **{f"tools, {name}": row for name, row in TOOL_CHATS.items()}}


@pytest.mark.parametrize("name", ALL_ROWS)
def test_mutated_files_give_a_problem_or_rows_and_nothing_else(folder, name):
    """REL-4: bytes changed, cut, doubled and exchanged in a good file of each format and container."""
    rng = random.Random(name)
    for kind, content in _containers(ALL_ROWS[name]):
        for _ in range(20):
            path = folder / f"noise.{kind}"
            path.write_bytes(_mutated(content, rng))
            for skip in (False, True):
                with contextlib.suppress(LorasmithError):
                    for example in open_source(path, skip_bad_rows=skip):
                        example.key()


@pytest.mark.parametrize("name", ALL_ROWS)
def test_rows_with_any_value_in_any_place_give_a_problem_or_examples_and_nothing_else(name):
    """REL-4: valid JSON whose values are not what a format expects."""
    rng = random.Random(name)
    readers = FORMATS.all()
    for _ in range(150):
        row = _with_new_value(ALL_ROWS[name], rng)
        if isinstance(row, dict):
            for plugin in readers:
                plugin.claims(row)
            with contextlib.suppress(RowProblem):
                for example in rng.choice([plugin for plugin in readers if plugin.claims(row)] or readers).read(1, row):
                    example.key()
