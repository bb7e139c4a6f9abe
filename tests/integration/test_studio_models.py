"""Models in the studio: found on the Hub, checked, installed, trained, measured, taken away (STU-5)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.studio import QUICK, begin, running

from lorasmith.testing.hub import HubServer, Rules


def test_from_the_hub_to_a_measured_adapter(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, sums: Path
) -> None:
    """STU-5, EVA-1: searched, checked without a weight being fetched, installed, trained, evaluated, removed; the adapter stays."""
    root = tmp_path_factory.mktemp("hub")
    for name in ("tiny-chat", "secret"):
        shutil.copytree(tiny_llama, root / "acme" / name)
    environment = {"HF_HOME": str(tmp_path / "hf"), "LORASMITH_MIN_DISK_SPACE_GB": "0"}
    with HubServer(root) as hub:
        hub.rules["acme/secret"] = Rules(private=True)
        with running(tmp_path / "home", HF_ENDPOINT=hub.url, **environment) as studio:
            assert [one["id"] for one in studio.get("/checks/search", text="ACME")] == ["acme/tiny-chat"]
            report = studio.post("/checks", {"model": "acme/tiny-chat"})
            assert report["model_family"] == "language"
            assert any(one["kind"] == "training" and one["device"] == "cpu" for one in report["verdicts"])
            assert "acme/nothing" in studio.post("/checks", {"model": "acme/nothing"}, 404)["error"]["message"]
            installed = studio.until(
                studio.post("/installs", {"model": "acme/tiny-chat"}, 201)["id"], "completed", "failed", seconds=240
            )
            assert installed["status"] == "completed", installed["error"]
            assert studio.get("/models")[1]["id"] == "acme/tiny-chat"
            again = studio.until(
                studio.post("/installs", {"model": "acme/tiny-chat"}, 201)["id"], "completed", "failed"
            )
            assert "already" in again["error"]["what"]

            dataset = studio.upload("sums.jsonl", sums.read_bytes())
            done = studio.until(begin(studio, Path("acme/tiny-chat"), dataset, QUICK)["id"], "completed", "failed")
            assert done["status"] == "completed", done["error"]
            assert studio.get("/adapters")[0]["base_model"] == "acme/tiny-chat"
            asked = {
                "base_model": "acme/tiny-chat", "dataset_id": dataset["id"], "adapters": [done["measured"]["adapter"]],
                "evaluation_params": {"sample": 4, "metrics": "exact_match", "no_probe": True, "max_new_tokens": 8},
            }  # fmt: skip
            measured = studio.until(studio.post("/evaluate", asked, 201)["id"], "completed", "failed")
            assert measured["status"] == "completed", measured["error"]
            assert measured["measured"]["rows"] == 4
            assert "base" in measured["measured"]["scores"]

            name = studio.get("/models")[1]["name"]
            studio.delete(f"/models/{name}")
            assert [one["id"] for one in studio.get("/models")] == ["demo"]
            assert Path(done["measured"]["adapter"]).exists()
            assert "comes with" in studio.delete("/models/demo", 400)["error"]["message"]
