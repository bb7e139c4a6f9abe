"""Which rows make up which step: a pure function of lengths and seed, so that a resumed run sees what it would have seen.

Rows of like length come together, so that little is padded; every row comes once before any comes again.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence

_WINDOW_STEPS = 32  # rows are sorted by length inside windows of so many steps, and stay shuffled across them


def step_batches(lengths: Sequence[int], effective_batch: int, steps: int, seed: int) -> Iterator[list[int]]:
    """Row numbers of each of `steps` optimizer steps, `effective_batch` rows each, over as many passes as it takes."""
    rng = random.Random(seed)
    pending = array("q")  # a tenth of a list's memory, where rows are many
    made = 0
    while made < steps:
        epoch = array("q", range(len(lengths)))
        rng.shuffle(epoch)
        pending += epoch
        whole = len(pending) // effective_batch * effective_batch
        ready, pending = pending[:whole], pending[whole:]
        window = effective_batch * _WINDOW_STEPS
        for start in range(0, whole, window):
            rows = sorted(ready[start : start + window], key=lengths.__getitem__)
            groups = [rows[index : index + effective_batch] for index in range(0, len(rows), effective_batch)]
            rng.shuffle(groups)
            for group in groups:
                if made == steps:
                    return
                made += 1
                yield group


def micro_batches(
    lengths: Sequence[int], micro_batch: int, accumulation: int, steps: int, seed: int
) -> Iterator[list[int]]:
    """`step_batches` cut into `accumulation` micro-batches each, longest rows first so that memory peaks at once."""
    for group in step_batches(lengths, micro_batch * accumulation, steps, seed):
        ordered = sorted(group, key=lengths.__getitem__, reverse=True)
        for index in range(0, len(ordered), micro_batch):
            yield ordered[index : index + micro_batch]
