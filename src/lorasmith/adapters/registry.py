"""The adapters in home by name: list, show, rename, remove (ADP-1)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lorasmith.adapters.facts import AdapterFacts, adapter_facts
from lorasmith.core import paths, settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.hub.bases import CONFIG_FILE
from lorasmith.hub.locate import locate_adapter

_MANY = 1000


def adapters() -> list[AdapterFacts]:
    """Those in home, the newest first."""
    found = [adapter_facts(place / "lora") for place in _places()]
    return sorted(found, key=lambda one: one.created, reverse=True)


def _places() -> list[Path]:
    """Their folders, by name."""
    return [file.parent.parent for file in sorted(settings.load().adapters_dir.glob(f"*/lora/{CONFIG_FILE}"))[:_MANY]]


def adapter_named(name: str) -> AdapterFacts:
    """The one in home that is called so, or in the folder that is meant. Raises NotFoundProblem with the nearest name."""
    try:
        return adapter_facts(_place(name) / "lora")
    except NotFoundProblem:
        if not paths.named(name).is_dir():
            raise
        return adapter_facts(locate_adapter(name))


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
