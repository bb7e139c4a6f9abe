"""What the studio's page of the documentation shows is run as it stands there; and what the command line can, the studio can."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml
from tests.integration.test_docs import ROOT, blocks
from tests.studio import running

from lorasmith.cli.app import VERBS

PAGE = "docs/how-to/studio.md"
ROUTES = {
    "demo": "/api/datasets/sample", "check": "/api/checks", "install": "/api/installs", "list": "/api/models",
    "remove": "/api/models/{name}", "data": "/api/datasets/{number}/facts", "train": "/api/train", "tune": "/api/tune",
    "profiles": "/api/profiles", "evaluate": "/api/evaluate", "serve": "/api/servings", "chat": "/api/assistants/v1/chat/completions",
    "generate": "/api/assistants/v1/chat/completions", "config": "/api/system/settings", "doctor": "/api/system/doctor",
    "extract": "/api/servings", "adapters": "/api/adapters", "export": "/api/exports", "ollama": "/api/ollama",
    "assistants": "/api/assistants",
}  # fmt: skip


def test_every_command_runs(tmp_path: Path) -> None:
    """PRJ-3: the calls of the page, one after another, against one studio."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with running(tmp_path / "home") as studio:
        for block in blocks(PAGE, "bash"):
            for command in block.splitlines():
                here = command.replace("http://127.0.0.1:7860/api", studio.url)
                done = subprocess.run(
                    ["bash", "-c", here], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
                assert '"error":{"message"' not in done.stdout, f"{command}\n{done.stdout}"
        assert len(studio.get("/tasks")["items"]) == 2


def test_every_verb_has_a_route(tmp_path: Path) -> None:
    """STU: whatever a terminal can do, a page can do."""
    with running(tmp_path / "home") as studio:
        paths = studio.get("/openapi.json")["paths"]
    assert set(ROUTES) | {"studio"} == set(VERBS)
    assert set(ROUTES.values()) <= set(paths)


def test_the_composition_is_one(tmp_path: Path) -> None:
    """TRK-1: the file is read, its settings are settings, and no password stands in it. Containers are not started here."""
    from lorasmith.core.settings import Settings

    found = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(found["services"]) == {"studio", "mlflow", "database"}
    names = {name.removeprefix("LORASMITH_").lower() for name in found["services"]["studio"]["environment"]}
    assert names <= set(Settings.model_fields)
    passwords = [
        one["environment"].get("MARIADB_PASSWORD") for one in found["services"].values() if "environment" in one
    ]
    assert {one for one in passwords if one} == {"${LORASMITH_DB_PASSWORD:?choose one}"}
