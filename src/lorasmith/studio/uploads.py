"""A file on its way in: written to disk as it comes, whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.studio.datasets import Datasets

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FIELD = b"file"
_HEADER_BYTES = 8192


class _Incoming:
    """The parts of a form as they come; the first with a file's name is written to where `place` says."""

    def __init__(self, datasets: Datasets):
        self._datasets = datasets
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._is_file = False
        self.file: Path | None = None
        self.name = ""
        self.is_whole = False
        self._written: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin, "on_header_field": self._field, "on_header_value": self._content,
            "on_header_end": self._header_end, "on_headers_finished": self._headers_end, "on_part_data": self._data,
            "on_part_end": self._end,
        }  # fmt: skip

    def take(self) -> list[bytes]:
        """What is to be written since it was last asked."""
        found, self._written = self._written, []
        return found

    def _begin(self) -> None:
        self._headers = {}

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._require_short()

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._require_short()

    def _require_short(self) -> None:
        if len(self._header) + len(self._value) > _HEADER_BYTES:
            raise UsageProblem("The head of the form is too long")

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._is_file = self.file is None and options.get(b"name") == _FIELD and b"filename" in options
        if self._is_file:
            self.name = options[b"filename"].decode("utf-8", "replace")
            self.file = self._datasets.place(self.name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._written.append(data[start:end])

    def _end(self) -> None:
        self.is_whole = self.is_whole or self._is_file
        self._is_file = False


class Received(NamedTuple):
    """An uploaded file, in a folder of its own, and what its user calls it."""

    file: Path
    name: str


async def received(datasets: Datasets, kind: str, chunks: AsyncIterable[bytes]) -> Received:
    """The uploaded file. Raises UsageProblem for what is no form with a file or was cut off,
    EnvironmentProblem where it does not fit on the disk; nothing is left of it then."""
    main, options = parse_options_header(kind)
    boundary = options.get(b"boundary")
    if main != b"multipart/form-data" or not boundary:
        raise _no_file()
    incoming = _Incoming(datasets)
    parser = MultipartParser(boundary, incoming.callbacks())
    try:
        await _write(parser, incoming, chunks)
    except BaseException:
        if incoming.file is not None:
            datasets.drop(incoming.file)
        raise
    if incoming.file is None:
        raise _no_file()
    if not incoming.is_whole:
        datasets.drop(incoming.file)
        raise UsageProblem("The upload was cut off", fix="Send it again.")
    return Received(incoming.file, incoming.name)


async def _write(parser: MultipartParser, incoming: _Incoming, chunks: AsyncIterable[bytes]) -> None:
    target: Any = None
    try:
        async for chunk in chunks:
            parser.write(chunk)
            if incoming.file is not None and target is None:
                target = await anyio.open_file(incoming.file, "wb")
            for data in incoming.take():
                await target.write(data)
        parser.finalize()
    except MultipartParseError:
        raise UsageProblem("The upload is no form that can be read") from None
    except OSError as error:
        raise EnvironmentProblem(
            "The upload cannot be written", why=f"{error.strerror}.", fix="Free some space."
        ) from None
    finally:
        if target is not None:
            with anyio.CancelScope(shield=True):
                await target.aclose()


def _no_file() -> UsageProblem:
    return UsageProblem("There is no file in the request", fix='Send a form (multipart/form-data) with a field "file".')
