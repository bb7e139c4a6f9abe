"""What a task has told, read from its file of events: from any byte on, and a long one as far as it can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorasmith.core.events import Decision, Metric, parse

_CHUNK = 1 << 20
_MOST_BYTES = 64 << 20
"""A longer file is read in places, evenly."""
_MOST_POINTS = 2000
Series = dict[str, list[tuple[int, float]]]


def lines_of(file: Path, start: int) -> tuple[list[tuple[bytes, int]], int]:
    """Whole lines from byte `start` on, a megabyte at most, each with the byte behind it; and the byte behind the last."""
    try:
        if start >= file.stat().st_size:  # no disk lets one go as far as a number can
            return [], start
        with file.open("rb") as opened:
            opened.seek(start)
            data = opened.read(_CHUNK)
    except FileNotFoundError:
        return [], start
    found: list[tuple[bytes, int]] = []
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        start += len(line)
        found.append((line.rstrip(b"\n"), start))
    if not found and len(data) == _CHUNK:  # a line that is longer than we read: nobody tells so much at once
        return [], start + _CHUNK
    return found, start


def told(file: Path, start: int) -> tuple[Series, list[dict[str, Any]], int]:
    """Numbers by name and step, thinned where there are more than can be looked at; decisions; the byte behind the last line."""
    series: Series = {}
    decisions: list[dict[str, Any]] = []
    end = start
    for line, behind in _places(file, start):
        end = behind
        try:
            event = parse(line)
        except ValueError:  # the last words of a process that was killed, or the middle of a line
            continue
        if isinstance(event, Metric):
            for name, value in event.values.items():
                points = series.setdefault(name, [])
                while points and points[-1][0] >= event.step:  # taken again after the last checkpoint
                    points.pop()
                points.append((event.step, value))
        elif isinstance(event, Decision):
            decisions.append({"step": event.step, "name": event.name, "reason": event.reason})
    return {name: _thinned(points) for name, points in series.items()}, decisions, end


def _places(file: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """All lines from `start` on; of a file that is too long, those of as many megabytes as may be read, the last among them."""
    size = file.stat().st_size if file.exists() else 0
    if size - start <= _MOST_BYTES:
        while True:
            lines, after = lines_of(file, start)
            yield from lines
            if after == start:
                return
            start = after
    chunks = _MOST_BYTES // _CHUNK
    step = (size - start) / chunks
    for number in range(chunks - 1):
        yield from lines_of(file, int(start + number * step))[0]
    yield from _places(file, max(start, size - _CHUNK))


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = -(-len(points) // _MOST_POINTS)
    return [*points[::every], *(points[-1:] if (len(points) - 1) % every else [])] if every > 1 else points
