"""`data inspect`: what is in a file of examples, and what in it would spoil a training (DAT-2).

It streams over the file once and keeps no text but a few samples; what it keeps of a row is in `duplicates`.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from lorasmith.core.errors import DataProblem, NotFoundProblem
from lorasmith.data.duplicates import Contents
from lorasmith.data.examples import Example
from lorasmith.data.findings import Tally, UnknownRoles, findings, place, place_of
from lorasmith.data.inspection import Inspection, judged
from lorasmith.data.languages import mix_of
from lorasmith.data.leaks import across_the_split, against
from lorasmith.data.load import BadRows, Source
from lorasmith.data.oddities import Oddities
from lorasmith.data.prepare import split_key, threshold_of
from lorasmith.data.render import TokenRow, render_rows, require_template
from lorasmith.data.sample import SampleRow, sample_row
from lorasmith.data.tokenizer import Tokenizer

T = TypeVar("T")
NUM_SAMPLES = 20
HISTOGRAM_BINS = 16
_BATCH_ROWS, _BATCH_CHARS = 512, 2**22
_LANGUAGE_ROWS = 300
_LANGUAGE_CHARS = 1000
_LONGEST_SAMPLE = 200_000  # characters
_FILE = re.compile(r"'([^']+)': ")  # how a Source begins the reason where there are several files


class _Evenly(Generic[T]):
    """Things taken evenly from a stream of unknown length, the first one among them; fewer than twice `most` are held."""

    def __init__(self, most: int):
        self.most, self.step, self.seen = most, 1, 0
        self._held: list[T] = []

    def wants(self) -> bool:
        """Whether the next thing is to be kept; to be asked once for each."""
        self.seen += 1
        return (self.seen - 1) % self.step == 0

    def keep(self, thing: T) -> None:
        self._held.append(thing)
        if len(self._held) >= 2 * self.most:
            self._held = self._held[::2]
            self.step *= 2

    def kept(self) -> list[T]:
        """At most `most` of them, from the whole stream."""
        count = min(self.most, len(self._held))
        return [self._held[number * len(self._held) // count] for number in range(count)]


class _Gathered:
    """What is gathered from rows as they stand in the file."""

    def __init__(self, tokenizer: Tokenizer | None, lines: Collection[str]) -> None:
        self.contents = Contents()
        self.oddities = Oddities()
        self.lengths = Counter[int]()
        self.refused: list[tuple[Example, str]] = []
        self.samples = _Evenly[Example](NUM_SAMPLES)
        self.texts = _Evenly[tuple[str, str]](_LANGUAGE_ROWS)
        self.picked: list[Example] = []
        self._lines = frozenset(lines)
        self._marks = _marks(tokenizer) if tokenizer else ()

    def add(self, example: Example) -> None:
        self.contents.add(example)
        self.oddities.add(example, marks=self._marks)
        if self.samples.wants() and _num_chars(example) <= _LONGEST_SAMPLE:
            self.samples.keep(example)
        if self.texts.wants():
            self.texts.keep((_said(example, "user"), example.text[:_LANGUAGE_CHARS] or _said(example, "assistant")))
        if self._lines and place_of(example) in self._lines:
            self.picked.append(example)


def _marks(tokenizer: Tokenizer) -> tuple[str, ...]:
    """How the special tokens are written; of hundreds the first ones, which are those of turns."""
    names = (tokenizer.encoder.id_to_token(number) for number in sorted(tokenizer.special_ids))
    return tuple(name for name in names if name and len(name) > 3)[:16]


def _said(example: Example, role: str) -> str:
    return "\n".join(m["content"][:_LANGUAGE_CHARS] for m in example.messages if m["role"] == role)[:_LANGUAGE_CHARS]


class _Watched(BadRows):
    """Bad rows, and the unknown roles among their reasons."""

    def __init__(self) -> None:
        super().__init__()
        self.roles = UnknownRoles()

    def add(self, line: int, reason: str) -> None:
        super().add(line, reason)
        file = _FILE.match(reason)
        self.roles.add(place(file[1] if file else "", line), reason)


def inspect(
    source: Source, tokenizer: Tokenizer | None = None, *, max_length: int = 0, eval_fraction: float = 0.1, seed: int = 0,
    other: Source | None = None, lines: Collection[str] = (), on_rows: Callable[[int], None] = lambda _: None,
) -> Inspection:  # fmt: skip
    """Read the whole of `source` and tell what is in it. With a tokenizer, also what a model would see of it.

    Bad rows are counted, never raised for. `max_length` (tokens) is where rows would be cut; 0 for no cut. The split that
    is looked at for leaks is the one that training makes with `eval_fraction` and `seed`. `other` is a dataset to be tested
    on, of which nothing should be in `source`. `lines` are rows to show, in place of some from everywhere.

    Raises DataProblem for conversations and a tokenizer without a chat template, NotFoundProblem for `lines` that are not there.
    """
    bad_rows = _Watched()
    lenient = Source(source.path, source.format, source.columns, skip_bad_rows=True, bad_rows=bad_rows)
    reads_text = bool(source.format.objectives)
    wanted, tokenizer = tokenizer, tokenizer if reads_text else None
    found = Inspection(
        source.format.name, _fields(source), "tokens" if tokenizer else "characters", max_length=max_length,
        against_name=other.path.name if other else "",
    )  # fmt: skip
    gathered = _Gathered(tokenizer, lines)
    if tokenizer:
        tally = Tally(tokenizer, max_length)
        _read_as_tokens(lenient, tally, gathered, on_rows)
        found.num_tokens, found.num_supervised_tokens = tally.num_tokens, tally.num_supervised
        found.num_truncated, found.num_answers_cut = tally.counts["truncated"], tally.counts["cut"]
        found.findings = findings(tally)
    else:
        _read_as_text(lenient, gathered, on_rows)
    for example, reason in gathered.refused:
        bad_rows.add(example.line, f"'{example.file}': {reason}" if example.file else reason)
    found.num_bad_rows, found.bad_rows = bad_rows.count, list(bad_rows.problems)
    found.num_rows = len(gathered.contents) - len(gathered.refused)
    _conclude(found, gathered)
    if found.num_rows:
        _compare(found, gathered, eval_fraction, seed, other)
    found.samples = _samples(gathered, tokenizer, max_length, lines, source)
    told = bad_rows.roles.findings() + found.findings + judged(found) + gathered.oddities.findings(wanted)
    found.findings = sorted(told, key=lambda finding: finding.level != "fatal")
    return found


def _fields(source: Source) -> list[str]:
    from lorasmith.data.records import read_records

    first = next((record for record in read_records(source.path) if not record.problem), None)
    return [str(key) for key in first.row] if first else []


def _num_chars(example: Example) -> int:
    return len(example.text) + sum(len(message["content"]) for message in example.messages)


def _batches(source: Source) -> Iterator[list[Example]]:
    """Rows in batches that are small in memory, too."""
    batch: list[Example] = []
    size = 0
    for example in source:
        batch.append(example)
        size += _num_chars(example)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_as_text(source: Source, gathered: _Gathered, on_rows: Callable[[int], None]) -> None:
    for batch in _batches(source):
        for example in batch:
            gathered.add(example)
            gathered.lengths[_num_chars(example)] += 1
        on_rows(len(gathered.contents))


def _read_as_tokens(source: Source, tally: Tally, gathered: _Gathered, on_rows: Callable[[int], None]) -> None:
    """One batch is rendered in a thread of its own, where the tokenizer holds no lock, while this one reads the next."""
    with ThreadPoolExecutor(1) as pool:
        before: tuple[list[Example], Future[list[TokenRow | str]]] | None = None
        for batch in _batches(source):
            require_template(batch, source.format.name, tally.tokenizer)
            work = pool.submit(_rendered, batch, tally.tokenizer)
            for example in batch:
                gathered.add(example)
            if before:
                _count(*before, tally, gathered)
            before = batch, work
            on_rows(tally.num_rows)
        if before:
            _count(*before, tally, gathered)
            on_rows(tally.num_rows)


def _rendered(batch: list[Example], tokenizer: Tokenizer) -> list[TokenRow | str]:
    """The batch as token rows; in place of a row that the template refuses, the reason."""
    try:
        return list(render_rows(batch, tokenizer))
    except DataProblem as problem:
        if len(batch) == 1:
            return [problem.what]
        middle = len(batch) // 2
        return _rendered(batch[:middle], tokenizer) + _rendered(batch[middle:], tokenizer)


def _count(batch: list[Example], work: Future[list[TokenRow | str]], tally: Tally, gathered: _Gathered) -> None:
    for example, row in zip(batch, work.result(), strict=True):
        if isinstance(row, str):
            gathered.refused.append((example, row))
        else:
            tally.add(example, row)
            gathered.lengths[len(row.ids)] += 1


def _conclude(found: Inspection, gathered: _Gathered) -> None:
    oddities, lengths = gathered.oddities, gathered.lengths
    found.num_turns, found.num_empty_answers = oddities.num_turns, oddities.counts["empty"]
    names = {"system": "system messages"} | {name: name for name in ("tools", "pictures", "recordings", "preferences")}
    found.holds = {said: oddities.counts[name] for name, said in names.items() if oddities.counts[name]}
    texts = gathered.texts.kept()
    found.languages = mix_of([answered for _, answered in texts if answered.strip()])
    found.question_languages = mix_of([asked for asked, _ in texts if asked.strip()])
    if not lengths:
        return
    found.length_p50, found.length_p95, found.length_p995 = (_quantile(lengths, s) for s in (0.5, 0.95, 0.995))
    found.length_max = max(lengths)
    found.histogram = _histogram(lengths, min(found.length_p995, 3 * found.length_p95))


def _quantile(lengths: Counter[int], share: float) -> int:
    """The smallest length that at least `share` of the rows do not exceed."""
    rows, wanted = 0, share * lengths.total()
    for length in sorted(lengths):
        rows += lengths[length]
        if rows >= wanted:
            return length
    return max(lengths)


def _histogram(lengths: Counter[int], most: int) -> list[tuple[int, int]]:
    """`(upper edge, rows)` of bins of a round width up to `most`, and one for what is longer."""
    width = next(step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power)
                 if step * HISTOGRAM_BINS >= most)  # fmt: skip
    num_bins = max(1, -(-most // width))
    counts = Counter[int]()
    for length, rows in lengths.items():
        counts[min(max(0, length - 1) // width, num_bins)] += rows
    bins = [((index + 1) * width, counts[index]) for index in range(num_bins)]
    return [*bins, (max(lengths), counts[num_bins])] if counts[num_bins] else bins


def _compare(found: Inspection, gathered: _Gathered, eval_fraction: float, seed: int, other: Source | None) -> None:
    """Rows that say the same, within the file and across the split."""
    contents = gathered.contents
    groups = contents.near.groups()
    found.num_compared = len(contents.near)
    found.copies, found.conflicts, found.near_copies = (
        contents.copies(),
        contents.conflicts(),
        contents.near_copies(groups),
    )
    sides = array("Q", (split_key(key, seed) for key in contents.keys))
    found.leaks = across_the_split(contents, sides, threshold_of(sides, eval_fraction), groups)
    if other:
        held = Contents()
        for example in Source(other.path, other.format, other.columns, skip_bad_rows=True, bad_rows=BadRows()):
            held.add(example)
        found.against = against(contents, held)


def _samples(
    gathered: _Gathered, tokenizer: Tokenizer | None, max_length: int, lines: Collection[str], source: Source
) -> list[SampleRow]:
    missing = set(lines) - {place_of(example) for example in gathered.picked}
    if missing:
        name = min(missing)
        raise NotFoundProblem(
            f"There is no row in line {name} of '{source.path.name}' that could be shown",
            why="A row is named by the line that it begins on, in a folder as FILE:LINE; rows that cannot be used are not shown.",
        )
    refused = {id(example) for example, _ in gathered.refused}
    chosen = gathered.picked or gathered.samples.kept()
    return [sample_row(e, tokenizer, max_length=max_length) for e in chosen if id(e) not in refused]
