"""Plug-ins: every module of a folder that holds a `plugin`, and the entry points of other packages.

A broken plug-in raises its own error; it is never taken for one that does not exist.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from lorasmith.core.errors import NotFoundProblem


class Plugin(Protocol):
    """What the registry asks of a plug-in; the rest is a matter of its kind."""

    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Plugin)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the known name most like `name` and lists them all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return (f"Did you mean '{close[0]}'? " if close else "") + f"Known: {', '.join(names) or 'none'}."


class Registry(Generic[P]):
    """The plug-ins of one kind, by name. `package` is the folder, `lorasmith.<kind>` the entry-point group."""

    def __init__(self, kind: str, package: str, base: type[P]):
        self.kind = kind
        self.package = package
        self.base = base

    @cached_property
    def _plugins(self) -> dict[str, P]:
        found: dict[str, P] = {}
        folder = importlib.import_module(self.package)
        for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
            if not module.name.startswith("_"):
                self._add(found, importlib.import_module(f"{self.package}.{module.name}").plugin, module.name)
        for entry in entry_points(group=f"lorasmith.{self.kind}"):
            self._add(found, entry.load(), entry.value)
        return found

    def _add(self, found: dict[str, P], plugin: P, origin: str) -> None:
        if not isinstance(plugin, self.base):
            raise TypeError(f"{origin}: {plugin!r} is no {self.base.__name__}")
        if plugin.name in found:
            raise ValueError(f"{origin}: there is a plug-in '{plugin.name}' among the {self.kind} already")
        found[plugin.name] = plugin

    def all(self) -> list[P]:
        """All plug-ins, by name."""
        return [self._plugins[name] for name in sorted(self._plugins)]

    def names(self) -> list[str]:
        return sorted(self._plugins)

    def get(self, name: str) -> P:
        """The plug-in of that name. Raises NotFoundProblem with the known names and the nearest."""
        if name not in self._plugins:
            raise NotFoundProblem(f"There is no '{name}' among the {self.kind}", why=nearest(name, self._plugins))
        return self._plugins[name]
