"""Reading and recognising examples: formats, encodings, compression, and everything that can be wrong with a file."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorasmith.core.errors import DataProblem, NotFoundProblem, UsageProblem
from lorasmith.data import compression, containers, records
from lorasmith.data.columns import parse_columns
from lorasmith.data.examples import Example
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import open_source

PAIR = [("user", "2+2?"), ("assistant", "4")]
ROWS = {
    "alpaca": {"instruction": "2+2?", "output": "4"},
    "sharegpt": {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
    "self-instruct": {"instruction": "2+2?", "instances": [{"input": "", "output": "4"}]},
    "preference": {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
    "kto": {"prompt": "2+2?", "completion": "4", "label": True},
    "openai": {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
    "prompt-completion": {"prompt": "2+2?", "completion": "4"},
    "question-answer": {"question": "2+2?", "answer": "4"},
}


def turns(example):
    return [(message["role"], message["content"]) for message in example.messages]


def lines(row, count=3):
    return "".join(json.dumps(row) + "\n" for _ in range(count))


def as_table(rows, form):
    table, sink = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    if form == "parquet":
        pq.write_table(table, sink)
    else:
        with (pa.ipc.new_stream if form == "arrow" else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    "form",
    ["jsonl", "list", "pretty", "gz", "zst", "bz2", "xz", "bom", "utf16", "crlf", "cr", "parquet", "arrow", "feather"],
)
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
        "bz2": lambda: bz2.compress(lines(row).encode()),
        "xz": lambda: lzma.compress(lines(row).encode()),
        "cr": lambda: lines(row).replace("\n", "\r").encode(),
        "bom": lambda: lines(row).encode("utf-8-sig"),
        "utf16": lambda: lines(row).encode("utf-16"),
        "crlf": lambda: lines(row).replace("\n", "\r\n").encode(),
        "parquet": lambda: as_table([row] * 3, "parquet"),
        "arrow": lambda: as_table([row] * 3, "arrow"),
        "feather": lambda: as_table([row] * 3, "feather"),
    }[form]
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
            assert [example.line for example in plugin.read(1, json.loads(plugin.example))] == [1]


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
    "image in a conversation": (b'{"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "x"}]}\n', ["Line 1", "no file is named"]),
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
        file.write(b'{"instruction": "' + b"x" * containers.HEAD_BYTES)
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
    with pytest.raises(DataProblem, match="There is no data file in"):
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


def test_columns_reach_into_objects_and_lists_and_name_more_than_two(tmp_path):
    """DAT-1"""
    path = tmp_path / "n.jsonl"
    row = {
        "q": {"de": "2+2?"},
        "instances": [{"output": "4"}, {"output": "5"}],
        "sys": "Be brief.",
        "a, b": "x",
        "ok": 1,
    }
    path.write_text(json.dumps(row) + "\n")

    def read(columns):
        (example,) = open_source(path, columns=columns)
        return example

    assert turns(read("prompt=q.de,completion=instances.0.output,system=sys")) == [("system", "Be brief."), *PAIR]
    judged = read("prompt=q.de,chosen=instances.0.output,rejected=instances.1.output")
    assert (turns(judged), judged.rejected[0]["content"]) == (PAIR, "5")
    assert read("prompt=q.de,completion=instances.0.output,label=ok").is_good is True
    assert read("text=a, b").text == "x"
    assert turns(read("prompt=a, b,completion=sys")) == [("user", "x"), ("assistant", "Be brief.")]
    path.write_text(json.dumps({"q.de": "2+2?", "q": {"de": "x"}, "a.0": "4"}) + "\n")
    assert turns(read("prompt=q.de,completion=a.0")) == PAIR  # a name that holds a dot comes first
    with pytest.raises(DataProblem, match=r"no column 'instances\.2\.output'"):
        read("prompt=q.de,completion=instances.2.output")
    for wrong in ("prompt=a", "prompt=a,answer=b", "prompt=a,prompt=b", "text=a,system=b", "prompt=,completion=b"):
        with pytest.raises(UsageProblem, match="cannot be read"):
            parse_columns(wrong)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"Question": "2+2?", "Response": "4"}, "question-answer"),
        ({"input_text": "2+2?", "target_text": "4"}, "question-answer"),
        ({"src": "2+2?", "tgt": "4"}, "question-answer"),
        ({"query": "2+2?", "reply": "4"}, "question-answer"),
        ({"Instruction": "2+2?", "OUTPUT": "4"}, "alpaca"),
        ({"instruction": "2+2?", "context": "", "response": "4"}, "alpaca"),
        ({"Prompt": "2+2?", "Completion": "4"}, "prompt-completion"),
        ({"prompt": "2+2?", "response": "4"}, "prompt-completion"),
        ({"Messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}, "openai"),
    ],
)
def test_well_known_names_are_known_in_any_case(tmp_path, row, name):
    """DAT-1"""
    path = tmp_path / "n.jsonl"
    path.write_text(lines(row))
    source = open_source(path)
    assert source.format.name == name
    assert [turns(example) for example in source] == [PAIR] * 3


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (
            {"id": "a-number-longer-than-all-the-texts", "a": "short", "b": "a much longer text"},
            "prompt=a,completion=b",
        ),
        ({"lösung": "42", "frage": "What is it?"}, "prompt=frage,completion=lösung"),
        ({"dialog": {"asked": "What?", "said": "That."}, "n": 1}, "prompt=dialog.asked,completion=dialog.said"),
        ({"title": "T", "posts": [{"body": "B"}]}, "prompt=title,completion=posts.0.body"),
        ({"my question": "Q?", "the answer": "A"}, "'prompt=my question,completion=the answer'"),
        ({"only": "one"}, "prompt=only,completion=…"),
        ({"n": 1}, "prompt=…,completion=…"),
    ],
)
def test_unknown_columns_get_the_very_command_that_would_read_them(tmp_path, row, columns):
    """DAT-4"""
    path = tmp_path / "n.jsonl"
    path.write_text(lines(row))
    with pytest.raises(DataProblem, match="Unable to detect data format") as caught:
        open_source(path)
    assert f"--columns {columns}" in caught.value.fix
    assert all(key in caught.value.why for key in row)
    if "…" not in columns:
        assert list(open_source(path, columns=columns.strip("'")))


def test_every_instance_of_an_instruction_is_an_example(tmp_path):
    """DAT-1: as in Self-Instruct's seed tasks."""
    path = tmp_path / "s.jsonl"
    row = {
        "id": "t",
        "instruction": "Add.",
        "instances": [{"input": "2+2", "output": "4"}, {"input": "", "output": "?"}],
    }
    path.write_text(json.dumps(row | {"is_classification": False}) + "\n")
    one, two = open_source(path)
    assert turns(one) == [("user", "Add.\n\n2+2"), ("assistant", "4")]
    assert turns(two) == [("user", "Add."), ("assistant", "?")]
    assert one.line == two.line == 1


def test_what_a_cell_or_a_quote_spoils_is_one_row(tmp_path):
    """DAT-4: an open quote swallows the rest of a table, and is named by the line where it opens."""
    path = tmp_path / "t.csv"
    path.write_text('question,answer\n2+2?,4\n"a"b,c\n2+2?,4\na,b,c\n2+2?,"4\n2+2?,4\n')
    source = open_source(path, skip_bad_rows=True)
    assert [turns(example) for example in source] == [PAIR, PAIR]
    assert [line for line, _ in source.bad_rows.problems] == [3, 5, 6]
    path.write_text("question,answer,answer\na,b,c\n")
    with pytest.raises(DataProblem, match="'answer' stands twice"):
        open_source(path)


def test_a_file_that_is_called_json_is_never_taken_for_text(tmp_path):
    """DAT-4"""
    for name, content, said in [
        ("a.jsonl", f"nonsense\n{GOOD}\n", "Line 1 of 'a.jsonl' cannot be used: broken JSON"),
        ("b.json", '["one", "two"]', "Unable to detect data format"),
        ("c.jsonl", f'{{"instruction": "x", \n{GOOD}\n', "Line 1 of 'c.jsonl' cannot be used: broken JSON"),
    ]:
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(DataProblem, match=said):
            list(open_source(path))
    (tmp_path / "d.json").write_text('{"instruction": "2+2?",\n "output": "4"}')
    assert [turns(example) for example in open_source(tmp_path / "d.json")] == [PAIR]


ODD_NUMBERS = {
    "NaN": "broken JSON", "Infinity": "broken JSON", "1e999": "broken JSON",
    "9" * 30: "too large to be kept exactly", "9" * 5000: "broken JSON|too large",
    '"\\ud800"': "broken JSON", "true": "found true/false", "null": "is null", "[]": "found a list", "{}": "found an object",
}  # fmt: skip


@pytest.mark.parametrize("value", ODD_NUMBERS, ids=lambda value: value[:12])
@pytest.mark.parametrize("form", ["lines", "list"])
def test_strange_values_are_problems_of_their_line_in_lines_and_in_lists(tmp_path, value, form):
    """DAT-4"""
    path = tmp_path / "v.jsonl"
    odd = f'{{"instruction": "x", "output": {value}}}'
    path.write_text("\n".join([GOOD, odd, GOOD]) if form == "lines" else f"[{GOOD},\n{odd},\n{GOOD}]")
    with pytest.raises(DataProblem, match=f"Line 2 of 'v.jsonl' cannot be used: .*({ODD_NUMBERS[value]})"):
        list(open_source(path))
    assert len(list(open_source(path, skip_bad_rows=True))) == 2


def test_odd_but_valid_json_is_read(tmp_path):
    """DAT-4: the last of equal keys counts; a begin mark in the middle is what joining files leaves."""
    path = tmp_path / "o.jsonl"
    path.write_text('{"instruction": "x", "instruction": "2+2?", "output": 4}\n\ufeff' + GOOD + "\n")
    assert [turns(example) for example in open_source(path)] == [PAIR, PAIR]
    path.write_text('{"prompt": "a\\u0000b", "completion": "😀"}')
    (example,) = open_source(path)
    assert turns(example) == [("user", "a\0b"), ("assistant", "😀")]


def test_rows_of_more_than_16_mi_are_refused_in_every_container(tmp_path, monkeypatch):
    """DAT-4"""
    monkeypatch.setattr(records, "MAX_ROW_CHARS", 2000)
    long = {"instruction": "x", "output": "y" * 3000}
    small = ROWS["alpaca"]
    for content in (lines(long), json.dumps([small, long]), 'instruction,output\nx,"' + "y\n" * 1500 + '"\n'):
        path = tmp_path / "l"
        path.write_text(content)
        with pytest.raises(DataProblem, match=r"longer than|no row of a table"):
            list(open_source(path))
    for form in ("parquet", "arrow"):
        path.write_bytes(as_table([small, long, small], form))
        source = open_source(path, skip_bad_rows=True)
        assert len(list(source)) == 2
        assert source.bad_rows.problems == [(2, "it is larger than 16 MiB")]


def test_a_text_without_blank_lines_goes_on_in_parts(tmp_path, monkeypatch):
    """DAT-1: else a whole file would be held as one example."""
    monkeypatch.setattr(records, "MAX_PARAGRAPH_CHARS", 20)
    path = tmp_path / "t.txt"
    path.write_text("one two\n" * 5)
    examples = list(open_source(path))
    assert [(example.line, example.text) for example in examples] == [
        (1, "one two\none two"),
        (3, "one two\none two"),
        (5, "one two"),
    ]


@pytest.mark.parametrize("packing", ["gz", "zst", "bz2", "xz"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch, packing):
    """SEC-4: what repeats without end unpacks to hundreds of times its size; ordinary rows may repeat."""
    monkeypatch.setattr(compression, "FREE_BYTES", 2**18)
    pack = {
        "gz": gzip.compress,
        "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }[packing]
    path = tmp_path / "bomb"
    path.write_bytes(pack(GOOD.encode() + b"\n" + b" " * 2**22 + b"\n" + GOOD.encode()))
    with pytest.raises(DataProblem, match=r"'bomb' unpacks to more than 500 times its size"):
        list(open_source(path))
    rows = [{"instruction": f"{number} " * (number % 70), "output": "4"} for number in range(5000)]
    path.write_bytes(pack("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert sum(1 for _ in open_source(path)) == 5000


def test_a_pipe_is_no_data_file(tmp_path):
    """DAT-4: opening one would wait for ever."""
    os.mkfifo(tmp_path / "p.jsonl")
    with pytest.raises(DataProblem, match="is no file"):
        open_source(tmp_path / "p.jsonl")


def test_the_key_of_a_row_is_what_it_was_and_counts_everything_beside():
    """DAT-3: a split must not change with the version; rows that differ only in what was rejected are different rows."""
    messages = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    assert Example(1, messages).key() == 4507144665784320553
    assert Example(2, text="Once upon").key(3) == 13617229589925716218
    others = [
        {"rejected": [{"role": "assistant", "content": "5"}]}, {"is_good": True}, {"is_good": False}, {"tools": [{"name": "f"}]},
        {"images": ("a.png",)}, {"audio": ("a.png",)}, {"words": ("a.png",)}, {"words": ("a.png",), "boxes": ((0, 0, 1, 1),)}, {"words": ("a.png",), "tags": (1,)},
        {"label": "x"}, {"target": {"a": 1}},
    ]  # fmt: skip
    keys = {Example(1, messages, **other).key() for other in others}
    assert len(keys | {Example(1, messages).key()}) == len(others) + 1
    assert Example(9, messages, file="b.jsonl").key() == Example(1, messages).key()
