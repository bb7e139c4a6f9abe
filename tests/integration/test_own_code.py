"""Models with Python files of their own after they were installed: trained, measured and exported with the trust that was given then,
and not without (FAM-2)."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from tests import trainings

from lorasmith import flow
from lorasmith.core.errors import UsageProblem
from lorasmith.env.records import ModelConfig, is_trusted, write_model_config
from lorasmith.hub.installed import COMPLETE_MARK, FILES_FOLDER, INFO_FILE

pytestmark = pytest.mark.usefixtures("one_thread")

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""
OWN: dict[str, Any] = {
    "model_type": "own", "architectures": ["OwnForCausalLM"],
    "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"},
}  # fmt: skip


@pytest.fixture
def installed(home: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installation leaves, around this very environment: making one of its own takes minutes."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = home / "models" / "own"
    files = folder / FILES_FOLDER
    shutil.copytree(tiny_llama, files)
    (files / "own.py").write_text(CODE)
    config = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(json.dumps(config | OWN))
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / ".venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)).mkdir(parents=True)
    (folder / INFO_FILE).write_text(json.dumps({"model_id": "acme/own", "source": "acme/own"}))
    (folder / COMPLETE_MARK).touch()
    write_model_config(folder, ModelConfig(trust_remote_code=True))
    return folder


def test_what_was_installed_with_trust_is_trained_measured_and_exported_with_it(
    installed: Path, sums: Path, tmp_path: Path
) -> None:
    """FAM-2: two steps, an evaluation and a merge that is compared, all by code of the model's own."""
    run = flow.train(
        str(installed), data=str(sums), output=str(tmp_path / "run"), max_steps=2, no_tensorboard=True, device="cpu"
    )
    assert len(trainings.step_losses(run.folder)) == 2
    adapter = str(run.folder)
    report = flow.evaluate(str(installed), str(sums), adapter=(adapter,), sample=2, no_probe=True, device="cpu")
    assert report.rows == 2
    merged = flow.export(str(installed), adapter=adapter, out=str(tmp_path / "out"), prompts=2, device="cpu")
    assert merged.parity is not None
    assert merged.parity.is_equal
    assert (tmp_path / "out" / "own.py").exists()


def test_what_was_installed_without_trust_is_not_trained(installed: Path, sums: Path, tmp_path: Path) -> None:
    """FAM-2, SEC-2: nor is a folder that nobody installed, whatever it says of itself."""
    write_model_config(installed, ModelConfig())
    stranger = tmp_path / "stranger"
    shutil.copytree(installed / FILES_FOLDER, stranger)
    write_model_config(tmp_path, ModelConfig(trust_remote_code=True))
    write_model_config(stranger, ModelConfig(trust_remote_code=True))
    for number, model in enumerate((installed, stranger)):
        spec = trainings.planned(model, sums, tmp_path / f"run{number}", max_steps=2, no_tensorboard=True, device="cpu")
        with pytest.raises(UsageProblem, match="runs code of its own") as refused:
            trainings.train_here(spec)
        assert "where you install or serve it: --trust-remote-code" in refused.value.fix
        assert not trainings.step_losses(spec.run_folder)
    assert not (tmp_path / "modules").exists()
    assert not is_trusted(stranger)
