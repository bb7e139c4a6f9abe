"""The studio's API for adapters and exports."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.adapters import plain_adapter
from tests.stand_in_ollama import ollama
from tests.studio import running

from lorasmith.testing.hub import HubServer


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="the package xllamacpp is not installed")
def test_adapters_and_exports(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STU-5, ADP-1, ADP-3, ADP-4, EXP-1: take in, combine, shrink, rename, export as a task with its comparison, Ollama, remove."""
    home = tmp_path / "home"
    with ollama(monkeypatch) as server, running(home) as studio:
        for name in ("one", "two"):
            made = plain_adapter(tiny_llama, tmp_path / name, seed=len(name + name[0]))
            taken = studio.post(
                "/adapters/import", {"source": str(made), "base_model": str(tiny_llama), "name": name}, 201
            )
            assert taken["origin"] == "imported"
        assert studio.post("/adapters/combine", {"adapters": ["one", "two"], "name": "both"}, 201)["rank"] == 16
        assert studio.post("/adapters/resize", {"adapter": "both", "rank": 4}, 201)["rank_after"] == 4
        studio.post("/adapters/combine", {"adapters": ["one", "nobody"], "name": "none"}, 404)
        studio.patch("/adapters/both-r4", {"name": "small"})
        assert {one["name"]: one["origin"] for one in studio.get("/adapters")} == {
            "one": "imported", "two": "imported", "both": "combined", "small": "resized",
        }  # fmt: skip
        asked = {
            "base_model": str(tiny_llama),
            "adapter": "small",
            "to": "gguf",
            "export_params": {"quantize": "f32", "prompts": 3},
        }
        done = studio.until(studio.post("/exports", asked, 201)["id"], "completed", "failed")
        assert done["status"] == "completed", done["error"]
        assert [row["same_ids"] for row in done["measured"]["parity"]["rows"]] == [True] * 3
        assert (home / "exports" / "small-gguf" / "small-F32.gguf").exists()
        studio.post("/exports", {**asked, "export_params": {"out": "/etc"}}, 400)
        asked |= {"to": "ollama", "export_params": {"prompts": 1}}
        assert studio.until(studio.post("/exports", asked, 201)["id"], "completed", "failed")["status"] == "completed"
        assert [one["name"] for one in studio.get("/ollama")["models"]] == ["small"]
        studio.delete("/ollama/small")
        assert not server.models
        found = studio.get("/scan", folder=str(tmp_path))
        assert {one["name"] for one in found["adapters"]} >= {"one", "two", "home/adapters/both/lora"}
        studio.get("/scan", 404, folder=str(tmp_path / "nowhere"))
        studio.delete("/adapters/small")
        studio.delete("/adapters/small", 404)
        assert not (home / "adapters" / "small").exists()


def test_ollama_that_does_not_run_is_told(tmp_path: Path) -> None:
    """STU-5: a page that looks for Ollama is told where it looked, and is no failure; to remove something from it is one."""
    with running(tmp_path / "home", OLLAMA_HOST="127.0.0.1:1") as studio:
        told = studio.get("/ollama")
        assert told["models"] == []
        assert told["address"] == "http://127.0.0.1:1"
        assert "does not answer at http://127.0.0.1:1" in told["problem"]
        studio.delete("/ollama/small", 503)


def test_an_adapter_is_pushed_to_the_hub(tiny_llama: Path, tmp_path: Path) -> None:
    """STU-5, EXP-5: as a task, private; the token is the server's."""
    (tmp_path / "hub").mkdir()
    with HubServer(tmp_path / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1"}
        with running(tmp_path / "home", **environment) as studio:
            made = plain_adapter(tiny_llama, tmp_path / "one")
            studio.post("/adapters/import", {"source": str(made), "base_model": str(tiny_llama), "name": "one"}, 201)
            asked = {"base_model": str(tiny_llama), "adapter": "one", "to": "hub", "export_params": {"prompts": 2}}
            done = studio.until(studio.post("/exports", asked, 201)["id"], "completed", "failed")
            assert done["status"] == "completed", done["error"]
            assert done["measured"]["place"] == f"{hub.url}/tester/one"
            assert hub.rules["tester/one"].private
            assert (hub.root / "tester" / "one" / "README.md").exists()
            asked["export_params"]["repo"] = "another/one"
            failed = studio.until(studio.post("/exports", asked, 201)["id"], "completed", "failed")
            assert "not yours to write" in failed["error"]["what"]
