"""What the documentation shows is run as it stands there (PRJ-3)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/how-to/check.md",
    "docs/how-to/doctor.md",
    "docs/how-to/documents.md",
    "docs/how-to/install.md",
    "docs/how-to/profiles.md",
]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_every_python_block_runs(page, tmp_path):
    """PRJ-3. Targets of make are looked up, not run: this test runs inside one of them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    makefile = (ROOT / "Makefile").read_text()
    commands = [
        line for block in blocks(page, "bash") for line in block.splitlines() if line and not line.startswith("#")
    ]
    assert commands
    for command in commands:
        if command.startswith("make "):
            assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE), command
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for block in blocks(page, "python"):
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=environment, check=True)


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_setting_and_format_is_documented():
    from lorasmith.core.settings import Settings
    from lorasmith.data.formats import FORMATS

    reference = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    how_to = (ROOT / "docs/how-to/data.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in reference] == []
    assert [plugin.name for plugin in FORMATS.all() if f"| {plugin.name} |" not in how_to] == []
