"""What the doctor says of the settings and of the folders: readable, writable, room enough, nothing half done."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from lorasmith.core import paths, settings
from lorasmith.core.errors import LorasmithError
from lorasmith.core.progress import amount
from lorasmith.core.settings import Settings
from lorasmith.plan.doctor.finding import Finding, told

_MOST_NAMED = 5


class Known(NamedTuple):
    """The settings in force, or the defaults where they cannot be read."""

    settings: Settings
    finding: Finding
    is_valid: bool = True
    token_source: str = ""


def settings_in_force() -> Known:
    path = settings.config_path()
    try:
        values, source = settings.load(), settings.origin("huggingface_token")
    except LorasmithError as problem:
        fix = problem.fix or "Correct it there; a line of config.yaml looks like  log_level: info"
        return Known(Settings(), told("Settings", "problem", problem, fix=fix, path=str(path)), is_valid=False)
    details = {"path": str(path), "exists": path.exists()}
    finding = Finding(topic="Settings", what=f"{path} is valid", details=details)
    if not path.exists():
        finding = Finding(topic="Settings", what="the defaults; there is no config.yaml in home", details=details)
    elif source.startswith(str(path)) and stat.S_IMODE(path.stat().st_mode) & 0o077:
        finding = Finding(
            topic="Settings", level="warning", what=f"Others on this machine can read '{path}'",
            why="It holds your token.", fix=f"chmod 600 '{path}'", details=details,
        )  # fmt: skip
    return Known(values, finding, token_source=source)


def home(known: Settings, free_bytes: int) -> list[Finding]:
    """Where everything lies and whether its disk has room; then each folder that cannot be written."""
    folder = paths.home()
    decided = "LORASMITH_HOME" if os.environ.get("LORASMITH_HOME") else "the default; LORASMITH_HOME changes it"
    what = f"{folder} ({decided}), {amount(free_bytes)} free" + ("" if folder.is_dir() else ", made when needed")
    level, why, fix = "ok", "", "Free some disk, or set LORASMITH_HOME to a folder on another one."
    if free_bytes < known.min_disk_space_gb * 10**9:
        level, why = "problem", f"Nothing is installed with less than {known.min_disk_space_gb:g} GB free."
    elif free_bytes < known.warn_disk_space_gb * 10**9:
        level, why = "warning", "A model of 8B parameters takes 16 GB, its environment 3 GB."
    found = Finding(
        topic="Home", level=level, what=what, why=why, fix=fix if why else "",
        details={"path": str(folder), "decided_by": decided, "free_bytes": free_bytes, "exists": folder.is_dir()},
    )  # fmt: skip
    others = [_unwritable(other, f"lorasmith config set {name} FOLDER") for name, other in _outside_home(known).items()]
    return [
        _unwritable(folder, "Set LORASMITH_HOME to a folder that you may write.") or found,
        *(finding for finding in others if finding),
    ]


def _unwritable(folder: Path, fix: str) -> Finding | None:
    try:
        paths.require_writable(folder)
    except LorasmithError as problem:
        return told("Home", "problem", problem, fix=fix, path=str(folder))
    return None


def _outside_home(known: Settings) -> dict[str, Path]:
    """The folders that settings put elsewhere."""
    named = {name: getattr(known, name) for name in ("models_dir", "adapters_dir", "cache_dir", "logs_dir")}
    return {name: folder for name, folder in named.items() if not folder.is_relative_to(paths.home())}


def leftovers(known: Settings) -> list[Finding]:
    """What was never finished, of processes that were killed; no finding where there is nothing."""
    folders = (paths.home(), *_outside_home(known).values())
    sizes = {str(path): _size(path) for folder in folders for path in paths.leftovers(folder)}
    if not sizes:
        return []
    named = [f"{path} ({amount(size)})" for path, size in sizes.items()]
    more = [f"{len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    return [
        Finding(
            topic="Leftovers", level="warning", what=", ".join([*named[:_MOST_NAMED], *more]),
            why="Unfinished: something was stopped while it wrote this, or it is still at it.",
            fix=f"If no lorasmith is running:  rm -r {shlex.join(list(sizes)[:_MOST_NAMED])}", details={"bytes": sizes},
        )
    ]  # fmt: skip


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed, and what vanishes meanwhile counts nothing."""
    total = 0
    for part in [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]:
        with contextlib.suppress(OSError):
            total += 0 if part.is_dir() else part.lstat().st_size
    return total
