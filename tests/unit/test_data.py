"""Reading and recognising examples: formats, encodings, compression, and everything that can be wrong with a file."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorasmith.core.errors import DataProblem, LorasmithError, NotFoundProblem, UsageProblem
from lorasmith.data import records
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import open_source

PAIR = [("user", "2+2?"), ("assistant", "4")]
ROWS = {
    "alpaca": {"instruction": "2+2?", "output": "4"},
    "sharegpt": {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
    "openai": {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
    "prompt-completion": {"prompt": "2+2?", "completion": "4"},
    "question-answer": {"question": "2+2?", "answer": "4"},
}


def turns(example):
    return [(message["role"], message["content"]) for message in example.messages]


def lines(row, count=3):
    return "".join(json.dumps(row) + "\n" for _ in range(count))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("form", ["jsonl", "list", "pretty", "gz", "zst", "bom", "utf16", "crlf", "parquet"])
def test_every_format_is_recognised_in_every_container(tmp_path, name, form):
    """DAT-1"""
    path = tmp_path / "data.bin"  # the ending tells nothing
    row = ROWS[name]
    content = {
        "jsonl": lambda: lines(row).encode(),
        "list": lambda: json.dumps([row] * 3).encode(),
        "pretty": lambda: json.dumps([row] * 3, indent=2).encode(),
        "gz": lambda: gzip.compress(lines(row).encode()),
        "zst": lambda: pa.compress(lines(row).encode(), codec="zstd", asbytes=True),
        "bom": lambda: lines(row).encode("utf-8-sig"),
        "utf16": lambda: lines(row).encode("utf-16"),
        "crlf": lambda: lines(row).replace("\n", "\r\n").encode(),
        "parquet": None,
    }[form]
    if content is None:
        pq.write_table(pa.Table.from_pylist([row] * 3), path)
    else:
        path.write_bytes(content())
    source = open_source(path)
    assert source.format.name == name
    assert [turns(example) for example in source] == [PAIR] * 3


@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("tsv", "\t"), ("txt", ";")])
def test_tables_are_read_with_their_separator(tmp_path, ending, mark):
    """DAT-1"""
    path = tmp_path / f"t.{ending}"
    path.write_text(f'question{mark}answer\n2+2?{mark}4\n"two\nlines?"{mark}yes\n')
    assert [turns(example) for example in open_source(path)] == [PAIR, [("user", "two\nlines?"), ("assistant", "yes")]]


def test_any_two_columns_can_be_named(tmp_path):
    """DAT-1"""
    path = tmp_path / "t.csv"
    path.write_text("Frage,Antwort,id\n2+2?,4,1\n")
    assert [turns(example) for example in open_source(path, columns="prompt=Frage,completion=Antwort")] == [PAIR]
    with pytest.raises(DataProblem, match="no column 'Fragen'"):
        list(open_source(path, columns="prompt=Fragen,completion=Antwort"))
    with pytest.raises(UsageProblem, match="cannot be read"):
        open_source(path, columns="prompt")


def test_plain_text_comes_in_paragraphs(tmp_path):
    """DAT-1"""
    path = tmp_path / "story.txt"
    path.write_text("Once upon\na time.\n\n\nThe end.\n")
    examples = list(open_source(path))
    assert [(example.line, example.text) for example in examples] == [(1, "Once upon\na time."), (5, "The end.")]


def test_alpaca_has_system_input_and_history(tmp_path):
    """DAT-1"""
    path = tmp_path / "a.jsonl"
    row = {"instruction": "And this?", "input": "3+3", "output": "6", "system": "Be brief.", "history": [["2+2?", "4"]]}
    path.write_text(json.dumps(row) + "\n")
    (example,) = open_source(path)
    assert turns(example) == [("system", "Be brief."), *PAIR, ("user", "And this?\n\n3+3"), ("assistant", "6")]


def test_all_formats_show_an_example_that_they_can_read():
    """DAT-4"""
    for plugin in FORMATS.all():
        if plugin.example.startswith("{"):
            assert plugin.read(1, json.loads(plugin.example)).line == 1


GOOD = json.dumps(ROWS["alpaca"])
BAD = {
    "empty file": (b"", ["empty"]),
    "blank lines": (b"\n \n", ["empty"]),
    "broken JSON in row 17": (("\n".join([GOOD] * 16 + ['{"instruction": "x", '] + [GOOD])).encode(), ["Line 17", "broken JSON"]),
    "no output in row 2": (f'{GOOD}\n{{"instruction": "x"}}\n'.encode(), ["Line 2", "'output' is missing"]),
    "a list in a row": (f"{GOOD}\n[1]\n".encode(), ["Line 2", "expected an object"]),
    "unknown role": (b'{"messages": [{"role": "wizard", "content": "x"}]}\n', ["unknown role 'wizard'"]),
    "no answer": (b'{"messages": [{"role": "user", "content": "x"}]}\n', ["no answer"]),
    "unknown keys": (b'{"a": 1, "b": 2}\n', ["Unable to detect data format", "Line 1", "a, b", "alpaca", "sharegpt"]),
    "binary": (bytes(range(256)) * 40, ["binary file"]),
    "latin-1": (f'{GOOD}\n{{"instruction": "caf'.encode() + b'\xe9", "output": "x"}\n', ["UTF-8"]),
    "list that ends": (f"[{GOOD}, {GOOD[:-4]}".encode(), ["broken JSON in line 1"]),
    "deeply nested": (b'[{"instruction": ' + b'{"a": ' * 100_000 + b"1", ["nested too deeply"]),
    "deeply nested line": (b'{"instruction": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_001, ["Line 1"]),
    "damaged gzip": (gzip.compress((GOOD + "\n").encode() * 5000)[:-200], ["damaged"]),
    "damaged parquet": (b"PAR1" + b"x" * 100, ["damaged"]),
    "image in a conversation": (b'{"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "x"}]}\n', ["type 'image'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_line(tmp_path, case):
    """DAT-4"""
    content, said = BAD[case]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataProblem) as caught:
        list(open_source(path))
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_late_bytes_that_are_no_text_are_named_by_their_line(tmp_path):
    """DAT-4"""
    path = tmp_path / "late.jsonl"
    path.write_bytes((GOOD + "\n").encode() * 3000 + b'{"instruction": "\xff", "output": "x"}\n')
    with pytest.raises(DataProblem, match=r"Line 3001 .* is not valid UTF-8"):
        list(open_source(path))


def test_bad_rows_are_left_out_only_when_asked_and_are_counted(tmp_path):
    """DAT-4"""
    path = tmp_path / "some.jsonl"
    path.write_text(f'{GOOD}\n{{"instruction": "x"}}\nnonsense\n{GOOD}\n')
    source = open_source(path, skip_bad_rows=True)
    assert len(list(source)) == 2
    assert [line for line, _ in source.bad_rows.problems] == [2, 3]


def test_a_line_of_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """DAT-4: a sparse file, so that the test costs no disk; zero bytes stand in for the text."""
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.write(b'{"instruction": "' + b"x" * records._HEAD_BYTES)
        file.truncate(3 * 2**30)
    code = (
        "from lorasmith.plan.hardware import resident_peak_bytes\nfrom pathlib import Path\nfrom lorasmith.data.load import open_source\n"
        "from lorasmith.core.errors import DataProblem\n"
        f"try: list(open_source(Path({str(path)!r})))\n"
        "except DataProblem as problem: print(problem.what)\n"
        "print(resident_peak_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, peak = done.stdout.splitlines()
    assert said.startswith("Line 1 of 'huge.jsonl' is longer than 16 Mi")
    assert int(peak) < 400_000_000


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(NotFoundProblem, match="no data file"):
        open_source(tmp_path / "nothing.jsonl")
    with pytest.raises(DataProblem, match="is a folder"):
        open_source(tmp_path)


def test_a_file_without_rights_says_so(tmp_path):
    """DAT-4. Root may read everything, so the capability is dropped where the tests run as root."""
    path = tmp_path / "mine.jsonl"
    path.write_text(GOOD)
    path.chmod(0)
    prefix: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root, and no setpriv to drop root's rights")
        prefix = [
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
        ]
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "lorasmith", "data", "inspect", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert "cannot be opened" in done.stderr
    assert "Permission denied" in done.stderr


def test_random_bytes_never_crash_the_readers(tmp_path):
    """REL-4"""
    import random

    rng = random.Random(1)
    path = tmp_path / "fuzz"
    alphabet = [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"\n",
        b"\\u",
        b"instruction",
        b"output",
        b"\xc3",
        b"\xa4",
        b"1e999",
        b"null",
    ]
    for _ in range(400):
        path.write_bytes(b"".join(rng.choice(alphabet) for _ in range(rng.randint(1, 60))))
        with contextlib.suppress(LorasmithError):
            list(open_source(path))
