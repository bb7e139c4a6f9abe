"""The folder of an installed model: what is in it, how it takes its place whole, whether it is still sound (INS-4, INS-11)."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from lorasmith.core import paths
from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.env.environment import link_lorasmith
from lorasmith.env.records import read_model_info
from lorasmith.hub.installed import COMPLETE_MARK, FILES_FOLDER, is_complete, python_of
from lorasmith.runners.local import require_training_libraries

ENVIRONMENT = ".venv"
LOGS = "logs"
LAST_USED = "last_used"  # its time is when a worker of the model was last started
_SCRIPTS = ("start.sh", "train.sh", "serve_api.py", "model_loader.py", "serve_ui.html")
_EXECUTABLE = (".sh",)


def partial_of(folder: Path) -> Path:
    """Where an installation is made before it takes its place."""
    return folder.with_name(f"{folder.name}.partial")


def _old_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _leaving(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.removing")


def write_scripts(folder: Path) -> None:
    """The thin scripts that find their own folder and call lorasmith."""
    for name in _SCRIPTS:
        target = folder / name
        shutil.copyfile(Path(__file__).parent / "copied" / name, target)
        target.chmod(0o755 if target.suffix in _EXECUTABLE else 0o644)


def mark_complete(folder: Path) -> None:
    """The last thing that is written; all else is on disk before."""
    os.sync()
    paths.write_text(folder / COMPLETE_MARK, datetime.now(UTC).isoformat(timespec="seconds") + "\n")


def take_place(folder: Path) -> None:
    """Put the finished partial folder where it belongs; what was there goes when the new one stands.

    Killed in between, `mend` finds either of the two whole.
    """
    old = _old_of(folder)
    if folder.exists():
        folder.rename(old)
    partial_of(folder).rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def mend(models_dir: Path) -> None:
    """Bring `models_dir` to order after a kill: finish swaps and removals that nobody is at any more."""
    with contextlib.suppress(OSError):
        for path in (*models_dir.glob(".*.removing"), *models_dir.glob(".*.old")):
            folder = models_dir / path.stem.removeprefix(".")
            with contextlib.suppress(UsageProblem), held(folder):  # else its own process is at it
                if path == _leaving(folder):
                    shutil.rmtree(path, ignore_errors=True)
                elif path.exists():
                    _mend_swap(path, folder)


def _mend_swap(old: Path, folder: Path) -> None:
    """A swap that was cut: forward where the new one is finished, else back."""
    if not folder.exists() and is_complete(partial_of(folder)):
        partial_of(folder).rename(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(folder)


def remove_folder(folder: Path) -> None:
    """Take an installation away: at once out of sight, then off the disk."""
    leaving = _leaving(folder)
    shutil.rmtree(leaving, ignore_errors=True)
    folder.rename(leaving)
    shutil.rmtree(leaving)


@contextlib.contextmanager
def held(folder: Path) -> Generator[None]:
    """The lock of one model's installation. Raises UsageProblem naming the process that holds it."""
    models_dir = paths.make_folder(folder.parent)
    with paths.only_one(models_dir / f".{folder.name}.lock", busy=f"'{folder.name}' is being installed already"):
        yield


def troubles(folder: Path) -> list[str]:
    """What is wrong with an installation: files that are missing or of another size, an environment that is gone."""
    if not is_complete(folder):
        return ["the installation never came to its end"]
    try:
        info = read_model_info(folder)
    except LorasmithError as problem:
        return [problem.what]
    found = [
        f"{name} is {told}" for name, size in info.files.items() if (told := _wrong(folder / FILES_FOLDER / name, size))
    ]
    environment = folder / ENVIRONMENT
    if not os.access(environment / "bin" / "python", os.X_OK):
        found.append("its environment has no Python that runs")
    elif not any(environment.glob("lib/python3*/site-packages/lorasmith/__init__.py")):
        found.append("its environment has lost lorasmith")
    return found


def _wrong(path: Path, size: int) -> str:
    if not path.is_file():
        return "missing"
    found = path.stat().st_size
    return "" if found == size else f"{found:,} bytes in place of {size:,}"


def python_for(model_folder: Path) -> Path:
    """The Python that workers of a model run with: that of its own environment where it is installed, else ours.

    The environment is pointed at the lorasmith that runs now. Raises EnvironmentProblem where the libraries are missing.
    """
    python = python_of(model_folder)
    if python is None:
        require_training_libraries()
        return Path(sys.executable)
    with contextlib.suppress(OSError):  # a home that is only read from
        link_lorasmith(python.parents[1])
        (model_folder.parent / LOGS / LAST_USED).touch()
    return python


def has_package(python: Path, name: str) -> bool:
    """Whether the environment of `python` has the package of that import name; nothing is imported."""
    if python == Path(sys.executable):
        return importlib.util.find_spec(name) is not None
    return any(python.parents[1].glob(f"lib/python3*/site-packages/{name}"))


def own_bytes(folder: Path) -> int:
    """Bytes of disk that only `folder` holds: files that have another name elsewhere (hard links) are not its own."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (Path(parent) / name).lstat()
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0  # POSIX: blocks are of 512 bytes
    return total
