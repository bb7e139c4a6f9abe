"""What is in an archive, one file after another, in memory that does not grow with it (SEC-1, SEC-4).

Nothing is written here, and no name is trusted: `unpacking` does both.
"""

from __future__ import annotations

import contextlib
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from lorasmith.core.errors import DataProblem, LorasmithError
from lorasmith.data.compression import DAMAGES, open_bytes, unpacked_ending
from lorasmith.data.containers import damaged

CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
_DIRECTORY_BYTES = 32 * 2**20
"""Of a zip file's list of contents, which is held in memory whole: that of 200,000 files with names of middling length."""
_HEAD_BYTES = 2**20
"""Of all that a tar file says about one file before that file begins."""
_MAGIC_PLACE, _MAGIC = 257, b"ustar"
_STARTS: dict[bytes, Literal["zip", "other"]] = {
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"PK\x07\x08": "zip", b"7z\xbc\xaf\x27\x1c": "other", b"Rar!\x1a\x07": "other",
}  # fmt: skip
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Others unpack whole blocks, or set up as much memory as the archive says."""
_LOCKED = 0x1 | 0x40 | 0x2000
"""Bits of a zip entry: encrypted, strongly encrypted, its name as well."""
# What reading a damaged archive raises.
_BROKEN = (
    *DAMAGES, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError, ValueError, OverflowError, zlib.error,
)  # fmt: skip

Kind = Literal["zip", "tar", "other", ""]


class Member(NamedTuple):
    """A file or a folder in an archive, under the name that it has there."""

    name: str
    content: Iterator[bytes] | None
    """To be read before the next member is asked for, or not at all; None for a folder."""


def archive_kind(file: Path) -> Kind:
    """What kind of archive it is, by its content, or where that says nothing by its name; `other` for those that are not read."""
    try:
        with file.open("rb") as raw:
            head = raw.read(max(map(len, _STARTS)))
        for start, kind in _STARTS.items():
            if head.startswith(start):
                return kind
        with open_bytes(file) as unpacked:
            if unpacked.read(_BLOCK_BYTES)[_MAGIC_PLACE:].startswith(_MAGIC):
                return "tar"
    except (LorasmithError, *_BROKEN):
        pass  # a folder, or damage: whoever reads it tells of that
    if file.is_dir():
        return ""
    ending = unpacked_ending(file)
    return "tar" if ending in (".tar", ".tgz") else "zip" if ending == ".zip" else ""


def members(archive: Path, most_bytes: int) -> Iterator[Member]:
    """What is in it, from the first on. `most_bytes` is how much of it may be read at all, unpacked.

    Raises DataProblem for damage, for what is encrypted or packed in an unusual way, and for what is neither file nor folder.
    """
    kind = archive_kind(archive)
    if kind == "zip":
        yield from _of_zip(archive)
    elif kind == "tar":
        yield from _of_tar(archive, most_bytes)
    else:
        raise DataProblem(
            f"'{archive.name}' is an archive of a kind that is not unpacked here",
            fix="Pack its files as .zip or .tar.gz.",
        )


def told(name: str) -> str:
    """A member's name for a message, without what no page should be shown."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:120])


@contextlib.contextmanager
def _damage_told(archive: Path) -> Generator[None]:
    try:
        yield
    except _BROKEN as error:
        raise damaged(archive, error) from error


def _chunks(opened: Callable[[], IO[bytes] | None], archive: Path) -> Iterator[bytes]:
    with _damage_told(archive):
        stream = cast("IO[bytes]", opened())
    with stream:
        while True:
            with _damage_told(archive):
                chunk = stream.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


def bad_name(name: str, why: str) -> DataProblem:
    return DataProblem(
        f"'{told(name)}' is no name for a file in an archive", why=f"{why}.",
        fix="Pack the files anew under short names, with '/' between folders (on Windows with its own zip folders).",
    )  # fmt: skip


def _no_file(name: str) -> DataProblem:
    return DataProblem(
        f"The archive holds '{told(name)}', which is neither a file nor a folder",
        why="Links and devices could lead out of the dataset's folder.", fix="Pack the files themselves.",
    )  # fmt: skip


class _ZipFile(io.FileIO):
    """A zip file whose list of contents has a limit: it is read in one piece, as long as the file says that it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY_BYTES:
            raise DataProblem(
                "The archive's list of contents is too long", why=f"It has more than {_DIRECTORY_BYTES >> 20} MiB.",
                fix="Put fewer files into it, or rows with pictures into Parquet.",
            )  # fmt: skip
        return super().read(-1 if size is None else size)


def _of_zip(archive: Path) -> Iterator[Member]:
    with contextlib.ExitStack() as stack:
        with _damage_told(archive):
            packed = stack.enter_context(zipfile.ZipFile(cast(Any, stack.enter_context(_ZipFile(archive)))))
        for info in packed.infolist():
            # As it stands there: `filename` ends at a zero byte.
            name, mode = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_file(name)
            if name.endswith("/"):
                yield Member(name, None)
                continue
            if info.flag_bits & _LOCKED:
                raise DataProblem(
                    f"'{told(name)}' in the archive is encrypted", why="No password can be given here.",
                    fix="Pack the files without one.",
                )  # fmt: skip
            if info.compress_type not in _METHODS:
                raise DataProblem(
                    f"'{told(name)}' in the archive is packed in an unusual way", why=f"Its method is {info.compress_type}.",
                    fix="Pack the files in the ordinary way (deflate), or without compression.",
                )  # fmt: skip
            yield Member(name, _chunks(partial(packed.open, info), archive))


class _TarStream(io.RawIOBase):
    """The bytes of a tar file, read onwards only; what is said about one file, and the whole, have a limit."""

    def __init__(self, raw: IO[bytes], most_bytes: int):
        self._raw, self._at, self._most_bytes = raw, 0, most_bytes
        self._head_left = _HEAD_BYTES
        self.is_content = False
        self.last = b""
        """The last block that was read of what is said about files."""

    def head_begins(self) -> None:
        self.is_content, self._head_left = False, _HEAD_BYTES

    def read(self, size: int = -1, /) -> bytes:
        if not self.is_content:
            self._head_left -= size
            if size < 0 or self._head_left < 0:
                raise DataProblem("The archive says too much about one of its files", fix="Pack it anew.")
        data = self._raw.read(size)
        self._at += len(data)
        if self._at > 2 * self._most_bytes + _HEAD_BYTES:  # where every file is small, as much again is said about them
            raise too_large(self._most_bytes)
        if not self.is_content:
            self.last = data
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        """Raises ValueError for what lies behind."""
        if whence != io.SEEK_SET or place < self._at:
            raise ValueError("it points back into itself")
        was, self.is_content = self.is_content, True
        while self._at < place and self.read(min(CHUNK_BYTES, place - self._at)):
            pass
        self.is_content = was
        return self._at


def too_large(most_bytes: int) -> DataProblem:
    return DataProblem(
        f"The archive unpacks to more than {most_bytes / 10**6:,.0f} MB", why="Uploads have a limit, also unpacked.",
        fix="Send less of it at once, or start the studio with a larger --max-body-mb.",
    )  # fmt: skip


def _of_tar(archive: Path, most_bytes: int) -> Iterator[Member]:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_bytes(archive))
        stream = _TarStream(raw, most_bytes)
        with _damage_told(archive):
            packed = stack.enter_context(tarfile.open(fileobj=cast(Any, stream), mode="r:", encoding="utf-8"))
        while True:
            stream.head_begins()
            with _damage_told(archive):
                info = packed.next()
            cast(Any, packed).members.clear()  # else it remembers all of them
            if info is None:
                break
            if not (info.isdir() or (info.isreg() and info.sparse is None)):
                raise _no_file(info.name)
            _require_data(info, archive.parent)
            stream.is_content = True
            yield Member(info.name, _chunks(partial(packed.extractfile, info), archive) if info.isreg() else None)
        # tarfile takes a damaged header for the end. At the true one stands a block of zeros.
        if len(stream.last) < _BLOCK_BYTES or any(stream.last):
            raise damaged(archive, EOFError("it ends before its end mark"))
        stream.is_content = True
        with _damage_told(archive):
            while stream.read(CHUNK_BYTES):  # to where gzip has its check sum
                pass


def _require_data(info: tarfile.TarInfo, folder: Path) -> None:
    """What Python itself refuses in archives of data; `unpacking` has a lock of its own. Python 3.11.3 has no such filter yet."""
    if hasattr(tarfile, "data_filter"):
        try:
            tarfile.data_filter(info, str(folder))
        except (tarfile.FilterError, ValueError) as error:  # the latter for a zero byte
            raise bad_name(info.name, str(error).rstrip(".")) from error
