"""Profiles by name: the built-in ones, and the user's own, one YAML file each in `profiles/` in home (PRO-2)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lorasmith.core import paths
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.profiles import profile as form
from lorasmith.profiles.profile import Profile

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@cache
def builtin() -> dict[str, Profile]:
    """The built-in profiles, in the order in which they are proposed."""
    text = files("lorasmith.profiles").joinpath("builtin.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return {entry["name"]: form.make(entry, source="builtin.yaml") for entry in entries}


def folder() -> Path:
    """Where the user's own profiles lie."""
    return paths.home() / "profiles"


def custom() -> dict[str, Profile]:
    """The user's own, by name. Raises UsageProblem where a file is no profile: a broken one is not taken for a missing one."""
    found = [_own(path) for path in sorted(folder().glob("*.yaml"))]
    return {one.name: one for one in found}


def _own(path: Path) -> Profile:
    read = form.read(path)
    if read.name != path.stem:
        raise UsageProblem(
            f"The profile in '{path}' calls itself '{read.name}'", why="A file is called as the profile in it.",
            fix=f"Set name: {path.stem}, or rename the file.",
        )  # fmt: skip
    return read


def all_profiles() -> list[Profile]:
    """The user's own first, then the built-in ones."""
    return [*custom().values(), *builtin().values()]


def get(name: str) -> Profile:
    """The profile of that name. Raises NotFoundProblem with the nearest name, UsageProblem where its file is broken."""
    if name in builtin():
        return builtin()[name]
    if _SAFE.fullmatch(name) and (path := _file(name)).is_file():
        return _own(path)
    own = [path.stem for path in folder().glob("*.yaml")]
    raise NotFoundProblem(
        f"There is no profile '{name}'", why=nearest(name, [*builtin(), *own]), fix="See them:  lorasmith profiles list"
    )


def add(profile: Profile, *, replace: bool = False) -> Path:
    """Keep `profile` in home. Raises UsageProblem for the name of a built-in one, and of one that is there unless `replace`."""
    if profile.name in builtin():
        raise UsageProblem(
            f"'{profile.name}' is a built-in profile", why="Those are the same everywhere.",
            fix="Give yours another name:  --name my_profile",
        )  # fmt: skip
    file = _file(profile.name)
    if file.exists() and not replace:
        raise UsageProblem(
            f"There is a profile '{profile.name}' already", fix="Replace it with --replace, or choose another name."
        )
    paths.make_folder(file.parent)
    form.write(profile, file)
    return file


def remove(name: str) -> Path:
    """Take a profile of the user's own away. Raises UsageProblem for a built-in one, NotFoundProblem for an unknown one."""
    if name in builtin():
        raise UsageProblem(f"'{name}' is a built-in profile", why="Those cannot be removed.")
    own = [path.stem for path in folder().glob("*.yaml")]
    if name not in own:
        raise NotFoundProblem(f"There is no profile '{name}' of yours", why=nearest(name, own))
    _file(name).unlink()
    return _file(name)


def _file(name: str) -> Path:
    """Raises UsageProblem for what cannot be a name: letters that would lead out of the folder are none."""
    if not _SAFE.fullmatch(name):
        raise UsageProblem(f"{name!r} cannot be the name of a profile", fix="Use small letters, digits, '-' and '_'.")
    return folder() / f"{name}.yaml"
