"""Frames between the server and its engine worker, over a socket pair: a header of JSON and any number of blobs of bytes.

It knows nothing of what they mean. The worker's side blocks, the server's side awaits.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

_HEAD = struct.Struct("!IH")  # bytes of the header, number of blobs
_SIZE = struct.Struct("!Q")
_MAX_HEADER_BYTES = 2**30


class Frame(NamedTuple):
    """One message."""

    header: dict[str, Any]
    blobs: list[bytes]


def packed(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """The bytes of a frame. Raises ValueError for a number that JSON does not have."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("utf-8", "surrogatepass")
    sizes = b"".join(_SIZE.pack(len(blob)) for blob in blobs)
    return b"".join((_HEAD.pack(len(text), len(blobs)), sizes, text, *blobs))


class Channel:
    """The worker's side. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._file = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        """Raises BrokenPipeError where nobody listens any more."""
        data = packed(header, blobs)
        with self._lock:
            self._socket.sendall(data)

    def receive(self) -> Frame | None:
        """The next frame; None where the other side is gone."""
        try:
            head = self._exactly(_HEAD.size)
            length, count = _HEAD.unpack(head)
            sizes = [_SIZE.unpack(self._exactly(_SIZE.size))[0] for _ in range(count)]
            header = json.loads(self._exactly(length))
            return Frame(header, [self._exactly(size) for size in sizes])
        except (EOFError, ConnectionError, OSError):
            return None

    def close(self) -> None:
        """Leave; the other end is told that nobody is there."""
        self._file.close()
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data


class AsyncChannel:
    """The server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, connection: socket.socket) -> AsyncChannel:
        """The channel over a connected socket, which is the channel's from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=2**20)
        return cls(reader, writer)

    async def send(self, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Raises ConnectionError where nobody listens any more."""
        self._writer.write(packed(header, blobs))
        await self._writer.drain()

    async def receive(self) -> Frame | None:
        """The next frame; None where the other side is gone. Raises ValueError for what no worker of ours sends."""
        try:
            length, count = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            sizes = [_SIZE.unpack(await self._reader.readexactly(_SIZE.size))[0] for _ in range(count)]
            header = json.loads(await self._reader.readexactly(length))
            return Frame(header, [await self._reader.readexactly(size) for size in sizes])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        self._writer.close()
