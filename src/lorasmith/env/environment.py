"""One model's own environment: made by uv, whose packages are hard links into one store, or by venv and pip (INS-6)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.env.log import InstallLog
from lorasmith.env.programs import Outcome, run_program
from lorasmith.env.sources import Sources
from lorasmith.runners.local import environment_inside

Installer = Literal["uv", "pip"]
CONSTRAINTS = Path(__file__).parent / "constraints.txt"
_OWN_PACKAGE = Path(__file__).parents[1]
_OFFLINE_SIGNS = ("dns error", "error sending request", "failed to fetch", "connection", "timed out", "unreachable")
# Imports what each named distribution brings and says which cannot be imported, and which versions there are.
_PROBE = """
import importlib, importlib.metadata as m, json, sys, warnings
warnings.simplefilter("ignore")
names = {}
for module, owners in m.packages_distributions().items():
    for owner in owners:
        names.setdefault(owner.lower().replace("_", "-"), []).append(module)
broken = {}
for wanted in json.loads(sys.argv[1]):
    for module in names.get(wanted.lower().replace("_", "-"), []):
        if not module.isidentifier() or module.startswith("_"):
            continue
        try:
            importlib.import_module(module)
        except BaseException as error:
            broken[wanted] = f"{type(error).__name__}: {error}".splitlines()[0]
versions = {d.name: d.version for d in m.distributions()}
print("\\n" + json.dumps({"broken": broken, "versions": versions}))
"""


class Probe(NamedTuple):
    """Why packages cannot be imported, and the versions of all, by name."""

    broken: dict[str, str]
    versions: dict[str, str]


def find_uv() -> str | None:
    """The uv beside this Python, or the one in PATH."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def own_requirements() -> list[str]:
    """What lorasmith itself needs in a model's environment: its dependencies and those of its workers."""
    needs = [Requirement(line) for line in metadata.requires("lorasmith") or []]
    return [
        f"{need.name}{need.specifier}"
        for need in needs
        if need.name not in _ONLY_OUTSIDE and (need.marker is None or need.marker.evaluate({"extra": "train"}))
    ]


_ONLY_OUTSIDE = {"uv"}  # makes environments; nothing inside one calls it


class Environment:
    """The environment in `folder`. `store` keeps packages for all models."""

    def __init__(self, folder: Path, sources: Sources, log: InstallLog, *, store: Path, installer: Installer = "uv"):
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._sources, self._log, self._store = sources, log, store
        self._uv = find_uv() if installer == "uv" else None
        self.installer: Installer = "uv" if self._uv else "pip"

    def create(self) -> None:
        """An empty environment that can be moved, in which lorasmith can be imported.

        Raises EnvironmentProblem where Python or uv cannot make one.
        """
        if self._uv:
            made = self._run(
                [self._uv, "venv", "--relocatable", "--no-project", "--python", sys.executable, str(self.folder)]
            )
        else:
            made = self._run([sys.executable, "-m", "venv", str(self.folder)])
        if made.code:
            raise EnvironmentProblem(
                "The environment cannot be made", why=made.tail,
                fix="On Debian and Ubuntu:  sudo apt install python3-venv" if not self._uv else "lorasmith doctor says more.",
            )  # fmt: skip
        link_lorasmith(self.folder)

    def install(self, packages: Iterable[str]) -> Outcome:
        """Install `packages` (as pip writes them), at the versions that are tested where they are known."""
        wanted = list(packages)
        if self._uv is None:
            return self._run(
                [
                    str(self.python),
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "-c",
                    str(CONSTRAINTS),
                    *self._sources.for_pip(),
                    *wanted,
                ]
            )
        command = [
            self._uv,
            "pip",
            "install",
            "--python",
            str(self.python),
            "-c",
            str(CONSTRAINTS),
            *self._sources.for_uv(),
        ]
        done = self._run([*command, *wanted])
        if done.code and any(sign in done.tail.lower() for sign in _OFFLINE_SIGNS):
            self._log.step("the network does not answer: what the store has is tried")
            offline = self._run([*command, "--offline", *wanted])
            return done if offline.code else offline
        return done

    def adopt_bytecode(self, neighbours: Iterable[Path]) -> None:
        """Link what other environments have compiled of the very same files: less to compile, less disk.

        The same file is one inode, which uv's hard links share; Python looks at its time and size again all the same.
        """
        own = _packages_of(self.folder)
        for theirs in map(_packages_of, neighbours):
            if own is None or theirs is None:
                continue
            for parent in theirs.rglob("__pycache__"):
                mine = own / parent.parent.relative_to(theirs)
                for compiled in parent.glob("*.pyc"):
                    source = f"{compiled.name.partition('.')[0]}.py"
                    with contextlib.suppress(OSError):  # not installed here, compiled already, another disk
                        if (mine / source).stat().st_ino == (parent.parent / source).stat().st_ino:
                            (mine / "__pycache__").mkdir(exist_ok=True)
                            (mine / "__pycache__" / compiled.name).hardlink_to(compiled)

    def uninstall(self, package: str) -> None:
        tool = [self._uv, "pip", "uninstall", "--python", str(self.python)] if self._uv else []
        self._run([*(tool or [str(self.python), "-m", "pip", "uninstall", "--yes"]), package])

    def manual_command(self, package: str) -> str:
        """What a user types to install `package` into this very environment."""
        tool = f"uv pip install --python '{self.python}'" if self._uv else f"'{self.python}' -m pip install"
        return f"{tool} --no-build-isolation {package}"

    def probe(self, packages: Iterable[str]) -> Probe:
        """Import each of `packages` in a process of the environment. Raises EnvironmentProblem where its Python does not run."""
        done = self._run([str(self.python), "-W", "ignore", "-c", _PROBE, json.dumps(list(packages))])
        try:
            told = json.loads(done.tail.splitlines()[-1])
        except (IndexError, ValueError):
            raise EnvironmentProblem(
                f"The environment's Python does not run (exit code {done.code})", why=done.tail
            ) from None
        return Probe(told["broken"], told["versions"])

    def _run(self, command: list[str]) -> Outcome:
        env = environment_inside()
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            env.pop(name, None)
        env |= {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(self._store)), "PYTHONNOUSERSITE": "1"}
        env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1", "UV_NO_PROGRESS": "1"}
        return run_program(command, self._log, env=env)


def _packages_of(environment: Path) -> Path | None:
    """Where the packages of an environment lie."""
    return next(iter(sorted((environment / "lib").glob("python3*/site-packages"))), None)


def link_lorasmith(environment: Path) -> None:
    """Make the lorasmith that runs now importable in `environment`: links, so that all models have one and the same.

    Raises EnvironmentProblem where the environment has no place for packages.
    """
    place = _packages_of(environment)
    if place is None:
        raise EnvironmentProblem(f"'{environment}' holds no Python packages", fix="Install the model again.")
    facts = Path(str(metadata.distribution("lorasmith").locate_file("")))
    linked = {_OWN_PACKAGE.name: _OWN_PACKAGE} | {found.name: found for found in facts.glob("lorasmith-*.dist-info")}
    for link in (*place.glob("lorasmith"), *place.glob("lorasmith-*.dist-info")):
        if linked.get(link.name, Path()).resolve() == link.resolve():
            del linked[link.name]
        else:
            link.unlink()
    for name, target in linked.items():
        (place / name).symlink_to(target.resolve(), target_is_directory=True)
