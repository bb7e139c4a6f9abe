"""How many threads a pass gets: as many as have made passes of its size quickest, which is tried anew now and then.

A second thread wins a third on a small model's step and half on a large one's. Where another process wants its core it costs many
times the step instead, since threads of OpenMP spin while they wait for each other (docs/lab-log.md); and that changes while a
server runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_TRIES = 2
_SHORTEST, _LONGEST = 8, 2048
"""Passes between two trials. They double as long as a trial changes nothing."""
_WEIGHT = 0.3
"""Of the newest time in the mean of the number in use. A time far above the mean counts as its double."""


class _Size:
    """Passes of about so many tokens."""

    def __init__(self, counts: tuple[int, ...]):
        self._counts = counts
        self._trials: list[int] = []
        self._tried: dict[int, float] = {}
        """The quickest of the trial under way, by number of threads: a pass that was disturbed proves nothing."""
        self._best, self._mean = counts[0], 0.0
        self._pause, self._left = _SHORTEST, _SHORTEST

    def choose(self) -> int:
        return self._trials[0] if self._trials else self._best

    def note(self, count: int, seconds: float) -> None:
        """A pass with so many threads took so many seconds a token."""
        if self._trials:
            self._tried[count] = min(seconds, self._tried.get(count, seconds))
            self._trials.pop(0)
            if not self._trials:
                self._decide()
            return
        self._mean += _WEIGHT * (min(seconds, 2 * self._mean) - self._mean) if self._mean else seconds
        self._left -= 1
        if self._left <= 0:
            self._tried = {self._best: self._mean}
            self._trials = [other for other in self._counts if other != self._best for _ in range(_TRIES)]

    def _decide(self) -> None:
        best = min(self._tried, key=lambda count: (self._tried[count], count))
        self._pause = _SHORTEST if best != self._best else min(_LONGEST, 2 * self._pause)
        self._best, self._mean, self._left = best, self._tried[best], self._pause


class Threads:
    """Chooses between all threads and one, for each size of pass by itself. `clock` gives seconds."""

    def __init__(self, most: int | None = None, *, clock: Callable[[], float] = time.perf_counter):
        most = torch.get_num_threads() if most is None else most
        self._counts = (most, 1) if most > 1 else (1,)
        self._sizes: dict[int, _Size] = {}
        self._clock = clock

    @contextmanager
    def chosen(self, tokens: int) -> Iterator[int]:
        """The number of threads that the pass of so many tokens, which runs inside, has."""
        if len(self._counts) == 1:
            yield 1
            return
        size = self._sizes.setdefault(tokens.bit_length(), _Size(self._counts))
        count = size.choose()
        if count != torch.get_num_threads():
            torch.set_num_threads(count)
        began = self._clock()
        yield count
        size.note(count, (self._clock() - began) / tokens)
