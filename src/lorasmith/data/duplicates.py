"""Rows that say the same: exact copies by hash, near copies by MinHash sketches. It keeps no text.

A row costs 20 bytes, and one of the first `NEAR_ROWS` rows 128 bytes more.
"""
# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)

from __future__ import annotations

import itertools
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import eq, itemgetter
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

from lorasmith.data.examples import Example
from lorasmith.data.findings import place

NEAR_ROWS = 200_000
NEAR_SIMILARITY = 0.6
"""The estimated share of pairs of neighbouring words (Jaccard) from which on two rows are near copies."""
_SKETCH = 32
_BAND = 3  # ten bands of three: a pair of rows at 0.8 is compared with probability 0.999, at 0.1 with 0.01
_FEW_WORDS = 10  # below, one word is what matters: such rows are near copies only if all their words are the same
# "One permutation hashing with rotation" (Shrivastava & Li, arXiv:1406.4784): from evenly spread points of the ring of
# hashes, the next hash of a set is a random member of it, and the same one for similar sets.
_POINTS = tuple((2 * index + 1 - _SKETCH) * 2**63 // _SKETCH for index in range(_SKETCH))
_ASCII_WORDS = bytes(code if chr(code).isalnum() else 32 for code in bytes(range(128)).lower()) + bytes(128)
# Chinese, Japanese and Thai part no words by blanks: there every character is one.
_ALONE = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_ALONE}]|[^\\W{_ALONE}]+")
_PART_ROWS = 2**20


def words_of(text: str) -> list[bytes]:
    """The words of a text without case and punctuation."""
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()
    return [word.encode(errors="surrogatepass") for word in _WORD.findall(text.casefold())]


def sketch_of(text: str) -> list[int]:
    """32 numbers of 32 bits; the share of equal ones at equal places estimates how similar two texts are."""
    words = words_of(text)
    numbers = list(map(crc32, words)) or [crc32(text.encode(errors="surrogatepass"))]
    # Hashes of tuples of integers are the same in every process, unlike those of strings.
    pairs = itertools.pairwise(numbers) if len(numbers) >= _FEW_WORDS else (tuple(numbers),)
    ring = sorted(set(map(hash, pairs)))
    size = len(ring)
    return [ring[bisect_left(ring, point) % size] >> 32 & 0xFFFFFFFF for point in _POINTS]


class NearRows:
    """Sketches of up to `limit` texts, and the groups of near copies among them."""

    def __init__(self, limit: int = NEAR_ROWS):
        self.limit = limit
        self._sketches = array("I")

    def __len__(self) -> int:
        return len(self._sketches) // _SKETCH

    def add(self, text: str) -> None:
        """Texts beyond the limit are not looked at."""
        if len(self) < self.limit:
            self._sketches.extend(sketch_of(text))

    def extend(self, other: NearRows) -> None:
        self._sketches.extend(other._sketches)

    def similarity(self, first: int, second: int) -> float:
        """The estimated share of word pairs that two texts have in common."""
        sketches, a, b = self._sketches, first * _SKETCH, second * _SKETCH
        return sum(map(eq, sketches[a : a + _SKETCH], sketches[b : b + _SKETCH])) / _SKETCH

    def groups(self) -> array[int]:
        """For each text the number of the first one of its group; a text without near copies is its own."""
        heads = array("I", range(len(self)))
        for band in range(0, _SKETCH - _BAND + 1, _BAND):
            for earlier, later in self._neighbours(band):
                a, b = _head(heads, earlier), _head(heads, later)
                if a != b and self.similarity(earlier, later) >= NEAR_SIMILARITY:
                    heads[max(a, b)] = min(a, b)
        return array("I", (_head(heads, number) for number in range(len(heads))))

    def _neighbours(self, band: int) -> Iterator[tuple[int, int]]:
        """Texts that agree on a whole band, each with the last one before it. One band's table is held at a time."""
        last: dict[bytes, int] = {}
        sketches = memoryview(self._sketches)
        for number in range(len(self)):
            start = number * _SKETCH + band
            key = sketches[start : start + _BAND].tobytes()
            if (earlier := last.get(key)) is not None:
                yield earlier, number
            last[key] = number


def _head(heads: array[int], number: int) -> int:
    while heads[number] != number:
        heads[number] = number = heads[heads[number]]
    return number


@dataclass
class Repeats:
    """How many rows repeat an earlier one, and where some such pairs stand."""

    count: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class Contents:
    """What is kept of rows to find those that say the same."""

    def __init__(self, near_limit: int = NEAR_ROWS) -> None:
        self.lines = array("I")
        self.files: list[tuple[int, str]] = []
        """The numbers of the rows with which other files begin, and their names."""
        self.keys = array("Q")
        self.questions = array("Q")
        self.near = NearRows(near_limit)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, example: Example) -> None:
        key = example.key()
        if example.file and (not self.files or self.files[-1][1] != example.file):
            self.files.append((len(self), example.file))
        self.lines.append(example.line)
        self.keys.append(key)
        self.questions.append(_question(example, key))
        if len(self.near) < self.near.limit:
            self.near.add(spoken(example) or str(key))  # files without text are not alike for that

    def copies(self, few: int = 5) -> Repeats:
        """Rows that are the same as an earlier one, letter by letter."""
        return Repeats(_num_repeated(self.keys), [self._places(pair) for pair in _first_pairs(self.keys, few)[:few]])

    def conflicts(self, few: int = 5) -> Repeats:
        """Rows that ask what an earlier one asks and answer differently."""
        count = max(0, _num_repeated(self.questions) - _num_repeated(self.keys))
        pairs = _first_pairs(self.questions, 20 * few) if count else []
        differing = [pair for pair in pairs if self.keys[pair[0]] != self.keys[pair[1]]]
        return Repeats(count, [self._places(pair) for pair in differing[:few]])

    def near_copies(self, groups: array[int], few: int = 5) -> Repeats:
        """Rows of `near.groups()` that are near copies of an earlier one, exact copies left out."""
        seen: set[int] = set()
        count, pairs = 0, list[tuple[str, str]]()
        for number, head in enumerate(groups):
            key = self.keys[number]
            if head != number and key not in seen:
                count += 1
                if len(pairs) < few and self.near.similarity(head, number) >= NEAR_SIMILARITY:
                    pairs.append(self._places((head, number)))
            seen.add(key)
        return Repeats(count, pairs)

    def place(self, number: int) -> str:
        """Where a row stands, by its number."""
        index = bisect_right(self.files, number, key=itemgetter(0)) - 1
        return place(self.files[index][1] if index >= 0 else "", self.lines[number])

    def _places(self, pair: tuple[int, int]) -> tuple[str, str]:
        return self.place(pair[0]), self.place(pair[1])


def spoken(example: Example) -> str:
    """What a row says, without the system message, which many rows share."""
    if example.is_text:
        return example.text
    return "\n".join(message["content"] for message in example.messages if message["role"] != "system")


def _question(example: Example, key: int) -> int:
    """A hash of what is asked, without regard to case and blanks; a row that asks nothing has one of its own."""
    asked = " ".join(" ".join(m["content"] for m in example.messages if m["role"] != "assistant").split()).casefold()
    if not asked:
        return key
    return int.from_bytes(blake2b(asked.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def column(values: array[int]) -> pa.UInt64Array:
    """An array of 64-bit numbers as Arrow sees it, without a copy."""
    return pa.Array.from_buffers(pa.uint64(), len(values), [None, pa.py_buffer(values)])  # type: ignore[return-value]


def scalar(value: int) -> pa.UInt64Scalar:
    """A 64-bit number as Arrow sees it. `pa.scalar` would import pandas, where it is installed, to look at the value."""
    return column(array("Q", [value]))[0]


def _parts(values: array[int]) -> Iterator[pa.UInt64Array]:
    """The values in parts by their highest bits, so that tables over a part stay small. Equal ones share a part."""
    whole = column(values)
    num_parts = 1
    while num_parts * _PART_ROWS < len(values):
        num_parts *= 2
    if num_parts == 1:
        yield whole
        return
    step = 2**64 // num_parts
    for part in range(num_parts):
        low, high = scalar(part * step), scalar((part + 1) * step - 1)
        yield whole.filter(pc.and_(pc.greater_equal(whole, low), pc.less_equal(whole, high)))  # type: ignore[arg-type]


def _num_repeated(values: array[int]) -> int:
    return sum(len(part) - pc.count_distinct(part).as_py() for part in _parts(values)) if values else 0


def _first_pairs(values: array[int], few: int) -> list[tuple[int, int]]:
    """The places of `few` values that stand there more than once: the first and the second time."""
    whole = column(values)
    pairs: list[tuple[int, int]] = []
    for part in _parts(values) if values else ():
        counted = part.value_counts()
        repeated = counted.field("values").filter(pc.greater(counted.field("counts").cast(pa.uint64()), scalar(1)))
        for value in repeated[: few - len(pairs)]:
            first = whole.index(value).as_py()
            pairs.append((first, first + 1 + whole[first + 1 :].index(value).as_py()))
        if len(pairs) >= few:
            break
    return sorted(pairs)
