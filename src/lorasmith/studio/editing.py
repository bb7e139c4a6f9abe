"""Datasets made of datasets: a version with rows changed, and parts. What they are made of is never touched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from lorasmith.core.errors import DataProblem, EnvironmentProblem, UsageProblem
from lorasmith.data.records import read_records
from lorasmith.store.tables import Dataset
from lorasmith.studio.datasets import Datasets
from lorasmith.studio.reading import Reader

Row = dict[str, Any]
_SUFFIX = ".jsonl"


def edited(
    datasets: Datasets, reader: Reader, number: int, changes: Mapping[int, Row | None], added: Iterable[Row]
) -> Dataset:
    """The next version: rows by their line as `changes` has them, without those that it has as None, with `added` at its end.

    Rows that could not be read are left out. Raises UsageProblem for a line on which no row begins and for a folder, DataProblem
    where nothing would be left.
    """
    one = _a_file(datasets, number)
    met: set[int] = set()

    def rows() -> Iterator[Row]:
        for record in read_records(Path(one.file)):
            if record.line in changes:
                met.add(record.line)
                changed = changes[record.line]
                if changed is not None:
                    yield changed
            elif not record.problem:
                yield record.row
        yield from added
        if unmet := sorted(set(changes) - met):
            raise UsageProblem(f"No row begins on line {unmet[0]}", fix="Take the lines that the rows are told with.")

    made = _written(datasets, one.name, rows())
    return reader.read(datasets.add(made, one.name, parent=one.id, project=one.project))


def split(datasets: Datasets, reader: Reader, number: int, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Two new datasets, the second with `share` (of 1) of the rows, drawn by the seed. Raises DataProblem for too few rows,
    UsageProblem for a folder."""
    one = _a_file(datasets, number)
    usable = sum(not record.problem for record in read_records(Path(one.file)))
    held = round(usable * share)
    if not 0 < held < usable:
        raise DataProblem(f"{usable} rows cannot be split so that {share:.0%} are apart", fix="Take another share.")
    apart = set(random.Random(seed).sample(range(usable), held))
    stem = one.name.split(".")[0] or "data"

    def part(name: str, *, of: Callable[[int], bool]) -> Dataset:
        rows = (record.row for record in read_records(Path(one.file)) if not record.problem)
        made = _written(datasets, name, (row for place, row in enumerate(rows) if of(place)))
        return reader.read(datasets.add(made, name, parent=one.id, project=one.project))

    return (
        part(f"{stem}-train{_SUFFIX}", of=lambda place: place not in apart),
        part(f"{stem}-heldout{_SUFFIX}", of=lambda place: place in apart),
    )


def _a_file(datasets: Datasets, number: int) -> Dataset:
    """Raises UsageProblem for a folder: rows of several files have no lines of their own, and what they name lies beside them."""
    one = datasets.opened(number)
    if Path(one.file).is_dir():
        raise UsageProblem(
            f"'{one.name}' is a folder, whose rows cannot be edited or split here",
            why="They name files beside them, and may lie in several files.",
            fix="Download it, change it, and upload it again as the next version; a training holds rows out by itself.",
        )
    return one


def _written(datasets: Datasets, name: str, rows: Iterable[Row]) -> Path:
    """The rows as a file of their own, whole or not at all. Raises DataProblem, EnvironmentProblem."""
    file = datasets.place(f"{name.split('.', maxsplit=1)[0] or 'data'}{_SUFFIX}")
    is_empty = True
    try:
        with file.open("wb") as target:
            for row in rows:
                target.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                is_empty = False
        if is_empty:
            raise DataProblem("No row would be left", fix="Keep one at least.")
    except OSError as error:
        datasets.drop(file)
        raise EnvironmentProblem(
            "The dataset cannot be written", why=f"{error.strerror}.", fix="Free some space."
        ) from None
    except orjson.JSONEncodeError as error:
        datasets.drop(file)
        raise DataProblem("A row cannot be written as JSON", why=f"{error}.") from None
    except BaseException:
        datasets.drop(file)
        raise
    return file
