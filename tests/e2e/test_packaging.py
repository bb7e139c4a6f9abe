"""What a user gets who installs the package, in an environment of its own. Needs a package index."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A fresh environment with the wheel and nothing but what it asks for; its `bin` folder."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    (wheel,) = folder.glob("lorasmith-*.whl")
    pip = [folder / "venv/bin/python", "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "-c", ROOT / "src/lorasmith/env/constraints.txt", wheel], check=True)
    return folder / "venv/bin"


def said(*arguments: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_control_plane_installs_and_works_without_torch(installed, tmp_path):
    """PRJ-2"""
    packages = {row["name"] for row in json.loads(said(installed / "python", "-m", "pip", "list", "--format", "json"))}
    assert "lorasmith" in packages
    assert not packages & {"torch", "transformers", "peft", "datasets"}
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(f'{{"question": "{i} + 1?", "answer": "{i + 1}"}}\n' for i in range(30)))
    assert "See it work" in said(installed / "lorasmith", "--help", cwd=tmp_path)
    assert "question-answer" in said(installed / "lorasmith", "data", "inspect", data, "--model", "demo", cwd=tmp_path)
    assert "pip install 'lorasmith[train]'" in said(
        installed / "lorasmith", "train", "demo", "--data", data, code=5, cwd=tmp_path
    )


def test_the_wheel_carries_the_demo(installed):
    """PRJ-2, TST-3"""
    code = (
        "from lorasmith.demo import HELDOUT_FILE, MODEL_FOLDER, TRAIN_FILE as train; import importlib.util as u;"
        "print(all(p.exists() for p in (HELDOUT_FILE, train, MODEL_FOLDER / 'model.safetensors')), u.find_spec('torch'))"
    )
    assert said(installed / "python", "-I", "-c", code).split() == ["True", "None"]
