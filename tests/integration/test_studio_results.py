"""A training in the studio before it is begun and after its end: its plan, its answers, its adapter, its command (STU-1, STU-2)."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.conftest import write_sums
from tests.studio import LONG, QUICK, StudioServer, begin, running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture(scope="module")
def dataset(studio: StudioServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return studio.upload("sums.jsonl", write_sums(tmp_path_factory.mktemp("data")).read_bytes())


@pytest.fixture(scope="module")
def done(studio: StudioServer, dataset: Any, tiny_llama: Path) -> Any:
    return studio.until(begin(studio, tiny_llama, dataset, QUICK)["id"], "completed", "failed")


def test_a_plan_is_what_the_training_then_does(studio: StudioServer, dataset: Any, done: Any, tiny_llama: Path) -> None:
    """STU-1, AUT-1: every parameter with its reason, memory and steps as the training itself foretells; nothing is begun."""
    number = len(studio.get("/tasks")["items"])
    asked = {"base_model": str(tiny_llama), "dataset_id": dataset["id"], "training_params": QUICK}
    plan = studio.post("/plan", asked)
    assert len(studio.get("/tasks")["items"]) == number
    spec = json.loads((Path(done["output_path"]) / "lora" / "manifest.json").read_text())["parameters"]
    shown = {one["name"]: one["value"] for one in plan["parameters"]}
    assert {name: spec[name]["value"] for name in shown} == shown
    options = {one["name"]: one["option"] for one in plan["parameters"]}
    assert options.items() >= {"rank": "lora_r", "learning_rate": "learning_rate", "packing": ""}.items()
    assert all(
        one["reason"] or one["is_given"] for one in plan["parameters"] if one["name"] in ("rank", "learning_rate")
    )
    assert (plan["steps"], plan["predicted_peak_bytes"]) == (
        done["predicted"]["steps"],
        done["predicted"]["peak_bytes"],
    )
    assert plan["seconds"] > 0, "a training of this base is known"
    changed = studio.post("/plan", asked | {"training_params": QUICK | {"lora_r": 4}})
    rank = next(one for one in changed["parameters"] if one["name"] == "rank")
    assert (rank["value"], rank["is_given"]) == (4, True)
    assert "lora-r" in studio.post("/plan", asked | {"training_params": {"lora_r": -1}}, 400)["error"]["message"]
    studio.post("/plan", asked | {"dataset_id": 999}, 404)


def test_forms_are_drawn_from_schemas(studio: StudioServer) -> None:
    """STU-1: of every kind of task."""
    for kind in ("train", "tune", "install", "evaluate", "serve"):
        assert studio.get(f"/schemas/{kind}")["properties"]
    studio.get("/schemas/nothing", 404)


def test_what_a_training_leaves(studio: StudioServer, done: Any) -> None:
    """STU-2: answers with the worst first, the adapter as a zip, a report that may run nothing elsewhere, decisions."""
    answers = studio.get(f"/tasks/{done['id']}/answers")
    assert answers
    assert [one["change"] for one in answers] == sorted(one["change"] for one in answers)
    packed = httpx2.get(f"{studio.url}/tasks/{done['id']}/adapter", timeout=60)
    with zipfile.ZipFile(io.BytesIO(packed.content)) as files:
        assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files.namelist())
    report = httpx2.get(f"{studio.url}/tasks/{done['id']}/report", timeout=60)
    assert report.text.lstrip().lower().startswith("<!doctype html")
    assert "default-src 'none'" in report.headers["content-security-policy"]
    assert "sandbox" in report.headers["content-security-policy"]
    metrics = studio.get(f"/tasks/{done['id']}/metrics")
    assert metrics["decisions"]
    found = studio.get("/adapters")
    assert [(one["task"], one["dataset_name"], one["dataset_version"]) for one in found] == [
        (done["id"], "sums.jsonl", 1)
    ]


def test_its_manifest_is_to_be_had(studio: StudioServer, done: Any) -> None:
    """STU-2: all that is needed to make it again, as a file with the training's name."""
    folder = Path(done["output_path"]) / "lora"
    assert studio.get(f"/tasks/{done['id']}/results") == {"adapter": str(folder), "report": True, "manifest": True}
    sent = httpx2.get(f"{studio.url}/tasks/{done['id']}/manifest", timeout=60)
    assert 'filename="a_run-manifest.json"' in sent.headers["content-disposition"].replace(" ", "_").replace("%20", "_")
    assert sent.json() == json.loads((folder / "manifest.json").read_text())
    assert {"base", "dataset", "parameters", "versions"} <= sent.json().keys()


def test_what_a_stopped_training_saved_is_to_be_had(studio: StudioServer, dataset: Any, tiny_llama: Path) -> None:
    """STU-2: stop saves first: adapter, report and manifest are there as after an end of its own."""
    number = begin(studio, tiny_llama, dataset, LONG)["id"]
    while not studio.get(f"/tasks/{number}/metrics")["series"].get("loss/train"):
        time.sleep(0.1)
    studio.post(f"/tasks/{number}/stop")
    studio.until(number, "stopped")
    results = studio.get(f"/tasks/{number}/results")
    assert results["report"]
    assert results["manifest"]
    assert (Path(results["adapter"]) / "adapter_model.safetensors").is_file()


def test_its_command_does_the_same(studio: StudioServer, done: Any, tmp_path: Path) -> None:
    """STU-2: copied into a terminal it trains again, to the same loss."""
    words = shlex.split(studio.get(f"/tasks/{done['id']}/command")["shell"])
    subprocess.run(
        [sys.executable, "-m", *words, "--output", str(tmp_path / "again")],
        check=True,
        capture_output=True,
        timeout=120,
    )
    report = json.loads((tmp_path / "again" / "training_report.json").read_text())
    assert report["final_metrics"]["train_loss"] == pytest.approx(done["measured"]["train_loss"], rel=1e-4)


def test_a_search_can_be_watched(studio: StudioServer, dataset: Any, tiny_llama: Path) -> None:
    """STU-4: its trials while it is under way, the best at its end."""
    asked = {
        "dataset_id": dataset["id"],
        "fine_tuning_params": {"use_llm_judge": False, "base_model_name": str(tiny_llama), "n_trials": 5},
        "tuning_params": {"metric": "exact_match", "eval_fraction": 0.3, "space": ["epochs=1"], "no_tensorboard": True},
    }
    number = studio.post("/tune", asked, 201)["id"]
    assert studio.get(f"/tasks/{number}/trials")["best"] is None
    seen: list[int] = []
    while studio.get(f"/tasks/{number}")["status"] in ("pending", "running"):
        seen.append(len(studio.get(f"/tasks/{number}/trials")["trials"]))
    trials = studio.get(f"/tasks/{number}/trials")
    assert 5 in seen, "they are written down before the first has ended"
    assert len(trials["trials"]) == 5
    assert sum(one["is_automatic"] for one in trials["trials"]) == 1
    assert trials["best"] in [one["number"] for one in trials["trials"] if one["value"] is not None]
    assert trials["verdict"]
    plan = {"base_model": str(tiny_llama), "dataset_id": dataset["id"], "training_params": trials["best_options"]}
    rank = next(one for one in studio.post("/plan", plan)["parameters"] if one["name"] == "rank")
    assert rank["value"] == trials["best_params"]["rank"]


def test_what_is_not_there_yet_is_said(studio: StudioServer) -> None:
    """STU-2, QLT-1"""
    waiting = studio.post("/installs", {"model": "/nowhere/at/all"}, 201)
    failed = studio.until(waiting["id"], "failed")
    assert "/nowhere/at/all" in failed["error"]["what"]
    nothing = {"adapter": "", "report": False, "manifest": False}
    assert studio.get(f"/tasks/{waiting['id']}/results") == nothing
    for what in ("adapter", "report", "manifest"):
        assert studio.get(f"/tasks/{waiting['id']}/{what}", 404)["error"]["message"]
    assert studio.get(f"/tasks/{waiting['id']}/answers") == []
    assert studio.get(f"/tasks/{waiting['id']}/trials")["trials"] == []
