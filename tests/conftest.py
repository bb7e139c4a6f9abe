"""What all tests share: a home of their own, a tiny real model, small data files, the command as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import databases

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure() -> None:
    """Side by side, each test process has a core of its own with all that it starts: torch's threads would fight over them."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(number) % len(cores)]})


@pytest.fixture(scope="session")
def package_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store of packages for all installations, as one home would have."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, package_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is nobody's, and no settings from outside."""
    for name in list(os.environ):
        if name.startswith(("LORASMITH_", "MLFLOW_")) or name == "HF_TOKEN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("LORASMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(package_store))
    return tmp_path / "home"


@pytest.fixture(scope="session", params=databases.KINDS)
def database_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kind of database there is; empty for SQLite, which needs no server."""
    if request.param == "sqlite":
        yield ""
        return
    with databases.server(request.param) as url:
        yield url


@pytest.fixture
def database(database_server: str, tmp_path: Path) -> str:
    """The URL of an empty database."""
    return databases.fresh(database_server) if database_server else f"sqlite:///{tmp_path}/database.db"


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 43 thousand random parameters with a ChatML tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    code = f"from pathlib import Path; from lorasmith.testing import tiny; tiny.build('llama', Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def every_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a small real model of every architecture, by name. Nobody writes into them."""
    from lorasmith.testing import tiny

    folder = tmp_path_factory.mktemp("tiny")
    return {name: tiny.build(name, folder / name) for name in tiny.NAMES}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A second thread costs more than it helps at these sizes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lorasmith() -> Run:
    """Runs the command as a user would and returns what came out; `code` is the exit code that is expected."""

    def run(*arguments: str | Path, code: int = 0, text: str | None = None, prefix: Iterable[str] = ()) -> Any:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "lorasmith", *map(str, arguments)],
            capture_output=True, text=True, input=text, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_sums(folder: Path) -> Path:
    """Forty small questions with answers."""
    rows = ({"question": f"{i} and {i}?", "answer": f"{2 * i}"} for i in range(40))
    return write_rows(folder / "sums.jsonl", rows)


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return write_sums(tmp_path)
