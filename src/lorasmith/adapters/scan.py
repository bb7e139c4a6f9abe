"""Adapters and models that other tools left in a folder (ADP-1). Nothing is loaded and nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lorasmith.adapters.facts import AdapterFacts, adapter_facts
from lorasmith.core.errors import LorasmithError, NotFoundProblem
from lorasmith.hub.bases import CONFIG_FILE
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import LocalRepository

_DEEPEST, _FOLDERS, _MANY = 6, 20_000, 500
_MODEL_FILES = ("model_index.json", "config.json")
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")


class FoundModel(BaseModel):
    """A base model in a folder. Size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: Path
    family: str
    num_bytes: int
    trouble: str
    """Why it cannot be used; empty where it can."""


class Found(BaseModel):
    """What a folder holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapters: list[AdapterFacts]
    models: list[FoundModel]
    is_cut: bool
    """Whether there is more than was looked at."""


def scan(folder: Path) -> Found:
    """PEFT's adapters and models in a folder and up to six levels below it. Raises NotFoundProblem where there is none."""
    if not folder.is_dir():
        raise NotFoundProblem(f"There is no folder '{folder}'")
    adapters: list[AdapterFacts] = []
    models: list[FoundModel] = []
    for count, (here, files) in enumerate(_below(folder)):
        if count == _FOLDERS or len(adapters) + len(models) == _MANY:
            return Found(adapters=adapters, models=models, is_cut=True)
        name = here.relative_to(folder).as_posix() if here != folder else here.name
        if CONFIG_FILE in files:
            adapters.append(adapter_facts(here, name=name))
        elif _is_model(files):
            models.append(_model(here, name))
    return Found(adapters=adapters, models=models, is_cut=False)


def _below(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders with their files' names. What lies in a model belongs to it: a pipeline's parts are no models of their own."""
    for parent, folders, files in os.walk(folder):
        here, names = Path(parent), set(files)
        is_deep = len(here.relative_to(folder).parts) >= _DEEPEST
        is_whole = "model_index.json" in names
        folders[:] = [] if is_deep or is_whole else sorted(name for name in folders if not name.startswith("."))
        yield here, names


def _is_model(files: set[str]) -> bool:
    if "model_index.json" in files:
        return True
    return any(name in files for name in _MODEL_FILES) and any(name.endswith(_WEIGHTS) for name in files)


def _model(folder: Path, name: str) -> FoundModel:
    family, num_bytes, trouble = "", 0, ""
    try:
        facts = recognise(LocalRepository(ModelPlace(folder, folder.name))).facts
        family, num_bytes = facts.family, facts.weight_bytes
    except LorasmithError as problem:
        trouble = problem.what
    return FoundModel(name=name, folder=folder, family=family, num_bytes=num_bytes, trouble=trouble)
