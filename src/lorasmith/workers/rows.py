"""Prepared rows as torch sees them: read from the memory-mapped Arrow file, cut, padded, with labels."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch.utils.data import Dataset

from lorasmith.data.prepare import read_rows
from lorasmith.data.render import Span, TokenRow, truncate

IGNORED = -100


class Rows(Dataset[TokenRow]):
    """The rows of one part of a prepared dataset, cut to `max_length`. Those without a token to learn are left out."""

    def __init__(
        self,
        path: Path,
        threshold: int,
        part: Literal["train", "validation", "all"],
        *,
        max_length: int,
        limit: int = 0,
    ):
        self._rows: list[tuple[torch.Tensor, list[Span], int]] = []
        self.answers_cut = 0
        self._take(read_rows(path, threshold, part), max_length)
        if limit and len(self._rows) > limit:
            # The same rows whatever order the file is in.
            self._rows = sorted(self._rows, key=lambda row: row[2])[:limit]

    @classmethod
    def of(cls, rows: Iterable[TokenRow]) -> Rows:
        """The given rows, uncut."""
        made = cls.__new__(cls)
        made._rows, made.answers_cut = [], 0
        made._take(rows, sys.maxsize)
        return made

    def _take(self, rows: Iterable[TokenRow], max_length: int) -> None:
        for row in rows:
            cut = truncate(row, max_length)
            self.answers_cut += cut.num_supervised < row.num_supervised
            if cut.num_supervised:
                self._rows.append((torch.tensor(cut.ids, dtype=torch.int32), cut.spans, cut.key))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TokenRow:
        ids, spans, key = self._rows[index]
        return TokenRow(ids.tolist(), spans, key)

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids, _, _ in self._rows]

    def batch(self, indices: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels` of shape (rows, longest), padded on the right, so that no attention mask is needed:
        under causal attention nothing that counts can see what stands after it."""
        longest = max(len(self._rows[index][0]) for index in indices)
        ids = torch.full((len(indices), longest), pad, dtype=torch.long)
        labels = torch.full((len(indices), longest), IGNORED, dtype=torch.long)
        for number, index in enumerate(indices):
            tokens, spans, _ = self._rows[index]
            ids[number, : len(tokens)] = tokens
            for start, stop in spans:
                labels[number, start:stop] = ids[number, start:stop]
        return {"input_ids": ids, "labels": labels}
