"""A model or an adapter pushed to the Hub with the real client: what goes there, who sees it, and what stays here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.adapters import plain_adapter
from tests.conftest import Run

from lorasmith.testing.hub import HubServer

CARD = "README.md"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        (tmp_path / "hub").mkdir()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", server.token)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # the test server takes Git LFS objects
        yield server


@pytest.fixture
def adapter(tiny_llama: Path, tmp_path: Path) -> Path:
    """As a training leaves it: with a manifest, an evaluation, and what is nobody else's business."""
    place = tmp_path / "mine"
    folder = plain_adapter(tiny_llama, place / "lora")
    parameters = {"rank": {"value": 8, "reason": ""}, "learning_rate": {"value": 0.003, "reason": ""}}
    manifest = {
        "schema": 1, "base": {"id": str(tiny_llama), "revision": ""}, "parameters": parameters, "seed": 3,
        "dataset": {"num_train": 272, "sha256": "ab" * 32, "file": str(tmp_path / "secret-rows.jsonl")},
        "versions": {"lorasmith": "0.1.0"}, "hardware": {"cpu": "a cpu"},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "optimizer.pt").write_bytes(b"state")
    (folder / "notes.txt").write_text(str(tmp_path))
    figure = {"value": 0.99, "low": 0.97, "high": 1.0}
    kinds = {"exact_match": {"title": "Exact | match", "higher_is_better": True, "is_share": True, "is_main": True}}
    report = {
        "model_id": "llama", "data": str(tmp_path / "held-out.jsonl"), "rows": 100, "main": "exact_match", "kinds": kinds,
        "scores": {"base": {"exact_match": {"value": 0.0, "low": 0.0, "high": 0.0}}, "mine": {"exact_match": figure}},
        "forgetting": {}, "rows_that_got_worse": {"mine": [{"prompt": "a secret prompt"}]},
    }  # fmt: skip
    evaluation = place / "evaluations" / "held-out" / "evaluation.json"
    evaluation.parent.mkdir(parents=True)
    evaluation.write_text(json.dumps(report))
    return folder


def metadata(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---")[1])


def test_an_adapter_is_pushed_with_its_card(
    hub: HubServer, tiny_llama: Path, adapter: Path, tmp_path: Path, lorasmith: Run
) -> None:
    """EXP-5, ADP-1: private, with a card; only what loads it; nothing of this machine; and taken in again elsewhere."""
    told = lorasmith("export", tiny_llama, "--adapter", adapter, "--to", "hub").stdout
    assert "For you alone to see." in told
    assert f"{hub.url}/tester/mine" in told
    folder = hub.root / "tester" / "mine"
    assert hub.rules["tester/mine"].private
    names = sorted(file.name for file in folder.iterdir())
    assert names == [CARD, "adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    assert (folder / "adapter_model.safetensors").read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()
    for file in folder.iterdir():
        for secret in (str(tmp_path), str(tiny_llama), "secret", "a cpu"):
            assert secret.encode() not in file.read_bytes(), file.name
    card = (folder / CARD).read_text()
    assert metadata(card) == {
        "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lorasmith", "lora"],
    }  # fmt: skip
    for said in (
        "| Exact \\| match | 0.0 % | 99.0 % | 97.0 … 100.0 % |", "On 100 rows of held-out.jsonl", "| rank | 8 |", "| seed | 3 |",
        "| rows learnt from | 272 |", "abab", "lorasmith adapters import tester/mine", "20 prompts went through",
    ):  # fmt: skip
        assert said in card
    commits = [one for one in hub.asked if "/commit/" in one.path]
    assert len(commits) == 1
    lorasmith("adapters", "import", "tester/mine", "--base", tiny_llama, "--name", "theirs")
    shown = json.loads(lorasmith("adapters", "show", "theirs", "--json").stdout)
    assert shown["parents"] == ["tester/mine"]
    assert shown["num_parameters"] > 0


def test_a_merged_model_is_pushed_and_fetched(
    hub: HubServer, tiny_llama: Path, adapter: Path, tmp_path: Path, lorasmith: Run
) -> None:
    """EXP-5: for everybody to see only where that was asked for, and never by surprise; it answers as it did here."""
    config = tiny_llama / "config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"_name_or_path": str(tmp_path / "somewhere")}))
    try:
        options = ("--to", "hub", "--merged", "--repo", "tester/whole")
        lorasmith("export", tiny_llama, "--adapter", adapter, *options, "--public")
    finally:
        config.write_text(before)
    folder = hub.root / "tester" / "whole"
    assert not hub.rules["tester/whole"].private
    assert json.loads((folder / "config.json").read_text())["_name_or_path"] == "somewhere"
    assert "merged into it" in (folder / CARD).read_text()
    assert all(str(tmp_path).encode() not in file.read_bytes() for file in folder.iterdir())
    said = [
        lorasmith("generate", *model, "-p", "4 and 4?", "--max-new-tokens", "8").stdout
        for model in ((tiny_llama, "--adapter", adapter), ("tester/whole",))
    ]
    assert said[0] == said[1]
    refused = lorasmith("export", tiny_llama, "--adapter", adapter, *options, code=2).stderr
    assert "everybody can see it" in refused
    assert len([one for one in hub.asked if "/commit/" in one.path]) == 1
    hub.rules["tester/whole"].private = True
    told = lorasmith("export", tiny_llama, "--adapter", adapter, *options, "--public").stdout
    assert "and private: so it stays. For you alone to see." in told


def test_a_dry_run_shows_every_file_and_pushes_nothing(
    hub: HubServer, tiny_llama: Path, adapter: Path, home: Path, monkeypatch: pytest.MonkeyPatch, lorasmith: Run
) -> None:
    """EXP-5: without a token, too."""
    monkeypatch.delenv("HF_TOKEN")
    options = ("--to", "hub", "--repo", "me/mine", "--dry-run")
    told = lorasmith("export", tiny_llama, "--adapter", adapter, *options).stdout
    for name in (CARD, "adapter_config.json", "adapter_model.safetensors", "manifest.json"):
        assert name in told
    assert "optimizer.pt" not in told
    assert "Nothing was pushed. me/mine would hold these files, for you alone to see." in told
    assert (home / "exports" / "mine-hub" / CARD).read_text().startswith("---\n")
    named = lorasmith("export", tiny_llama, "--adapter", adapter, "--to", "hub", "--dry-run").stdout
    assert "Nothing was pushed. mine would hold these files" in named
    card = (home / "exports" / "mine-hub" / CARD).read_text()
    assert "\n# mine\n" in card, "its owner is not known yet"
    assert "--adapter mine\n" in card
    assert hub.asked == []


def test_what_the_hub_refuses_is_told(
    hub: HubServer, tiny_llama: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch, lorasmith: Run
) -> None:
    """EXP-5: another's repository, no name, no token, a token that is not known, a commit that fails, no Hub: before the files are made,
    where it can be, and with nothing to be seen there."""

    def refused(*options: str, code: int = 5) -> str:
        return lorasmith("export", tiny_llama, "--adapter", adapter, "--to", "hub", *options, code=code).stderr

    assert "'another/mine' is not yours to write" in refused("--repo", "another/mine", code=2)
    for name in ("a b", "tester/..", "a/b/c", "-x"):
        assert "cannot be a repository's name" in refused(f"--repo={name}", code=2)
    lorasmith("export", tiny_llama, "--adapter", adapter, "--to", "hub", "--repo", "tester/bad")
    (hub.root / "tester" / "bad" / CARD).write_text("before")
    hub.rules["tester/bad"].fails_commits = True
    assert "the Hub has a bad day" in refused("--repo", "tester/bad")
    assert (hub.root / "tester" / "bad" / CARD).read_text() == "before"
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert "does not know the token" in refused()
    monkeypatch.delenv("HF_TOKEN")
    assert "No token is set" in refused()
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "could not be pushed" in refused()
