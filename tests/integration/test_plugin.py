"""A family from an installed package: recognised, trained, evaluated, as `examples/plugin` says (FAM-1)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"


def test_a_family_of_an_installed_package_is_trained_and_measured(tmp_path: Path) -> None:
    """FAM-1: nothing of lorasmith names it, and every verb works."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    place = tmp_path / "site"
    subprocess.run([uv, "pip", "install", "-q", "--no-deps", "--target", place, PLUGIN], check=True)
    environment = {**os.environ, "PYTHONPATH": str(place), "LORASMITH_HOME": str(tmp_path / "home")}

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    model, data, folder = tmp_path / "sniffer", PLUGIN / "languages.jsonl", tmp_path / "run"
    run("lorasmith_sniffer.make", model)
    assert "Sniffer" in run("lorasmith", "check", model)
    run("lorasmith", "train", model, "--data", data, "--learning-rate", "0.02", "--output", folder)
    report = json.loads((folder / "training_report.json").read_text())
    assert report["comparison"]["base"]["accuracy"] < 0.5
    assert report["comparison"]["tuned"]["accuracy"] > 0.9
    told = run("lorasmith", "evaluate", model, "--data", data, "--adapter", folder, "--sample", "40")
    assert "Accuracy" in told
