"""Installations as a new user makes them: every kind of model, lorasmith itself, and pip where there is no uv."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lorasmith.testing.hub import HubServer

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
CALLS = {
    "llama": "wrote 5 tokens", "donut": "wrote", "llava": "wrote", "stable_diffusion": "in 2 steps", "whisper": "second",
    "sentence_transformers": "made a vector",
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    code = "import sys; from pathlib import Path; from lorasmith.testing import tiny\nfor n in sys.argv[2:]: tiny.build(n, Path(sys.argv[1]) / n)"
    subprocess.run([sys.executable, "-c", code, root / "acme", *CALLS], check=True, capture_output=True)
    with HubServer(root) as server:
        yield server


@pytest.fixture(autouse=True)
def _asks_it(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)


@pytest.mark.parametrize("name", CALLS)
def test_each_kind_of_model_is_installed_and_called(name, lorasmith, home):
    """INS-6, INS-8: its own environment, and one real call in it."""
    info = json.loads(lorasmith("install", f"acme/{name}", "--json").stdout)
    assert CALLS[name] in info["load_test"]["call"]
    (listed,) = json.loads(lorasmith("list", "--json").stdout)
    assert listed["troubles"] == []
    assert lorasmith("remove", f"acme/{name}", "--yes").stdout.startswith("Removed")


def test_without_uv_pip_does_it(lorasmith, home, monkeypatch):
    """INS-6"""
    monkeypatch.setenv("LORASMITH_PACKAGE_INSTALLER", "pip")
    info = json.loads(lorasmith("install", "acme/llama", "--json").stdout)
    assert info["package_installer"] == "pip"
    assert info["load_test"]["call"].startswith("wrote 5 tokens")


def test_lorasmith_sets_itself_up_and_again(home, tmp_path):
    """INS-1: folders, settings, program; the second time nothing changes."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "dist", ".*_cache", "__pycache__"))
    environment = os.environ | {"HOME": str(tmp_path), "SHELL": "/bin/bash"}

    def set_up() -> str:
        command = ["./setup.sh", "--control-plane", "--alias"]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = set_up()
    assert "new: every setting is explained in it" in first
    assert {path.name for path in home.iterdir()} == {"models", "adapters", "datasets", "cache", "logs", "config.yaml"}
    (home / "config.yaml").write_text("max_download_workers: 7\n")
    second = set_up()
    assert "kept as it was" in second
    assert "Installs lorasmith" not in second
    assert (home / "config.yaml").read_text() == "max_download_workers: 7\n"
    assert (tmp_path / ".bashrc").read_text().count("alias lorasmith=") == 1
    program = copy / ".venv" / "bin" / "lorasmith"
    report = subprocess.run([program, "check", "demo", "--json"], capture_output=True, text=True, check=True).stdout
    assert json.loads(report)["model_family"] == "language"
    assert not list((copy / ".venv" / "lib").glob("*/site-packages/torch"))
    refused = subprocess.run([copy / "setup.sh", "--alais"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "'--alais'" in refused.stderr
