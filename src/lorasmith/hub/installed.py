"""Installed models: the folder of each, and whose it is. It reads names and marks; what is in them is written by `env`."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from lorasmith.core.paths import safe_name

COMPLETE_MARK = ".install_complete"
INFO_FILE = "model_info.json"
FILES_FOLDER = "model"
_HASH_CHARS = 6


def read_info(folder: Path) -> dict[str, Any]:
    """What an installation says of itself; empty where it says nothing that can be read."""
    with contextlib.suppress(OSError, ValueError):
        info = json.loads((folder / INFO_FILE).read_bytes())
        return info if isinstance(info, dict) else {}
    return {}


def is_complete(folder: Path) -> bool:
    """Whether an installation has come to its end in `folder`: the mark is the last thing that is written."""
    return (folder / COMPLETE_MARK).is_file() and (folder / FILES_FOLDER).is_dir()


def installed_folders(models_dir: Path) -> list[Path]:
    """Complete installations, by name."""
    with contextlib.suppress(OSError):
        return sorted(path for path in models_dir.iterdir() if not path.name.startswith(".") and is_complete(path))
    return []


def installed_as(model: str, models_dir: Path) -> Path | None:
    """The installation that `model` means: the folder's own name, or the id or path that it was made from; None without one."""
    folders = installed_folders(models_dir)
    named = next((folder for folder in folders if folder.name == model), None)
    return named or next((folder for folder in folders if read_info(folder).get("source") == model), None)


def place_for(model_id: str, source: str, models_dir: Path) -> Path:
    """The folder for an installation of `source`: where it lies already, or a free name.

    `owner/name` becomes `owner_name`; where that is another model's (`owner_name`, or the same name from another folder), a few
    characters of a hash tell them apart. Raises UsageProblem where nothing is left of the name.
    """
    name = safe_name(model_id)
    apart = f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:_HASH_CHARS]}"
    candidates = [models_dir / name, models_dir / apart]
    own = next((folder for folder in candidates if read_info(folder).get("source") == source), None)
    return own or (candidates[1] if candidates[0].exists() else candidates[0])


def python_of(model_folder: Path) -> Path | None:
    """The Python of the environment that was made for the model in `model_folder`; None where the model is not installed."""
    python = model_folder.parent / ".venv" / "bin" / "python"
    return python if model_folder.name == FILES_FOLDER and is_complete(model_folder.parent) else None
