"""Rows to be tested on that were also learnt: within a file across the split, or in another file (DAT-2).

It finds what has the same content, the same question or is nearly the same. It moves no row.
"""
# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lorasmith.data.duplicates import Contents, NearRows, column, scalar

A = TypeVar("A", bound=pa.Array)
_FEW = 5
_SLICE_ROWS = 2**20


@dataclass
class Leaks:
    """How many of `num_rows` rows are known from the other side. A row may count under more than one head."""

    num_rows: int = 0
    num_copies: int = 0
    num_same_question: int = 0
    num_near_copies: int = 0
    places: list[str] = field(default_factory=list[str])
    """Where some of them stand."""

    @property
    def most(self) -> int:
        return max(self.num_copies, self.num_same_question, self.num_near_copies)


def across_the_split(contents: Contents, split_keys: array[int], threshold: int, groups: array[int]) -> Leaks:
    """Rows for validation that the training part knows. Exact copies cannot be: they stand on one side.

    `groups` are those of `contents.near`; a row is for validation where its split key lies below `threshold`.
    """
    if not threshold:
        return Leaks()
    held = pc.less(column(split_keys), scalar(threshold))
    questions = column(contents.questions)
    learnt = (part.filter(pc.invert(mask)) for part, mask in zip(_slices(questions), _slices(held), strict=True))
    same = _known(questions.filter(held), learnt)
    places = pc.indices_nonzero(held)
    asked = [places[number.as_py()].as_py() for number in pc.indices_nonzero(same)[:_FEW]]
    near = _near_known(groups, [key < threshold for key in split_keys[: len(groups)]])
    some = sorted({*asked, *near[:_FEW]})[:_FEW]
    return Leaks(len(places), 0, pc.sum(same).as_py() or 0, len(near), [contents.place(number) for number in some])


def against(contents: Contents, other: Contents) -> Leaks:
    """Rows of `other`, a file to be tested on, that `contents`, a file to learn from, holds. Places are those of `other`."""
    copies = _known(column(other.keys), _slices(column(contents.keys)))
    same = _known(column(other.questions), _slices(column(contents.questions)))
    both = NearRows()
    both.extend(contents.near)
    both.extend(other.near)
    start = len(contents.near)
    near = [number - start for number in _near_known(both.groups(), [i >= start for i in range(len(both))])]
    some = {number.as_py() for found in (copies, same) for number in pc.indices_nonzero(found)[:_FEW]} | {*near[:_FEW]}
    return Leaks(
        len(other), pc.sum(copies).as_py() or 0, pc.sum(same).as_py() or 0, len(near),
        [other.place(number) for number in sorted(some)[:_FEW]],
    )  # fmt: skip


def _known(wanted: pa.UInt64Array, among: Iterable[pa.UInt64Array]) -> pa.BooleanArray:
    """For each wanted value whether it is in one of the others. Only the wanted ones are put into a table."""
    sought = wanted.unique()
    there = [part.filter(pc.is_in(part, value_set=sought)) for part in among]
    return pc.is_in(wanted, value_set=pa.concat_arrays(there).unique() if there else sought[:0])


def _slices(values: A) -> Iterator[A]:
    return (values[start : start + _SLICE_ROWS] for start in range(0, len(values), _SLICE_ROWS))


def _near_known(groups: array[int], is_held: Sequence[bool]) -> list[int]:
    """The held rows that share a group with one that is not."""
    learnt = {head for head, held in zip(groups, is_held, strict=True) if not held}
    return [number for number, head in enumerate(groups) if is_held[number] and head in learnt]
