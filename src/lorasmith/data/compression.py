"""A file's bytes, unpacked on the fly by what they begin with; what unpacks beyond measure is refused (SEC-4)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from lorasmith.core.errors import DataProblem, EnvironmentProblem, NotFoundProblem

# Text packs 3 to 20 times, rows that repeat about 100 times in gzip; a bomb of zeros 1,030 times in gzip and more in others.
MAX_RATIO = 500
FREE_BYTES = 64 * 2**20
"""So much may come out of any file, whatever its ratio."""
ENDINGS = (".gz", ".zst", ".bz2", ".xz")
DAMAGES = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading a damaged packed file raises."""
_BUFFER_BYTES = 2**17


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked from gzip, zstd, bzip2 or xz by its first bytes, not by its name.

    Reading raises DataProblem where a packed file grows beyond FREE_BYTES and MAX_RATIO times its size. Raises
    NotFoundProblem, DataProblem (a folder, a device), EnvironmentProblem (rights).
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataProblem(f"'{path}' is no file", why="It is a device, a pipe or a socket.")
        raw = path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundProblem(f"There is no data file '{path}'", fix="Check the path given to --data.") from error
    except OSError as error:
        raise EnvironmentProblem(
            f"The data file '{path}' cannot be opened", why=f"{error.strerror}.", fix="Check its rights with 'ls -l'."
        ) from error
    magic = raw.read(6)
    raw.seek(0)
    unpack = next((unpack for start, unpack in _UNPACKERS.items() if magic.startswith(start)), None)
    if unpack is None:
        return raw
    return io.BufferedReader(_Guarded(path, raw, unpack(raw)), _BUFFER_BYTES)


def unpacked_ending(path: Path) -> str:
    """The file's ending without that of its packing: `.jsonl` for `a.JSONL.gz`."""
    name = path.name.lower()
    for packing in ENDINGS:
        name = name.removesuffix(packing)
    return Path(name).suffix


def _zstd(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))


_UNPACKERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\x28\xb5\x2f\xfd": _zstd,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class _Guarded(io.RawIOBase):
    """Unpacked bytes, counted beside the packed ones that they came from."""

    def __init__(self, path: Path, raw: IO[bytes], unpacked: IO[bytes]):
        self._path, self._raw, self._unpacked = path, raw, unpacked
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._unpacked.read(len(buffer))
        self._count += len(data)
        if self._count > FREE_BYTES and self._count > MAX_RATIO * self._raw.tell():
            raise DataProblem(
                f"'{self._path.name}' unpacks to more than {MAX_RATIO} times its size",
                why=f"{self._count >> 20} MiB came out of {self._raw.tell():,} bytes: that is a bomb, or one row over and over.",
                fix="If you trust it, unpack it yourself and give the unpacked file.",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._unpacked.close()
            self._raw.close()
        super().close()
