"""The adapters in home by name: list, show, rename, remove; and those that other tools left elsewhere (ADP-1)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lorasmith.adapters.facts import AdapterFacts, adapter_facts
from lorasmith.core import paths, settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.hub.bases import CONFIG_FILE

_MANY, _DEEPEST = 1000, 6


def adapters() -> list[AdapterFacts]:
    """Those in home, the newest first."""
    found = [adapter_facts(place / "lora") for place in _places()]
    return sorted(found, key=lambda one: one.created, reverse=True)


def _places() -> list[Path]:
    """Their folders, by name."""
    return [file.parent.parent for file in sorted(settings.load().adapters_dir.glob(f"*/lora/{CONFIG_FILE}"))[:_MANY]]


def adapter_named(name: str) -> AdapterFacts:
    """The one in home that is called so. Raises NotFoundProblem with the nearest name."""
    return adapter_facts(_place(name) / "lora")


def _place(name: str) -> Path:
    places = {place.name: place for place in _places()}
    if name not in places:
        raise NotFoundProblem(
            f"There is no adapter '{name[:200]}'", why=nearest(name, list(places)), fix="See:  lorasmith adapters list"
        )
    return places[name]


def new_place(name: str) -> Path:
    """Where an adapter called `name` is to lie. Raises UsageProblem where the name cannot be one, or is taken."""
    if paths.safe_name(name) != name:
        raise UsageProblem(
            f"'{name[:100]}' cannot be an adapter's name", fix=f"It can be called '{paths.safe_name(name)}'."
        )
    place = settings.load().adapters_dir / name
    if place.exists():
        raise UsageProblem(
            f"There is an adapter '{name}' already", fix="Choose another name, or remove that one first."
        )
    return place


def rename(name: str, new: str) -> AdapterFacts:
    """Call an adapter otherwise, with all that its training left beside it. Raises NotFoundProblem, UsageProblem."""
    place, target = _place(name), new_place(new)
    place.rename(target)
    return adapter_facts(target / "lora")


def remove_adapter(name: str) -> Path:
    """Take an adapter away with all that its training left beside it. Raises NotFoundProblem."""
    place = _place(name)
    gone = place.with_name(f".{place.name}.removed.{os.getpid()}")
    place.rename(gone)  # at once for every reader
    shutil.rmtree(gone)
    return place


def scan(folder: Path) -> list[AdapterFacts]:
    """Adapters of any tool in a folder and below it: PEFT's folders. Nothing is changed; `import_adapter` takes one in.

    Raises NotFoundProblem where there is no such folder.
    """
    if not folder.is_dir():
        raise NotFoundProblem(f"There is no folder '{folder}'")
    return [adapter_facts(found, name=found.relative_to(folder).as_posix()) for found in _below(folder)]


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEEPEST else []
        if CONFIG_FILE in files:
            yield here
