"""`data inspect`: what is in a file of examples, and what in it would spoil a training (DAT-2).

It streams over the file once; memory grows by a few bytes a row only.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import pyarrow as pa

from lorasmith.data.examples import Example
from lorasmith.data.load import Source
from lorasmith.data.prepare import BATCH_ROWS, quantile
from lorasmith.data.render import TokenRow, render_rows, require_template
from lorasmith.data.tokenizer import Tokenizer

_NOT_WORDS = re.compile(r"[\W_]+")
_SCRIPT_CHARS = 200
HISTOGRAM_BINS = 10


@dataclass
class Inspection:
    """Facts about a dataset. Lengths are tokens where a tokenizer was given, else characters."""

    format: str
    fields: list[str]
    unit: str
    num_rows: int = 0
    num_bad_rows: int = 0
    bad_rows: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    num_turns: int = 0
    num_empty_answers: int = 0
    empty_answer_lines: list[int] = field(default_factory=list[int])
    num_duplicates: int = 0
    num_near_duplicates: int = 0
    num_conflicts: int = 0
    scripts: dict[str, float] = field(default_factory=dict[str, float])
    length_p50: int = 0
    length_p95: int = 0
    length_p995: int = 0
    length_max: int = 0
    histogram: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    num_supervised_tokens: int = 0
    max_length: int = 0
    num_truncated: int = 0
    num_answers_cut: int = 0
    sample: Example | None = None
    sample_row: TokenRow | None = None
    fatal: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])


def answers_of(example: Example) -> list[str]:
    return [message["content"] for message in example.messages if message["role"] == "assistant"]


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _script(text: str) -> str:
    """The writing system of most letters: `Latin`, `Cyrillic`, `CJK` …"""
    counts: Counter[str] = Counter()
    for char in text[:_SCRIPT_CHARS]:
        if char.isalpha():
            counts["Latin" if char.isascii() else unicodedata.name(char, "OTHER").split()[0].capitalize()] += 1
    return counts.most_common(1)[0][0].replace("Cjk", "CJK") if counts else "none"


class _Counts:
    """What is gathered row by row: 8 bytes a row and question, whatever their size."""

    def __init__(self) -> None:
        self.lengths = array("I")
        self.keys = array("Q")
        self.near = array("Q")
        self.questions = array("Q")
        self.scripts: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        text = example.text or "\n".join(message["content"] for message in example.messages)
        self.keys.append(example.key())
        self.near.append(_hash(_NOT_WORDS.sub("", text).casefold()))
        if example.messages:
            self.questions.append(_hash("\n".join(m["content"] for m in example.messages if m["role"] != "assistant")))
        self.scripts[_script(text)] += 1


def _repeated(values: array[int]) -> int:
    return len(values) - len(pa.array(values, type=pa.uint64()).unique()) if values else 0


def inspect(
    source: Source, tokenizer: Tokenizer | None = None, *, max_length: int = 0,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Inspection:  # fmt: skip
    """Read the whole of `source` and tell what is in it. With a tokenizer, also what a model would see of it.

    Bad rows are counted, never raised for. `max_length` (tokens) is where rows would be cut; 0 for no cut.
    """
    lenient = Source(source.path, source.format, source.columns, skip_bad_rows=True, bad_rows=source.bad_rows)
    found = Inspection(
        source.format.name, _fields(source), "tokens" if tokenizer else "characters", max_length=max_length
    )
    counts = _Counts()
    unended = doubled = unlearnt = 0
    examples = iter(lenient)
    while batch := list(itertools.islice(examples, BATCH_ROWS)):
        for example in batch:
            counts.add(example)
            _count_answers(found, example)
        if tokenizer:
            require_template(batch, source.format.name, tokenizer)
            for row in render_rows(batch, tokenizer):
                counts.lengths.append(len(row.ids))
                found.num_supervised_tokens += row.num_supervised
                unlearnt += not row.num_supervised
                unended += not _ends(row, tokenizer)
                doubled += len(row.ids) > 1 and row.ids[0] == row.ids[1] == tokenizer.encoder.token_to_id(tokenizer.bos)
                _count_cut(found, row)
        else:
            counts.lengths.extend(_characters(batch))
        if found.sample is None:
            found.sample = batch[0]
            found.sample_row = render_rows(batch[:1], tokenizer)[0] if tokenizer else None
        found.num_rows += len(batch)
        on_rows(found.num_rows)
    found.num_bad_rows, found.bad_rows = lenient.bad_rows.count, list(lenient.bad_rows.problems)
    _conclude(found, counts)
    if tokenizer:
        _judge(found, unlearnt, unended, doubled)
    return found


def _fields(source: Source) -> list[str]:
    from lorasmith.data.records import read_records

    first = next((record for record in read_records(source.path) if not record.problem), None)
    return [str(key) for key in first.row] if first else []


def _characters(batch: list[Example]) -> Iterator[int]:
    for example in batch:
        yield len(example.text) + sum(len(message["content"]) for message in example.messages)


def _count_answers(found: Inspection, example: Example) -> None:
    found.num_turns += len(example.messages)
    if any(not answer.strip() for answer in answers_of(example)):
        found.num_empty_answers += 1
        if len(found.empty_answer_lines) < 5:
            found.empty_answer_lines.append(example.line)


def _count_cut(found: Inspection, row: TokenRow) -> None:
    if found.max_length and len(row.ids) > found.max_length:
        found.num_truncated += 1
        found.num_answers_cut += row.num_supervised > found.max_length - 2


def _ends(row: TokenRow, tokenizer: Tokenizer) -> bool:
    if not row.spans:
        return True
    last = row.ids[row.spans[-1][1] - 1]
    return last in tokenizer.special_ids or last == tokenizer.eos_id


def _conclude(found: Inspection, counts: _Counts) -> None:
    if not found.num_rows:
        found.fatal.append("no row can be used")
        return
    found.num_duplicates = _repeated(counts.keys)
    found.num_near_duplicates = _repeated(counts.near) - found.num_duplicates
    found.num_conflicts = max(0, _repeated(counts.questions) - found.num_duplicates)
    found.scripts = {script: count / found.num_rows for script, count in counts.scripts.most_common(6)}
    ordered = sorted(counts.lengths)
    found.length_p50, found.length_p95 = quantile(ordered, 0.5), quantile(ordered, 0.95)
    found.length_p995, found.length_max = quantile(ordered, 0.995), ordered[-1]
    found.histogram = _histogram(ordered)
    if found.num_empty_answers:
        lines = ", ".join(map(str, found.empty_answer_lines))
        found.warnings.append(f"{found.num_empty_answers} rows have an empty answer (lines {lines} …)")
    if found.num_duplicates > found.num_rows // 20:
        found.warnings.append(f"{found.num_duplicates} rows are exact copies of others")
    if found.num_conflicts:
        found.warnings.append(f"{found.num_conflicts} rows ask what another row asks and answer differently")


def _histogram(ordered: list[int]) -> list[tuple[int, int]]:
    """`(upper edge, rows)` of equal bins up to the longest row."""
    width = max(1, -(-ordered[-1] // HISTOGRAM_BINS))
    counts = Counter(max(0, length - 1) // width for length in ordered)
    return [((index + 1) * width, counts[index]) for index in range(max(counts) + 1)]


def _judge(found: Inspection, unlearnt: int, unended: int, doubled: int) -> None:
    """What stops a training before it starts."""
    if found.num_rows and unlearnt == found.num_rows:
        found.fatal.append("no token of any row would be learnt")
    elif unlearnt:
        found.warnings.append(f"{unlearnt} rows have no token to learn")
    if found.num_answers_cut > 0.2 * found.num_rows:
        share = 100 * found.num_answers_cut / found.num_rows
        found.fatal.append(f"{share:.0f} % of the rows lose the end of their answer at {found.max_length} tokens")
    if unended:
        found.fatal.append(f"{unended} answers do not end with an end token: the model would never stop")
    if doubled:
        found.fatal.append(f"{doubled} rows begin with two begin tokens")
