"""Files onto a disk: linked, moved or copied, whole or not at all, with what the disk refuses told so that a user can act."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from io import FileIO
from pathlib import Path

from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem
from lorasmith.core.paths import existing
from lorasmith.core.progress import amount

_PIECE_BYTES = 2**25
_READ_BYTES = 2**23  # where the kernel does not copy by itself
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def disk_problems(path: Path) -> Generator[None]:
    """What the disk of `path` refuses, as a problem that a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DoesNotFitProblem(
                f"The disk of '{path.parent}' is full", why=f"'{path.name}' could not be written to its end.",
                fix="Free some space and run the same command again: it goes on with what it has.",
            ) from error  # fmt: skip
        raise EnvironmentProblem(
            f"'{path}' cannot be read or written",
            why=f"{error.strerror or error}.",
            fix="Check the disk and its rights.",
        ) from error


def require_room(needs: Mapping[Path, int]) -> None:
    """Raises DoesNotFitProblem where the disk of a folder has fewer free bytes than all that comes onto it needs."""
    disks: dict[int, tuple[Path, int]] = {}
    for folder, size in needs.items():
        place = existing(folder)
        disk = place.stat().st_dev
        disks[disk] = (place, disks.get(disk, (place, 0))[1] + size)
    for place, size in disks.values():
        free = shutil.disk_usage(place).free
        if size > free:
            raise DoesNotFitProblem(
                f"The disk of '{place}' is too small: {amount(size - free)} more are needed",
                why=f"{amount(size)} would be written, and {amount(free)} are free.",
                fix="Free some space, or choose another disk.",
            )


def link(source: Path, place: Path) -> bool:
    """A second name for a file; False where the disk allows none."""
    with disk_problems(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_symlink() and place.samefile(source):
            return True
        place.unlink(missing_ok=True)
    try:
        place.hardlink_to(source)
    except OSError:
        return False
    return True


def move(source: Path, place: Path) -> None:
    with disk_problems(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy(source, place, lambda _: None)  # one disk, mounted twice


def copy(source: Path, place: Path, tick: Callable[[int], None]) -> None:
    """A file of its own with the bytes of `source`, whole or not at all. `tick` is told of every piece, and may raise."""
    partial = place.with_name(f".copy-{threading.get_ident()}.{os.getpid()}.partial")
    try:
        with contextlib.ExitStack() as files:
            with disk_problems(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                old = files.enter_context(source.open("rb", buffering=0))
                new = files.enter_context(partial.open("wb", buffering=0))
            _pour_over(old, new, place, tick)
            with disk_problems(place):
                new.close()
                partial.replace(place)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _pour_over(old: FileIO, new: FileIO, place: Path, tick: Callable[[int], None]) -> None:
    size = os.fstat(old.fileno()).st_size
    done = 0
    while done < size:
        with disk_problems(place):
            count = _pour_piece(old, new, min(_PIECE_BYTES, size - done))
            if not count:
                raise OSError(errno.EIO, "The file became shorter while it was copied")
        done += count
        tick(count)


def _pour_piece(old: FileIO, new: FileIO, most: int) -> int:
    """Up to `most` bytes from one file to another, by the kernel where it can: some disks then share the blocks."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if count := os.copy_file_range(old.fileno(), new.fileno(), most):
                return count
    piece = old.read(min(most, _READ_BYTES))
    written = 0
    while written < len(piece):
        written += new.write(piece[written:])
    return len(piece)
