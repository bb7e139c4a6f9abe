"""A folder as a zip file, made while it is sent: neither memory nor disk holds it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from fastapi.responses import StreamingResponse

_CHUNK_BYTES = 1 << 20


class _Sent:
    """What a zip file is written to; it cannot be gone back in."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        found, self._chunks = b"".join(self._chunks), []
        return found


def _zipped(files: Iterable[Path], folder: Path) -> Iterator[bytes]:
    sent = _Sent()
    # Pictures, recordings and weights do not get smaller by being packed.
    with zipfile.ZipFile(cast(Any, sent), "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            info = zipfile.ZipInfo.from_file(file, file.relative_to(folder), strict_timestamps=False)
            with file.open("rb") as source, packed.open(info, "w") as target:
                while chunk := source.read(_CHUNK_BYTES):
                    target.write(chunk)
                    yield sent.take()
    yield sent.take()


def answer_zip(folder: Path, name: str) -> StreamingResponse:
    """All files in and below `folder`, without links, as a file called `name`.zip."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink()]
    return StreamingResponse(
        _zipped(files, folder), media_type="application/zip",
        headers={"Content-Disposition": f"attachment; filename*=utf-8''{quote(f'{name}.zip', safe='')}"},
    )  # fmt: skip
