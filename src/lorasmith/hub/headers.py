"""Tensor names, dtypes and shapes from the first bytes of weight files: safetensors and GGUF. No weight is read.

Both readers take `read(start, stop)`, so that a local file and a ranged request look the same. Every length that the
file claims is held against the file's size and these limits before anything is allocated.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from lorasmith.core.errors import UsageProblem

Read = Callable[[int, int], bytes]

FIRST_BYTES = 2**15
"""Enough for most shards of a large model in one request; a longer header costs a second."""
MAX_HEADER_BYTES = 100_000_000  # the format's own limit, https://huggingface.co/docs/safetensors/metadata_parsing
MAX_GGUF_BYTES = 64 * 2**20  # a vocabulary of 256,000 words with merges takes about 10 MB
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
# Bytes and values of a block by type number: ggml's type traits, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
_GGML_BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 4, 1), 1: ("F16", 2, 1), 2: ("Q4_0", 18, 32), 3: ("Q4_1", 20, 32), 6: ("Q5_0", 22, 32), 7: ("Q5_1", 24, 32),
    8: ("Q8_0", 34, 32), 9: ("Q8_1", 36, 32), 10: ("Q2_K", 84, 256), 11: ("Q3_K", 110, 256), 12: ("Q4_K", 144, 256),
    13: ("Q5_K", 176, 256), 14: ("Q6_K", 210, 256), 15: ("Q8_K", 292, 256), 16: ("IQ2_XXS", 66, 256), 17: ("IQ2_XS", 74, 256),
    18: ("IQ3_XXS", 98, 256), 19: ("IQ1_S", 50, 256), 20: ("IQ4_NL", 18, 32), 21: ("IQ3_S", 110, 256), 22: ("IQ2_S", 82, 256),
    23: ("IQ4_XS", 136, 256), 24: ("I8", 1, 1), 25: ("I16", 2, 1), 26: ("I32", 4, 1), 27: ("I64", 8, 1), 28: ("F64", 8, 1),
    29: ("IQ1_M", 56, 256), 30: ("BF16", 2, 1), 34: ("TQ1_0", 54, 256), 35: ("TQ2_0", 66, 256), 39: ("MXFP4", 17, 32),
}  # fmt: skip


class Tensor(NamedTuple):
    """One stored tensor. `shape` counts elements, `num_bytes` is what it takes in the file."""

    dtype: str
    shape: tuple[int, ...]
    num_bytes: int

    @property
    def size(self) -> int:
        return prod(self.shape)


class DamagedHeader(ValueError):
    """A header that contradicts itself, its file or the limits."""


def safetensors_header(read: Read, size: int) -> dict[str, Tensor]:
    """The tensors of one safetensors file of `size` bytes, by name. Raises DamagedHeader."""
    start = read(0, min(size, FIRST_BYTES))
    if len(start) < 8:
        raise DamagedHeader(f"the file has {len(start)} bytes")
    (length,) = struct.unpack("<Q", start[:8])
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise DamagedHeader(f"it claims a header of {length:,} bytes in a file of {size:,}")
    text = start[8 : 8 + length] if 8 + length <= len(start) else start[8:] + read(len(start), 8 + length)
    if len(text) != length:
        raise DamagedHeader(f"{len(text):,} of {length:,} bytes of the header came")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedHeader(f"the header is no JSON: {error}") from error
    if not isinstance(entries, dict):
        raise DamagedHeader("the header is no table of tensors")
    entries.pop("__metadata__", None)
    return _checked(entries, size - 8 - length)


def _checked(entries: dict[str, Any], room: int) -> dict[str, Tensor]:
    """The entries as tensors: sizes follow from dtype and shape, lie inside the file and do not overlap."""
    tensors: dict[str, Tensor] = {}
    ranges: list[tuple[int, int, str]] = []
    for name, entry in entries.items():
        try:
            dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [start, stop, *shape]
            sound = all(type(number) is int and number >= 0 for number in numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedHeader(f"tensor '{name}' is not described") from error
        if not sound or not start <= stop <= room:
            raise DamagedHeader(f"tensor '{name}' lies outside the file")
        if dtype not in BITS:
            raise DamagedHeader(f"tensor '{name}' has the unknown dtype '{dtype}'")
        if prod(shape) * BITS[dtype] != 8 * (stop - start):
            raise DamagedHeader(f"tensor '{name}' has {stop - start:,} bytes, which do not make its shape {shape}")
        tensors[name] = Tensor(dtype, tuple(shape), stop - start)
        ranges.append((start, stop, name))
    ranges.sort()
    for (_, stop, before), (start, _, after) in itertools.pairwise(ranges):
        if start < stop:
            raise DamagedHeader(f"tensors '{before}' and '{after}' overlap")
    return tensors


class Gguf(NamedTuple):
    """A GGUF file's metadata (long arrays as their length) and tensors."""

    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


class _Cursor:
    """Reads numbers and strings on, fetching more of the file as needed."""

    def __init__(self, read: Read, size: int):
        self.read, self.size = read, size
        self.bytes = read(0, min(size, FIRST_BYTES))
        self.at = 0

    def take(self, count: int) -> bytes:
        stop = self.at + count
        if count < 0 or stop > min(self.size, MAX_GGUF_BYTES):
            raise DamagedHeader(f"it claims {count:,} bytes at byte {self.at:,} of a file of {self.size:,}")
        while stop > len(self.bytes):
            more = self.read(len(self.bytes), min(self.size, max(stop, 4 * len(self.bytes), 2**20)))
            if not more:
                raise DamagedHeader(f"the file ends at byte {len(self.bytes):,}")
            self.bytes += more
        piece = self.bytes[self.at : stop]
        self.at = stop
        return piece

    def number(self, form: str, size: int) -> Any:
        return struct.unpack(f"<{form}", self.take(size))[0]

    def string(self) -> str:
        return self.take(self.number("Q", 8)).decode("utf-8", errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _GGUF_STRING:
            return self.string()
        if kind == _GGUF_ARRAY and depth < 2:
            item, count = self.number("I", 4), self.number("Q", 8)
            if item in _GGUF_SIZES:
                raw = self.take(count * _GGUF_SIZES[item])
                return list(struct.unpack(f"<{count}{_GGUF_FORMATS[item]}", raw)) if count <= 512 else count
            for _ in range(count):  # ends at the file's end: every item takes bytes
                self.value(item, depth + 1)
            return count
        if kind in _GGUF_SIZES:
            return self.number(_GGUF_FORMATS[kind], _GGUF_SIZES[kind])
        raise DamagedHeader(f"it holds a value of the unknown type {kind}")


def gguf_header(read: Read, size: int) -> Gguf:
    """Metadata and tensors of one GGUF file (version 2 or 3) of `size` bytes. Raises DamagedHeader."""
    cursor = _Cursor(read, size)
    if cursor.take(4) != b"GGUF":
        raise DamagedHeader("it does not begin with GGUF")
    version = cursor.number("I", 4)
    if version not in (2, 3):
        raise DamagedHeader(f"GGUF version {version} is not known")
    num_tensors, num_values = cursor.number("Q", 8), cursor.number("Q", 8)
    metadata: dict[str, Any] = {}
    for _ in range(num_values):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.number("I", 4))
    tensors: dict[str, Tensor] = {}
    for _ in range(num_tensors):
        name, dimensions = cursor.string(), cursor.number("I", 4)
        if dimensions > 4:
            raise DamagedHeader(f"tensor '{name}' has {dimensions} dimensions")
        shape = tuple(cursor.number("Q", 8) for _ in range(dimensions))
        kind, _ = cursor.number("I", 4), cursor.number("Q", 8)
        dtype, block_bytes, block = _GGML_BLOCKS.get(kind, ("", 0, 0))
        if not dtype or prod(shape) * block_bytes // block > size:
            raise DamagedHeader(f"tensor '{name}' (type {kind}, shape {shape}) is unknown or larger than the file")
        tensors[name] = Tensor(dtype, tuple(reversed(shape)), prod(shape) * block_bytes // block)
    return Gguf(metadata, tensors)


def damaged(name: str, error: DamagedHeader) -> UsageProblem:
    """The problem that a user reads for a damaged weight file."""
    return UsageProblem(
        f"The weight file '{name}' is damaged",
        why=f"{str(error)[:1].upper()}{str(error)[1:]}.",
        fix="Fetch the file again.",
    )
