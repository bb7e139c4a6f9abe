"""Prepared rows as torch sees them: read from the memory-mapped Arrow file, cut, padded or packed, with labels."""

from __future__ import annotations

import copy
import dataclasses
import heapq
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from lorasmith.core.samples import Sample
from lorasmith.data.pairs import truncate_pair
from lorasmith.data.render import Span, TokenRow, truncate

IGNORED = -100
Part = Literal["train", "validation", "all"]


class _Lists(NamedTuple):
    """Lists of whole numbers, one after another: `values[offsets[i] : offsets[i + 1]]` is the i-th."""

    values: np.ndarray
    offsets: np.ndarray

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def of_arrow(cls, column: pa.ListArray) -> _Lists:
        """Without a copy: the numbers stay in the file."""
        return cls(column.values.to_numpy(), column.offsets.to_numpy())

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> _Lists:
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(one) for one in lists], out=offsets[1:])
        return cls(np.fromiter((number for one in lists for number in one), np.int32, offsets[-1]), offsets)


class _Chunk(NamedTuple):
    """Some hundred rows: their ids, their spans as start, stop, start, stop …, and their keys; of preferences the second answers,
    too, and which were liked."""

    ids: _Lists
    edges: _Lists
    keys: np.ndarray
    rejected: _Lists | None = None
    rejected_edges: _Lists | None = None
    liked: np.ndarray | None = None
    samples: pa.BinaryArray | None = None
    """For models that learn from more than tokens: the rows themselves; ids then only say how many tokens they have."""


def _chunk(batch: pa.RecordBatch) -> _Chunk:
    ids, edges, keys = batch.column("ids"), batch.column("spans"), batch.column("key")
    plain = _Chunk(_Lists.of_arrow(ids), _Lists.of_arrow(edges), keys.to_numpy())
    if "sample" in batch.schema.names:
        return plain._replace(samples=batch.column("sample"))
    if "rejected" not in batch.schema.names:
        return plain
    return plain._replace(
        rejected=_Lists.of_arrow(batch.column("rejected")),
        rejected_edges=_Lists.of_arrow(batch.column("rejected_spans")),
        liked=batch.column("is_good").to_numpy(zero_copy_only=False),
    )


def _chunks(path: Path) -> list[_Chunk]:
    """Every row of the Arrow stream that `prepare` wrote, left on disk."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return [_chunk(batch) for batch in reader]


class Rows(Dataset[TokenRow]):
    """The rows of one part of a prepared dataset, cut to `max_length`. Those without a token to learn are left out.

    In memory are 12 bytes a row; ids are read from the file when they are needed.
    """

    def __init__(self, path: Path, threshold: int, part: Part, *, max_length: int, limit: int = 0):
        self._take(_chunks(path), threshold, part, max_length)
        if limit and len(self) > limit:
            # The same rows whatever order the file is in.
            keys = np.array([self._chunks[chunk].keys[row] for chunk, row in self._places], np.uint64)
            self._keep(np.argsort(keys, kind="stable")[:limit])

    @classmethod
    def of(cls, rows: Iterable[TokenRow]) -> Rows:
        """The given rows, uncut."""
        listed = list(rows)
        chunk = _Chunk(
            _Lists.of([row.ids for row in listed]),
            _Lists.of([_flat(row.spans) for row in listed]),
            np.array([row.key for row in listed], np.uint64),
        )
        if any(row.rejected for row in listed):
            chunk = chunk._replace(
                rejected=_Lists.of([row.rejected for row in listed]),
                rejected_edges=_Lists.of([_flat(row.rejected_spans) for row in listed]),
                liked=np.array([row.is_good for row in listed]),
            )
        made = cls.__new__(cls)
        made._take([chunk], 0, "all", sys.maxsize)
        return made

    def _take(self, chunks: list[_Chunk], threshold: int, part: Part, max_length: int) -> None:
        self._chunks, self._max_length = chunks, max_length
        self.answers_cut = 0
        places: list[np.ndarray] = []
        for number, chunk in enumerate(chunks):
            wanted = np.ones(len(chunk.keys), bool)
            if part != "all":
                wanted = (chunk.keys < np.uint64(threshold)) == (part == "validation")
            learnable = self._learnable(chunk, wanted)
            places.append(np.stack([np.full(learnable.size, number), learnable], 1))
        self._places = np.concatenate(places).astype(np.int32) if places else np.zeros((0, 2), np.int32)
        cut = [self._cut_lengths(chunk, rows[:, 1]) for chunk, rows in zip(chunks, places, strict=True)]
        self.lengths: Sequence[int] = array("i", np.concatenate(cut).astype(np.int32).tobytes() if cut else b"")
        """Tokens of each row; of preferences both answers', with what comes before them."""
        self._firsts = np.cumsum([0, *(len(chunk.keys) for chunk in chunks)])

    def _cut_lengths(self, chunk: _Chunk, rows: np.ndarray) -> np.ndarray:
        lengths = np.minimum(_sizes(chunk.ids), self._max_length)
        if chunk.rejected:
            lengths = lengths + np.minimum(_sizes(chunk.rejected), self._max_length)
            for row in rows[_longest(chunk)[rows] > self._max_length]:
                both = self._cut(chunk, row)
                lengths[row] = len(both.ids) + len(both.rejected)
        return lengths[rows]

    def _learnable(self, chunk: _Chunk, wanted: np.ndarray) -> np.ndarray:
        """Numbers of the wanted rows of a chunk that have a token to learn after they are cut."""
        supervised = _sums(chunk.edges)
        second = _sums(chunk.rejected_edges) if chunk.rejected_edges else np.ones_like(supervised)
        too_long = _longest(chunk) > self._max_length
        for row in np.flatnonzero(too_long & wanted & (supervised > 0) & (second > 0)):
            cut = self._cut(chunk, row)
            left = cut.num_supervised, cut.num_rejected if chunk.rejected else 1
            self.answers_cut += bool(left[0] < supervised[row] or left[1] < second[row])
            supervised[row], second[row] = left
        return np.flatnonzero(wanted & (supervised > 0) & (second > 0))

    def _cut(self, chunk: _Chunk, row: int) -> TokenRow:
        whole = TokenRow(chunk.ids[row].tolist(), _spans(chunk.edges, row), int(chunk.keys[row]))
        if not chunk.rejected or not chunk.rejected_edges or chunk.liked is None:
            return truncate(whole, self._max_length)
        rejected, spans, liked = chunk.rejected[row].tolist(), _spans(chunk.rejected_edges, row), bool(chunk.liked[row])
        pair = dataclasses.replace(whole, rejected=rejected, rejected_spans=spans, is_good=liked)
        return truncate_pair(pair, self._max_length)

    def _keep(self, indices: np.ndarray) -> None:
        self._places = self._places[indices]
        self.lengths = array("i", [self.lengths[index] for index in indices])

    def longest(self, number: int) -> list[int]:
        """Numbers of the longest rows, the longest first."""
        return heapq.nlargest(number, range(len(self)), key=self.lengths.__getitem__)

    def only(self, indices: Sequence[int]) -> Rows:
        """The rows of these numbers."""
        part = copy.copy(self)
        part._keep(np.array(indices, np.int64))
        return part

    @property
    def numbers(self) -> np.ndarray:
        """Which row of the whole file each of these is."""
        return self._firsts[self._places[:, 0]] + self._places[:, 1]

    @property
    def num_in_file(self) -> int:
        """Rows of all parts, with those that are left out."""
        return int(self._firsts[-1])

    @property
    def liked(self) -> np.ndarray:
        """For single judgements: whether each answer was liked."""
        by_chunk = [np.ones(len(chunk.keys), bool) if chunk.liked is None else chunk.liked for chunk in self._chunks]
        return np.concatenate(by_chunk)[self.numbers]

    def sample(self, index: int) -> Sample:
        """The row itself, of data that are more than tokens."""
        chunk, row = self._places[index]
        samples = self._chunks[chunk].samples
        if samples is None:
            raise ValueError("these rows are tokens")
        return Sample.loaded(samples[int(row)].as_py())

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> TokenRow:
        chunk, row = self._places[index]
        return self._cut(self._chunks[chunk], row)

    def _tensors(self, index: int) -> tuple[torch.Tensor, list[Span]]:
        chunk, row = self._places[index]
        ids = self._chunks[chunk].ids[row]
        if len(ids) > self._max_length:
            cut = self[index]
            return torch.tensor(cut.ids), cut.spans
        return torch.from_numpy(ids.astype(np.int64)), _spans(self._chunks[chunk].edges, row)

    def batch(self, indices: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels` of shape (rows, longest), padded on the right, so that no attention mask is needed:
        under causal attention nothing that counts can see what stands after it."""
        return _padded([self._tensors(index) for index in indices], pad)

    def pairs(self, indices: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """Preferences as `batch` has rows: first all rows with their first answer, then all with their second."""
        rows = [self[index] for index in indices]
        firsts = [(torch.tensor(row.ids), row.spans) for row in rows]
        return _padded(firsts + [(torch.tensor(row.rejected), row.rejected_spans) for row in rows], pad)

    def packed(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """The rows one after another: `input_ids`, `labels` and `position_ids` of shape (1, all tokens), and `cu_seq_lens_q`
        (rows + 1), where each begins and the last one ends. No first token is ever learnt, so no row predicts the next."""
        parts = [self._tensors(index) for index in indices]
        edges = torch.tensor([0, *np.cumsum([len(ids) for ids, _ in parts])], dtype=torch.int32)
        ids = torch.cat([tokens for tokens, _ in parts])
        labels = torch.full_like(ids, IGNORED)
        for first, (_, spans) in zip(edges.tolist(), parts, strict=False):
            for start, stop in spans:
                labels[first + max(1, start) : first + stop] = ids[first + max(1, start) : first + stop]
        positions = torch.cat([torch.arange(len(tokens)) for tokens, _ in parts])
        return {
            "input_ids": ids[None], "labels": labels[None], "position_ids": positions[None], "cu_seq_lens_q": edges
        }  # fmt: skip


def _padded(rows: list[tuple[torch.Tensor, list[Span]]], pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(tokens) for tokens, _ in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for number, (tokens, spans) in enumerate(rows):
        ids[number, : len(tokens)] = tokens
        for start, stop in spans:
            labels[number, start:stop] = tokens[start:stop]
    return {"input_ids": ids, "labels": labels}


def _flat(spans: list[Span]) -> list[int]:
    return [edge for span in spans for edge in span]


def _spans(edges: _Lists, row: int) -> list[Span]:
    flat = edges[row].tolist()
    return list(zip(flat[::2], flat[1::2], strict=True))


def _sizes(lists: _Lists) -> np.ndarray:
    return np.diff(lists.offsets).astype(np.int64)


def _longest(chunk: _Chunk) -> np.ndarray:
    """Tokens of each row; of two answers, with the longer one."""
    return np.maximum(_sizes(chunk.ids), _sizes(chunk.rejected)) if chunk.rejected else _sizes(chunk.ids)


def _sums(edges: _Lists) -> np.ndarray:
    """Tokens to learn of each row: the lengths of its spans together."""
    signs = np.ones(len(edges.values), np.int64)
    signs[::2] = -1
    totals = np.concatenate([[0], np.cumsum(signs * edges.values)])
    return totals[edges.offsets[1:]] - totals[edges.offsets[:-1]]
