"""Where things lie, and how they are written so that no reader ever sees a half (REL-3)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from lorasmith.core.errors import EnvironmentProblem, UsageProblem

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def home() -> Path:
    """The folder that holds everything of the user's: `LORASMITH_HOME`, or `~/LLM`."""
    return Path(os.path.expandvars(os.environ.get("LORASMITH_HOME") or "~/LLM")).expanduser().absolute()


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


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents. Raises EnvironmentProblem where rights or disk forbid it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise EnvironmentProblem(
            f"The folder '{folder}' cannot be written",
            why=f"{error.strerror or error}.",
            fix="Choose another with --output, or set LORASMITH_HOME.",
        ) from error
    return folder


def _flush(path: Path) -> None:
    """Have the system write a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `path` whole or not at all: temporary name, flush to disk, rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _flush(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def only_one(path: Path) -> Generator[None, None, None]:
    """Hold the lock file `path`, which ends with this process however it ends. Raises UsageProblem where another holds it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageProblem(
                f"'{path.parent}' is running already", fix="Wait until it has ended, or stop it first."
            ) from None
        yield


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` whole or not at all: `fill` writes into a temporary one beside it, which then takes its place."""
    partial = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    fill(partial)
    for file in partial.rglob("*"):
        if file.is_file():
            _flush(file)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
