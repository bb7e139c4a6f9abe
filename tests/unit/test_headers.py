"""Headers of weight files, sound and hostile: what they claim is held against the file before anything is believed."""

from __future__ import annotations

import json
import random
import struct

import pytest

from lorasmith.hub.headers import FIRST_BYTES, DamagedHeader, gguf_header, safetensors_header


def reader(data: bytes):
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return data[start:stop]

    return read, asked


def file_of(entries: dict, *, length: int | None = None, data: int = 64) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


def tensor(start: int, stop: int, shape: list, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_a_sound_header_gives_names_shapes_and_bytes():
    """CHK-1"""
    data = file_of({"__metadata__": {"a": "b"}, "x": tensor(0, 32, [2, 4]), "y": tensor(32, 48, [8], "BF16")})
    read, asked = reader(data)
    found = safetensors_header(read, len(data))
    assert {name: (one.dtype, one.shape, one.num_bytes) for name, one in found.items()} == {
        "x": ("F32", (2, 4), 32),
        "y": ("BF16", (8,), 16),
    }
    assert len(asked) == 1


def test_a_long_header_costs_one_more_request_and_no_weights():
    """CHK-1"""
    entries = {f"layer.{i}.{'n' * 90}": tensor(4 * i, 4 * i + 4, [1]) for i in range(500)}
    data = file_of(entries, data=10**6)
    read, asked = reader(data)
    assert len(safetensors_header(read, len(data))) == 500
    length = struct.unpack("<Q", data[:8])[0]
    assert asked == [(0, FIRST_BYTES), (FIRST_BYTES, 8 + length)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"\x05\0\0", "3 bytes"),
        (file_of({}, length=2**32), "claims a header of 4,294,967,296"),
        (file_of({}, length=2**63), "claims a header"),
        (file_of({"x": tensor(0, 8, [2])})[:30], "claims a header"),
        (struct.pack("<Q", 9) + b"{not json" + bytes(64), "no JSON"),
        (struct.pack("<Q", 20_000) + b"[" * 20_000 + bytes(64), "no JSON"),
        (struct.pack("<Q", 2) + b"[]" + bytes(64), "no table"),
        (file_of({"x": 3}), "'x' is not described"),
        (file_of({"x": tensor(-8, 0, [2])}), "'x' lies outside"),
        (file_of({"x": tensor(0, 80, [20])}), "'x' lies outside"),
        (file_of({"x": tensor(16, 8, [2])}), "'x' lies outside"),
        (file_of({"x": tensor(0, 8, [-2])}), "'x' lies outside"),
        (file_of({"x": tensor(0, 8, [True, 2])}), "'x' lies outside"),
        (file_of({"x": tensor(0, 8, [2**62, 4])}), "do not make its shape"),
        (file_of({"x": tensor(0, 8, [2], "Q7")}), "unknown dtype 'Q7'"),
        (file_of({"x": tensor(0, 16, [4]), "y": tensor(8, 24, [4])}), "'x' and 'y' overlap"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused(data, said):
    """CHK-15, REL-4"""
    with pytest.raises(DamagedHeader, match=said):
        safetensors_header(reader(data)[0], len(data))


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(values: bytes, count: int, tensors: bytes = b"", num_tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, count) + values + tensors


SOUND = gguf(
    string("general.architecture") + struct.pack("<I", 8) + string("llama")
    + string("llama.block_count") + struct.pack("<II", 4, 32)
    + string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + string("a") + string("b") + string("c")
    + string("llama.head_counts") + struct.pack("<IIQ3I", 9, 4, 3, 1, 2, 3),
    4,
    string("token_embd.weight") + struct.pack("<IQQIQ", 2, 256, 10, 12, 0),
    1,
)  # fmt: skip


def test_a_gguf_header_gives_metadata_and_tensors():
    """CHK-2, FAM-3: Q4_K packs 256 values into 144 bytes."""
    data = SOUND + bytes(4000)
    found = gguf_header(reader(data)[0], len(data))
    assert found.metadata == {
        "general.architecture": "llama",
        "llama.block_count": 32,
        "tokenizer.ggml.tokens": 3,
        "llama.head_counts": [1, 2, 3],
    }
    assert found.tensors["token_embd.weight"] == ("Q4_K", (10, 256), 1440)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GGML" + bytes(40), "does not begin"),
        (gguf(b"", 0, version=9), "version 9"),
        (gguf(string("k") + struct.pack("<IQ", 8, 2**60), 1), "claims 1,152,921,504,606,846,976 bytes"),
        (gguf(string("k") + struct.pack("<IIQ", 9, 4, 2**60), 1), "claims"),
        (gguf(string("k") + struct.pack("<IIQ", 9, 8, 2**60), 1), "claims"),
        (gguf(string("k") + struct.pack("<I", 77), 1), "unknown type 77"),
        (gguf(b"", 2**60), "claims"),
        (gguf(b"", 0, string("t") + struct.pack("<I", 99), 1), "99 dimensions"),
        (gguf(b"", 0, string("t") + struct.pack("<IQIQ", 1, 2**60, 0, 0), 1), "larger than the file"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_gguf_that_lies_is_refused(data, said):
    """REL-4: sizes beyond the file, as in CVE-2026-7482."""
    data += bytes(64)
    with pytest.raises(DamagedHeader, match=said):
        gguf_header(reader(data)[0], len(data))


def test_changed_bytes_never_crash_a_reader():
    """REL-4: five thousand damaged headers of each kind end in an answer or in DamagedHeader."""
    rng = random.Random(4)
    sound = file_of({"x": tensor(0, 32, [2, 4]), "y": tensor(32, 64, [8])})
    refused = 0
    for data, read_header in ((sound, safetensors_header), (SOUND + bytes(2000), gguf_header)):
        for _ in range(5000):
            broken = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                broken[rng.randrange(min(len(broken), 300))] = rng.randrange(256)
            broken = broken[: rng.randrange(len(broken))] if rng.random() < 0.2 else broken
            try:
                read_header(reader(bytes(broken))[0], len(broken))
            except DamagedHeader:
                refused += 1
    assert refused > 5000
