"""The control plane starts without the heavy libraries, and every layer knows its place."""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import subprocess
import sys

import lorasmith
import lorasmith.cli
import lorasmith.core
import lorasmith.data
import lorasmith.engines
import lorasmith.env
import lorasmith.evaluation
import lorasmith.hub
import lorasmith.plan
import lorasmith.profiles
import lorasmith.serve
import lorasmith.store
import lorasmith.studio
import lorasmith.trackers
import lorasmith.tracking
import lorasmith.training
import lorasmith.tuning

HEAVY = {"torch", "transformers", "peft", "accelerate", "datasets", "pandas", "scipy", "tensorboard"}


def _modules() -> list[str]:
    folders = [
        lorasmith.cli,
        lorasmith.core,
        lorasmith.data,
        lorasmith.engines,
        lorasmith.env,
        lorasmith.evaluation,
        lorasmith.hub,
        lorasmith.plan,
        lorasmith.profiles,
        lorasmith.serve,
        lorasmith.store,
        lorasmith.studio,
        lorasmith.trackers,
        lorasmith.tracking,
        lorasmith.training,
        lorasmith.tuning,
    ]
    found = ["lorasmith", "lorasmith.flow", "lorasmith.lora"]
    for folder in folders:
        found += [m.name for m in pkgutil.walk_packages(folder.__path__, folder.__name__ + ".")]
    found.remove("lorasmith.store.migrations.env")  # Alembic's own script, which only Alembic can run
    return found


def test_no_module_of_the_control_plane_loads_a_heavy_library():
    """SPD-4"""
    code = f"import sys, json, importlib\nfor name in {_modules()!r}: importlib.import_module(name)\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & HEAVY
    assert "click" in loaded


def test_no_package_takes_the_name_of_a_verb():
    """Else `lorasmith.train` would be the verb until the package is imported, and the package from then on."""
    for verb in set(lorasmith.__all__) - {"__version__"}:
        assert importlib.util.find_spec(f"lorasmith.{verb}") is None, verb
        assert callable(getattr(lorasmith, verb))


def test_inspecting_data_with_a_model_loads_no_heavy_library(tiny_llama, sums):
    code = (
        "import sys, json; from lorasmith import flow\n"
        f"found, _ = flow.inspect_data({str(sums)!r}, model={str(tiny_llama)!r})\n"
        "assert found.num_rows == 40\nprint(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in json.loads(done.stdout)} & HEAVY


def test_help_loads_no_verb():
    """SPD-4: what makes `--help` quick is that it imports next to nothing."""
    code = (
        "import sys; from lorasmith.cli.app import cli\n"
        "try: cli.main(['--help'], prog_name='lorasmith')\nexcept SystemExit: pass\n"
        "assert not {'pydantic', 'rich', 'pyarrow', 'lorasmith.flow'} & set(sys.modules), 'too much for --help'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Fine-tune a model" in done.stdout
