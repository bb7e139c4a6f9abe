"""The installed models: what each is, how it is, and taking one away (INS-11)."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lorasmith.core import settings
from lorasmith.core.errors import LorasmithError, NotFoundProblem
from lorasmith.core.registry import nearest
from lorasmith.env import folder as layout
from lorasmith.env.records import read_model_config, read_model_info
from lorasmith.hub.installed import installed_as, installed_folders, read_info


class InstalledModel(BaseModel):
    """One installed model. Sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model_id: str
    family: str
    dtype: str
    quantization: str
    model_bytes: int
    environment_bytes: int
    adapters: list[str]
    """Trained on it: names in `adapters_dir`."""
    installed: datetime | None
    last_used: datetime | None
    troubles: list[str]
    folder: Path

    @property
    def is_healthy(self) -> bool:
        return not self.troubles


def installed_models() -> list[InstalledModel]:
    """Every whole installation, by name; one that is damaged says what is wrong with it."""
    known = settings.load()
    layout.mend(known.models_dir)
    adapters = _adapters_by_model(known.adapters_dir)
    return [_told(folder, adapters) for folder in installed_folders(known.models_dir)]


def _told(folder: Path, adapters: dict[str, list[str]]) -> InstalledModel:
    raw = read_info(folder)
    model_id, stored = str(raw.get("model_id", folder.name)), "?"
    sizes, installed, family, troubles, quantization = (0, 0), None, "?", layout.troubles(folder), "none"
    with contextlib.suppress(LorasmithError):
        info = read_model_info(folder)
        sizes, installed, family = (info.model_bytes, info.environment_bytes), info.install_date, info.model_family
        stored = info.requirements.stored_dtype
    try:
        config = read_model_config(folder)
        stored, quantization = stored if config.dtype == "auto" else config.dtype, config.quantization
    except LorasmithError as problem:
        troubles.append(problem.what)
    return InstalledModel(
        name=folder.name, model_id=model_id, family=family, dtype=stored, quantization=quantization, model_bytes=sizes[0],
        environment_bytes=sizes[1], adapters=adapters.get(model_id, []), installed=installed, last_used=_last_used(folder),
        troubles=troubles, folder=folder,
    )  # fmt: skip


def _last_used(folder: Path) -> datetime | None:
    with contextlib.suppress(OSError):
        return datetime.fromtimestamp((folder / layout.LOGS / layout.LAST_USED).stat().st_mtime, UTC)
    return None


def _adapters_by_model(adapters_dir: Path) -> dict[str, list[str]]:
    """Names of finished trainings by the model that they were made on."""
    found: dict[str, list[str]] = {}
    for report in sorted(adapters_dir.glob("*/training_report.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.setdefault(json.loads(report.read_bytes())["model_id"], []).append(report.parent.name)
    return found


def remove(name: str) -> Path:
    """Take an installed model away, whole: at once for every reader. Adapters that were trained on it stay.

    Raises NotFoundProblem with the nearest name, UsageProblem while it is being installed.
    """
    folder = find_installed(name)
    with layout.held(folder):
        layout.remove_folder(folder)
    return folder


def find_installed(name: str) -> Path:
    """The folder of the installed model that `name` means. Raises NotFoundProblem with the nearest name."""
    known = settings.load()
    folder = installed_as(name, known.models_dir)
    if folder is None:
        names = [one.name for one in installed_folders(known.models_dir)]
        raise NotFoundProblem(
            f"There is no installed model '{name}'", why=nearest(name, names), fix="See:  lorasmith list"
        )
    return folder
