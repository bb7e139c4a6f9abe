"""Where things lie, and how they are written so that no reader ever sees a half (REL-3)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lorasmith.core.errors import EnvironmentProblem, UsageProblem

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FEW_FILES, _AT_ONCE = 64, 16
_PARTIAL_OF = re.compile(r"^\..+\.(\d{1,9})\.partial$")  # of a file: the process that writes it


def home() -> Path:
    """The folder that holds everything of the user's: `LORASMITH_HOME`, or `~/LLM`."""
    return Path(os.path.expandvars(os.environ.get("LORASMITH_HOME") or "~/LLM")).expanduser().absolute()


def named(text: str) -> Path:
    """The path that a user's text means, from the root; it need not exist. Raises UsageProblem where none can lie there."""
    try:
        path = Path(text).expanduser().absolute()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:  # too long, the home of nobody, a zero byte
        short = text if len(text) < 100 else f"{text[:100]}…"
        raise UsageProblem(
            f"The path '{short}' is out of reach", why=f"{getattr(error, 'strerror', None) or error}."
        ) from error
    return path


def safe_name(text: str) -> str:
    """`text` as one portable file name: `owner/name` → `owner_name`. Raises UsageProblem where nothing is left of it."""
    name = _UNSAFE.sub("_", text).strip("._-")[:120]
    if not name:
        raise UsageProblem(f"{text!r} cannot be used as a name", fix="Use letters, digits, '-', '_' and '.'.")
    return name


def free_folder(folder: Path) -> Path:
    """`folder` itself, or the first of `folder-2`, `folder-3` … that does not exist."""
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def existing(folder: Path) -> Path:
    """`folder`, or the first of those above it that exists."""
    return next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents. Raises EnvironmentProblem where rights or disk forbid it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    require_writable(folder)
    return folder


def require_writable(folder: Path) -> None:
    """Raises EnvironmentProblem where `folder`, or the one in which it would be made, cannot be written. It makes nothing."""
    start = existing(folder)
    if not start.is_dir():
        raise _unwritable(folder, NotADirectoryError(errno.ENOTDIR, f"'{start}' is a file"))
    if not os.access(start, os.W_OK | os.X_OK):
        raise _unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _unwritable(folder: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The folder '{folder}' cannot be written", why=f"{error.strerror or error}.",
        fix="Choose another with --output, or set LORASMITH_HOME.",
    )  # fmt: skip


def _flush(path: Path) -> None:
    """Have the system write a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(files: Sequence[Path]) -> None:
    """`_flush` of each; of many at once, because a disk writes those that wait together in the time of one."""
    if len(files) <= _FEW_FILES:
        for file in files:
            _flush(file)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(_flush, files):
            pass


def write_text(path: Path, text: str, *, is_secret: bool = False) -> None:
    """Write `path` whole or not at all: temporary name, flush to disk, rename. What is secret only its owner can read."""
    partial = path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.partial")
    if is_secret:
        partial.touch(mode=0o600)
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _flush(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


@contextlib.contextmanager
def only_one(path: Path, *, busy: str = "") -> Generator[None, None, None]:
    """Hold the lock file `path`, which ends with this process however it ends. Raises UsageProblem where another holds it:
    `busy`, with that one's number."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise UsageProblem(
                busy or f"'{path.parent}' is running already", why=f"By process {holder}." if holder else "",
                fix="Wait until it has ended, or stop it first.",
            ) from None  # fmt: skip
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` whole or not at all: `fill` writes into a temporary one beside it, which then takes its place."""
    partial = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        fill(partial)
        _flush_all([file for file in partial.rglob("*") if file.is_file()])
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Where `write_folder` was killed between its two renames, give the folder that was there before its name back."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def leftovers(folder: Path, *, depth: int = 4) -> list[Path]:
    """Unfinished files and folders below `folder`: what a writer left that was killed. Those of a process that lives are none."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        unfinished = [name for name in folders if name.endswith(".partial")]
        unfinished += [name for name in names if name.endswith(".partial") and not _is_being_written(name)]
        found += [here / name for name in unfinished]
        is_deep = len(here.relative_to(folder).parts) + 1 >= depth
        folders[:] = [] if is_deep else [name for name in folders if name not in unfinished and name != ".venv"]
    return sorted(found)


def _is_being_written(name: str) -> bool:
    """Whether a file's temporary name holds the number of a process that lives."""
    match = _PARTIAL_OF.search(name)
    if not match:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True
