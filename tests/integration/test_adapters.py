"""Adapters as their user handles them: taken in from other tools, listed, renamed, combined, made smaller, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapters import changed, plain_adapter
from tests.conftest import Run
from transformers import AutoModelForCausalLM

from lorasmith import flow
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.hub.bases import fingerprint
from lorasmith.hub.recognise import know_model
from lorasmith.workers.lora import load_adapters

IDS = torch.tensor([[1, 5, 60, 70, 80, 90, 100]])


def logits(model: Path, adapter: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_adapters(AutoModelForCausalLM.from_pretrained(model), {"a": adapter})(IDS).logits


def delta(adapter: Path, layer: str) -> torch.Tensor:
    """What the adapter adds to a layer's weight."""
    state, config = (
        load_file(adapter / "adapter_model.safetensors"),
        json.loads((adapter / "adapter_config.json").read_text()),
    )
    down, up = (
        next(side for name, side in state.items() if layer in name and half in name) for half in ("lora_A", "lora_B")
    )
    return up @ down * config["lora_alpha"] / config["r"]


def taken_in(model: Path, tmp_path: Path, name: str, **options: Any) -> Path:
    return flow.import_adapter(
        str(plain_adapter(model, tmp_path / f"made_{name}", **options)), base=str(model), name=name
    ).folder


def test_an_adapter_of_peft_is_taken_in_shown_renamed_and_removed(
    tiny_llama: Path, tmp_path: Path, home: Path, lorasmith: Run
) -> None:
    """ADP-1: a folder that plain PEFT wrote; it answers here as there."""
    theirs = plain_adapter(tiny_llama, tmp_path / "theirs")
    said = lorasmith("adapters", "import", theirs, "--base", tiny_llama, "--name", "mine").stdout
    assert "mine: lora of rank 8, alpha 16" in said
    ours = home / "adapters" / "mine" / "lora"
    assert torch.equal(logits(tiny_llama, ours), logits(tiny_llama, theirs))
    listed = json.loads(lorasmith("adapters", "list", "--json").stdout)
    assert [(one["name"], one["origin"], one["rank"], one["base"]) for one in listed] == [
        ("mine", "imported", 8, "llama")
    ]
    assert listed[0]["targets"] == ["down_proj", "k_proj", "q_proj", "v_proj"]
    assert json.loads((ours / "manifest.json").read_text())["base"]["fingerprint"] == fingerprint(
        know_model(str(tiny_llama))
    )
    lorasmith("adapters", "rename", "mine", "yours")
    shown = lorasmith("adapters", "show", "yours").stdout
    assert "imported from theirs" in shown
    lorasmith("adapters", "remove", "yours", "--yes")
    assert lorasmith("adapters", "list").stdout.startswith("There is no adapter yet")
    assert "Known: none" in lorasmith("adapters", "show", "yours", code=3).stderr


def test_a_folder_is_scanned_for_adapters_and_models(tiny_llama: Path, tmp_path: Path, lorasmith: Run) -> None:
    """ADP-1, STU-5"""
    work = tmp_path / "work"
    for name in ("one", "deep/two"):
        plain_adapter(tiny_llama, work / name)
    (work / "one" / "adapter_model.safetensors").write_bytes(b"cut off")
    shutil.copytree(tiny_llama, work / "models" / "small")
    for part in ("unet", "vae"):  # parts of a pipeline are no models of their own
        shutil.copytree(tiny_llama, work / "pipeline" / part)
    (work / "pipeline" / "model_index.json").write_text("{}")
    found = json.loads(lorasmith("adapters", "scan", work, "--json").stdout)
    troubles = {one["name"]: one["troubles"] for one in found["adapters"]}
    assert set(troubles) == {"one", "deep/two"}
    assert "damaged" in troubles["one"][0]
    assert not troubles["deep/two"]
    models = {one["name"]: one for one in found["models"]}
    assert set(models) == {"models/small", "pipeline"}
    assert models["models/small"]["family"] == "language"
    assert models["models/small"]["num_bytes"] > 0
    assert models["pipeline"]["trouble"]
    told = lorasmith("adapters", "scan", work).stdout
    assert "lorasmith adapters import FOLDER" in told
    assert "lorasmith check FOLDER" in told
    (tmp_path / "nothing").mkdir()
    assert "no adapter and no model" in lorasmith("adapters", "scan", tmp_path / "nothing").stdout


def test_an_adapter_is_merged_into_the_base_that_it_names(tiny_llama: Path, tmp_path: Path, lorasmith: Run) -> None:
    """ADP-1, ADP-3"""
    plain_adapter(tiny_llama, tmp_path / "one")
    told = lorasmith("adapters", "merge", tmp_path / "one", "--base", tiny_llama, "--out", tmp_path / "whole").stdout
    assert "20 of 20 equal" in told
    assert (tmp_path / "whole" / "model.safetensors").exists()
    config = tmp_path / "one" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": ""}))
    assert "--base MODEL" in lorasmith("adapters", "merge", tmp_path / "one", code=2).stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: dict(list(state.items())[1:]), "It lacks 1 of 16 weights"),
        (lambda state: state | {"base_model.model.no.such.lora_A.weight": torch.zeros(8, 32)}, "no place for"),
        (lambda state: {name: weight * float("nan") for name, weight in state.items()}, "no finite numbers"),
        (
            lambda state: {name: weight[:, :5] if "lora_A" in name else weight for name, weight in state.items()},
            "does not fit",
        ),
    ],
    ids=["missing", "extra", "nan", "shapes"],
)
def test_what_is_damaged_is_refused_and_nothing_is_left(
    tiny_llama: Path, tmp_path: Path, home: Path, change: Any, says: str
) -> None:
    """ADP-1: missing tensors, extra ones, NaN, wrong shapes."""
    broken = changed(plain_adapter(tiny_llama, tmp_path / "broken"), change)
    with pytest.raises(UsageProblem) as told:
        flow.import_adapter(str(broken), base=str(tiny_llama))
    assert says in str(told.value)
    assert not list((home / "adapters").iterdir())


def test_an_adapter_of_another_base_or_revision_is_refused(tiny_llama: Path, tmp_path: Path, lorasmith: Run) -> None:
    """ADP-1: same shapes, other weights; the same name at another commit; wherever an adapter is put to use."""
    taken_in(tiny_llama, tmp_path, "mine")
    other = tmp_path / "other" / "llama"
    shutil.copytree(tiny_llama, other)
    state = load_file(other / "model.safetensors")
    save_file(
        {name: weight * 1.01 for name, weight in state.items()}, other / "model.safetensors", metadata={"format": "pt"}
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    for command in (
        ("evaluate", other, "--data", rows, "--adapter", "mine"), ("serve", other, "--adapter", "mine", "--port", "0"),
        ("export", other, "--adapter", "mine"), ("generate", other, "--adapter", "mine", "--prompt", "a"),
    ):  # fmt: skip
        assert "belongs to another base" in lorasmith(*command, code=2).stderr
    named = plain_adapter(tiny_llama, tmp_path / "named", base="acme/model")
    config = named / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"revision": "a" * 40}))
    facts = know_model(str(tiny_llama))
    from lorasmith.hub.bases import require_base

    require_base(named, facts.model_copy(update={"id": "acme/model", "revision": "a" * 40}))
    for change in ({"id": "acme/other"}, {"id": "acme/model", "revision": "b" * 40}):
        with pytest.raises(UsageProblem, match="belongs to another base"):
            require_base(named, facts.model_copy(update=change))


def test_what_is_no_adapter_is_refused_by_name(tiny_llama: Path, tmp_path: Path) -> None:
    """ADP-1: nothing there, another file, a base that is not named, a name with a slash, a name that is taken."""
    taken_in(tiny_llama, tmp_path, "mine")
    plain = plain_adapter(tiny_llama, tmp_path / "plain", base=" ")
    (tmp_path / "notes.txt").write_text("no adapter")
    for source, name, problem, says in (
        (tmp_path / "nowhere", "", NotFoundProblem, "There is no"),
        (tmp_path / "notes.txt", "", UsageProblem, "is no adapter"),
        (tmp_path, "", UsageProblem, "is no adapter"),
        (plain, "a/b", UsageProblem, "cannot be an adapter's name"),
        (plain, "mine", UsageProblem, "There is an adapter 'mine' already"),
    ):
        with pytest.raises(problem, match=says):
            flow.import_adapter(str(source), base=str(tiny_llama), name=name)
    state = tmp_path / "lone.safetensors"
    save_file({"x": torch.zeros(1)}, state)
    with pytest.raises(UsageProblem, match="does not say which model"):
        flow.import_adapter(str(state))
    with pytest.raises(UsageProblem, match="cannot be taken in for this base"):
        flow.import_adapter(str(state), base=str(tiny_llama))


@pytest.mark.parametrize(
    "method", ["cat", "linear", "svd", "ties", "ties_svd", "dare_linear", "dare_ties", "magnitude_prune"]
)
def test_adapters_are_combined_as_peft_does_it(tiny_llama: Path, tmp_path: Path, method: str) -> None:
    """ADP-3: on layers without weights it comes to what PEFT makes of the whole model. What DARE drops is drawn: here nothing."""
    share = 1 - 1e-9 if "dare" in method else 0.6
    both = [taken_in(tiny_llama, tmp_path, name, seed=seed) for seed, name in enumerate(("one", "two"))]
    made = flow.combine(adapters=("one", "two"), name="both", method=method, weights="0.7,0.4", density=share)
    wrapped = load_adapters(AutoModelForCausalLM.from_pretrained(tiny_llama), {"one": both[0], "two": both[1]})
    thins = method not in ("cat", "linear", "svd")
    wrapped.base_model.add_weighted_adapter(
        ["one", "two"], [0.7, 0.4], "both", combination_type=method, density=share if thins else None,
        svd_rank=8 if "svd" in method else None,
    )  # fmt: skip
    wrapped.set_adapter("both")
    with torch.inference_mode():
        wanted = wrapped(IDS).logits
    assert torch.allclose(logits(tiny_llama, made.folder), wanted, atol=1e-4)
    assert made.parents == ("one", "two")
    assert made.rank == (16 if method == "cat" else 8)


def test_what_cannot_be_combined_is_refused(tiny_llama: Path, tmp_path: Path, home: Path) -> None:
    """ADP-3: different ranks by a method that needs equal ones, different bases, weights that are none, more than matrices."""
    for name, options in (("one", {}), ("four", {"r": 4}), ("dora", {"use_dora": True})):
        taken_in(tiny_llama, tmp_path, name, **options)
    stranger = plain_adapter(tiny_llama, tmp_path / "stranger", base="acme/other")
    for names, options, says in (
        (("one", "four"), {"method": "linear"}, "cannot join these adapters"),
        (("one", str(stranger)), {}, "different bases"),
        (("one", "four"), {"weights": "1,x"}, "no number"),
        (("one", "four"), {"weights": "1"}, "names 1 for 2"),
        (("one", "dora"), {}, "more than two low-rank matrices"),
        (("one", "one"), {}, "named twice"),
    ):
        with pytest.raises(UsageProblem, match=says):
            flow.combine(adapters=names, name="both", **options)
    assert not (home / "adapters" / "both").exists()


def test_ranks_are_reduced_to_the_nearest_change(tiny_llama: Path, tmp_path: Path, lorasmith: Run) -> None:
    """ADP-4: the best change of that rank (its error is that of the singular values that are left out), or of that energy."""
    whole = taken_in(tiny_llama, tmp_path, "whole", r=16)
    said = lorasmith("adapters", "resize", "whole", "--rank", "4").stdout
    assert "whole-r4: rank 16 → 4" in said
    small = flow.adapter_named("whole-r4")
    layer = "layers.0.self_attn.q_proj"
    before, after = delta(whole, layer), delta(small.folder, layer)
    values = torch.linalg.svdvals(before)
    assert torch.linalg.matrix_rank(after, rtol=1e-4) == 4
    assert torch.allclose((before - after).square().sum(), values[4:].square().sum(), rtol=1e-3)
    assert small.num_parameters * 4 == flow.adapter_named("whole").num_parameters
    kept = flow.resize("whole", energy=0.9)
    assert 0.9 <= kept.energy < 1
    assert kept.rank_after < 16
    everything = flow.resize("whole", energy=1.0, name="same")
    assert everything.energy == pytest.approx(1)
    assert torch.allclose(logits(tiny_llama, everything.folder), logits(tiny_llama, whole), atol=1e-4)
    config = peft.LoraConfig.from_pretrained(kept.folder)
    assert len({kept.rank_after, *config.rank_pattern.values()}) > 1, "every layer has a rank of its own"


def test_what_a_smaller_adapter_costs_is_measured(tiny_llama: Path, tmp_path: Path, sums: Path, lorasmith: Run) -> None:
    """ADP-4: base, whole and small on the same rows in one table."""
    taken_in(tiny_llama, tmp_path, "whole")
    said = lorasmith("adapters", "resize", "whole", "--rank", "2", "--data", sums, "--base", tiny_llama).stdout
    assert all(name in said for name in ("base", "whole", "whole-r2")), said
    assert "Say how small" in lorasmith("adapters", "resize", "whole", code=2).stderr
