"""From what the user calls a model to the folder that holds it: the demo model, a folder, an installed model, the Hub."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from lorasmith.core import paths, settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.demo import MODEL_FOLDER
from lorasmith.hub.installed import FILES_FOLDER, installed_as, installed_folders, is_complete, read_info
from lorasmith.hub.problems import hub_problems

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


class ModelPlace(NamedTuple):
    """A model's folder, the id it goes by, and its revision on the Hub where it has one."""

    folder: Path
    id: str
    revision: str = ""


def locate_here(model: str, known: settings.Settings) -> ModelPlace | None:
    """The folder on this machine that `model` means: the demo model, a folder, an installed model; None where it is none of them.

    Raises UsageProblem for an impossible name.
    """
    if not model.strip() or any(ord(sign) < 32 for sign in model):
        raise UsageProblem("No model was named", fix="Try:  lorasmith check demo")
    if model == "demo":
        return ModelPlace(MODEL_FOLDER, "demo")
    try:
        folder = Path(model).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError):  # longer than a path can be, or below a user's home whom nobody knows
        return None
    if is_folder:
        return (
            _installed_place(folder.absolute())
            if is_complete(folder)
            else ModelPlace(folder.absolute(), folder.absolute().name)
        )
    installed = installed_as(model, known.models_dir)
    return _installed_place(installed) if installed else None


def _installed_place(folder: Path) -> ModelPlace:
    info = read_info(folder)
    return ModelPlace(folder / FILES_FOLDER, str(info.get("model_id") or folder.name), str(info.get("revision") or ""))


def hub_id_of(model: str, known: settings.Settings) -> str:
    """`model` if it can be the name of a repository on the Hub. Raises NotFoundProblem with the nearest known name."""
    if _HUB_ID.fullmatch(model) and ".." not in model:
        return model
    names = ["demo", *(folder.name for folder in installed_folders(known.models_dir))]
    raise NotFoundProblem(
        f"There is no model '{model[:200]}'", why=nearest(model, names),
        fix="Name a folder, an installed model, 'demo', or owner/name on the Hub.",
    )  # fmt: skip


def locate(model: str, known: settings.Settings, *, revision: str = "") -> ModelPlace:
    """Where the model is; a Hub model is fetched into the cache if it is not there yet.

    Raises UsageProblem for an impossible name, NotFoundProblem, EnvironmentProblem (no network).
    """
    return locate_here(model, known) or from_hub(hub_id_of(model, known), known, revision)


def from_hub(model: str, known: settings.Settings, revision: str = "") -> ModelPlace:
    """A Hub repository's files for loading, fetched into the cache where they are not there. Raises NotFoundProblem,
    EnvironmentProblem."""
    import huggingface_hub

    token = known.huggingface_token.get_secret_value() if known.huggingface_token else None
    with hub_problems(model, token_given=token is not None):
        folder = huggingface_hub.snapshot_download(
            model, revision=revision or None, allow_patterns=_FILES, token=token,
            cache_dir=known.cache_dir / "hub", max_workers=known.max_download_workers,
        )  # fmt: skip
    return ModelPlace(Path(folder), model, Path(folder).name)


def cached_snapshot(model: str, known: settings.Settings, revision: str = "") -> ModelPlace | None:
    """The copy of a Hub model in lorasmith's cache or in the Hub client's own; None without one. No network."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    for cache in (known.cache_dir / "hub", None):
        with contextlib.suppress(LocalEntryNotFoundError, ValueError):
            folder = huggingface_hub.snapshot_download(
                model, revision=revision or None, cache_dir=cache, local_files_only=True
            )
            return ModelPlace(Path(folder), model, Path(folder).name)
    return None


def locate_adapter(name: str) -> Path:
    """The folder with adapter weights that `name` means: a path, a training's folder, or its name in home.

    Raises NotFoundProblem, UsageProblem.
    """
    given = paths.named(name)
    for base in (given, paths.named(str(settings.load().adapters_dir / name))):
        for folder in (base, base / "lora"):
            if (folder / "adapter_config.json").exists():
                return folder
    raise NotFoundProblem(f"There is no adapter '{name}'", fix="Name the folder that a training made.")


def template_of(adapter: Path | None, template: str) -> str:
    """The chat template in force: the one asked for, else the one that the adapter was trained with."""
    own = adapter / "chat_template.jinja" if adapter else None
    return template or (str(own) if own and own.exists() else "")
