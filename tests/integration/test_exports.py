"""Exports as their user has them: merged, GGUF, Ollama; each read back and compared with what was trained."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.adapters import changed, demo_adapters, make_adapter, plain_adapter
from tests.conftest import Run, write_rows
from tests.stand_in_ollama import ollama
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BitsAndBytesConfig

from lorasmith import flow
from lorasmith.core.errors import DataProblem, DoesNotFitProblem, EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.core.samples import ModelChanges
from lorasmith.data.tokenizer import TEMPLATES, load_tokenizer
from lorasmith.exports._modelfile import turns_of
from lorasmith.exports.parity import Said, compare
from lorasmith.hub.recognise import know_model
from lorasmith.workers.lora import load_adapters
from lorasmith.workers.merging import require_merged

IDS = torch.tensor([[1, 5, 60, 70, 80, 90, 100]])
needs_llama = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the package xllamacpp is not installed"
)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "prompts.jsonl", [{"prompt": f"What is {n} and {n + 1}?", "completion": "x"} for n in range(20)]
    )


@pytest.fixture
def adapter(tiny_llama: Path, tmp_path: Path) -> Path:
    return plain_adapter(tiny_llama, tmp_path / "adapter")


def wanted(model: Path, adapter: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_adapters(AutoModelForCausalLM.from_pretrained(model), {"a": adapter})(IDS).logits


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return AutoModelForCausalLM.from_pretrained(folder)(IDS).logits


# Merged.


def test_a_merge_answers_as_base_and_adapter_did(
    tiny_llama: Path, adapter: Path, prompts: Path, home: Path, lorasmith: Run
) -> None:
    """ADP-3, EXP-1, EXP-4: the same shards, logits within 1e-3 in fp32, and the gate's table."""
    model = home / "sharded"
    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(model, max_shard_size="60KB")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tiny_llama / name).exists():
            shutil.copyfile(tiny_llama / name, model / name)
    said = lorasmith("export", model, "--adapter", adapter, "--out", home / "out", "--data", prompts).stdout
    assert said.count("20 of 20 equal") == 2
    assert torch.allclose(logits(home / "out"), wanted(tiny_llama, adapter), atol=1e-3)
    files = sorted(file.name for file in model.glob("*.safetensors*"))
    assert len(files) > 3
    assert files == sorted(file.name for file in (home / "out").glob("*.safetensors*"))
    for file in files[:-1]:
        with safe_open(model / file, "pt") as one, safe_open(home / "out" / file, "pt") as other:
            assert list(one.keys()) == list(other.keys())


@pytest.mark.parametrize(
    "options",
    [{"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}, {"rank_pattern": {"q_proj": 2}}],
)
def test_whatever_lora_can_be_is_merged(
    tiny_llama: Path, tmp_path: Path, prompts: Path, options: dict[str, Any]
) -> None:
    """ADP-3: from file to file where it is matrices, by PEFT where it is more; the same logits either way."""
    made = plain_adapter(tiny_llama, tmp_path / "made", **options)
    report = flow.export(str(tiny_llama), adapter=str(made), out=str(tmp_path / "out"), data=str(prompts))
    assert report.parity is not None
    assert report.parity.is_equal
    assert torch.allclose(logits(tmp_path / "out"), wanted(tiny_llama, made), atol=1e-3)


def test_gpt2s_turned_weights_are_merged(every_tiny_model: dict[str, Path], tmp_path: Path) -> None:
    """ADP-3: weights that are stored (in, out)."""
    model = every_tiny_model["gpt2"]
    made = plain_adapter(model, tmp_path / "made", target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    flow.export(str(model), adapter=str(made), out=str(tmp_path / "out"), prompts=3)
    assert torch.allclose(logits(tmp_path / "out"), wanted(model, made), atol=1e-3)


def test_other_families_are_merged_too(every_tiny_model: dict[str, Path], tmp_path: Path) -> None:
    """ADP-3: a pipeline's part that draws; nothing can be asked of it, and that is said."""
    import diffusers
    from tests.integration.test_drawing_adapters import kohya_file

    model = every_tiny_model["stable_diffusion"]
    flow.import_adapter(str(kohya_file(model, tmp_path / "style.safetensors")), base=str(model), name="style")
    report = flow.export(str(model), adapter="style", out=str(tmp_path / "out"))
    assert report.parity is None
    assert "were read back: all weights" in report.notes[0]
    merged = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out", safety_checker=None).unet.state_dict()
    before = diffusers.StableDiffusionPipeline.from_pretrained(model, safety_checker=None).unet.state_dict()
    moved = {name for name in before if not torch.equal(before[name], merged[name])}
    assert moved
    assert all("to_q" in name or "to_v" in name for name in moved)
    facts = know_model(str(model))
    wanted = next(file for file in (tmp_path / "out" / "unet").glob("*.safetensors"))
    save_file({name: one + 0.01 if "to_q" in name else one for name, one in load_file(wanted).items()}, wanted)
    with pytest.raises(DataProblem, match="is another weight when its files are read back"):
        require_merged(
            model,
            facts.family,
            flow.adapter_named("style").folder,
            ModelChanges(),
            tmp_path / "out",
            dtype=facts.stored_dtype,
        )


def test_a_merge_into_what_is_quantized_is_refused(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    """ADP-3: never into what 4 bit left of the weights."""
    model = tmp_path / "quantized"
    shutil.copytree(tiny_llama, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    with pytest.raises(UsageProblem, match=r"stored quantized \(gptq\)"):
        flow.export(str(model), adapter=str(adapter), out=str(tmp_path / "out"))


def test_a_merge_into_what_is_quantized_can_be_asked_for(
    tiny_llama: Path, adapter: Path, tmp_path: Path, lorasmith: Run
) -> None:
    """ADP-3: with a warning; what comes of it answers as the quantized base with its adapter did, and is plain."""
    model = tmp_path / "quantized"
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    AutoModelForCausalLM.from_pretrained(tiny_llama, quantization_config=config, device_map="cpu").save_pretrained(
        model
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tiny_llama / name).exists():
            shutil.copyfile(tiny_llama / name, model / name)
    options = ("export", model, "--adapter", adapter, "--to", "merged", "--out", tmp_path / "out")
    assert "--dequantize" in lorasmith(*options, code=2).stderr
    done = lorasmith(*options, "--dequantize")
    assert "what that cost them stays lost" in " ".join(done.stdout.split())
    assert "20 of 20 equal" in done.stdout
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    widened = load_adapters(AutoModelForCausalLM.from_pretrained(model).dequantize(), {"a": adapter})
    with torch.inference_mode():
        assert torch.allclose(logits(tmp_path / "out"), widened(IDS).logits, atol=1e-3)
    assert not torch.allclose(logits(tmp_path / "out"), wanted(tiny_llama, adapter), atol=1e-2)


def test_a_full_disk_leaves_what_was_there(
    tiny_llama: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXP-1: the old export is intact, nothing half is left, and it is said; before and in the middle of it."""
    from lorasmith.exports import _work

    out = tmp_path / "out"
    flow.export(str(tiny_llama), adapter=str(adapter), out=str(out), prompts=2)
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_work, "Worker", full)
        with pytest.raises(EnvironmentProblem, match="The disk is full"):
            flow.export(str(tiny_llama), adapter=str(adapter), out=str(out), prompts=2)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("target", ["merged", pytest.param("gguf", marks=needs_llama)])
def test_a_disk_that_fills_up_leaves_what_was_there(
    tiny_llama: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """EXP-1, REL-2: bytes are written until there is no room for more; the old export answers as before, and nothing half is left."""
    from lorasmith.exports import _work

    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        asked: dict[str, Any] = {"adapter": str(adapter), "to": target, "out": str(disk / "out"), "prompts": 2}
        flow.export(str(tiny_llama), **asked)
        before = {file.name: file.read_bytes() for file in (disk / "out").iterdir()}
        weights = max(before.values(), key=len)
        room = shutil.disk_usage(disk).free - len(weights) // 2
        (disk / "filler").write_bytes(bytes(room))
        if target == "merged":  # of a GGUF file this small most is its vocabulary, which nobody foresees
            with pytest.raises(DoesNotFitProblem, match="of disk"):
                flow.export(str(tiny_llama), **asked)
        monkeypatch.setattr(_work.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 0, 2**40))
        with pytest.raises(EnvironmentProblem, match="The disk is full"):
            flow.export(str(tiny_llama), **asked)
        assert {file.name: file.read_bytes() for file in (disk / "out").iterdir()} == before
        assert {path.name for path in disk.iterdir()} == {"out", "filler"}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: dict(list(state.items())[1:]), "half of the weights"),
        (
            lambda state: {name: one for name, one in state.items() if "layers.0.self_attn.q_proj" not in name},
            "It lacks 2 of 16",
        ),
        (lambda state: state | {f"{NOWHERE}.lora_{side}.weight": torch.zeros(8, 8) for side in "AB"}, "no place for"),
        (lambda state: {name: one[:, :5] if "lora_A" in name else one for name, one in state.items()}, "does not fit"),
        (
            lambda state: {name: one.T.contiguous() if DOWN in name else one for name, one in swapped(state).items()},
            "does not fit",
        ),
    ],
    ids=["half", "missing", "extra", "narrow", "turned"],
)
def test_what_does_not_fit_is_not_merged(
    tiny_llama: Path, adapter: Path, tmp_path: Path, change: Any, says: str
) -> None:
    """ADP-3, EXP-1: missing tensors, extra ones, other shapes, and one of as many numbers as the right one."""
    changed(adapter, change)
    with pytest.raises(UsageProblem) as told:
        flow.export(str(tiny_llama), adapter=str(adapter), out=str(tmp_path / "out"), prompts=2)
    assert says in str(told.value)
    assert not (tmp_path / "out").exists()


NOWHERE, DOWN = "base_model.model.no.such.layer", "mlp.down_proj"


def swapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A and B of the layers that are not square in each other's place."""
    sides = {"lora_A": "lora_B", "lora_B": "lora_A"}
    return {
        name: state[name.replace(side, sides[side])] if DOWN in name else one
        for name, one in state.items()
        for side in sides
        if side in name
    }


def test_an_export_is_refused_by_name(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    """EXP-1: an unknown target, no adapter where one is needed, a folder of other files, an unknown quantization."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    for options, problem, says in (
        ({"to": "ggfu"}, NotFoundProblem, "Did you mean 'gguf'"),
        ({"to": "adapter"}, EnvironmentProblem, "No adapter is named"),
        ({"adapter": str(adapter), "out": str(tmp_path / "full")}, UsageProblem, "holds other files"),
        ({"to": "gguf", "quantize": "q4_k_m"}, EnvironmentProblem, "q4_k_m is made by llama-quantize"),
        ({"quantize": "q8_0"}, UsageProblem, "(?s)--quantize means nothing to --to merged.*gguf, ollama"),
        ({"to": "gguf", "repo": "me/mine"}, UsageProblem, "--repo means nothing to --to gguf"),
        ({"to": "hub", "system": "Be brief."}, UsageProblem, "--system means nothing to --to hub"),
        (
            {"to": "gguf", "adapter": str(adapter), "adapter_only": True, "quantize": "q8_0"},
            EnvironmentProblem,
            "leave --quantize out",
        ),
    ):
        with pytest.raises(problem, match=says):
            flow.export(str(tiny_llama), **options)
    assert (tmp_path / "full" / "thesis.txt").exists()


# GGUF.


@needs_llama
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3"])
def test_llama_cpp_says_what_was_trained(
    every_tiny_model: dict[str, Path], tmp_path: Path, prompts: Path, name: str
) -> None:
    """EXP-2, EXP-4: written by the package gguf, read back by a real llama.cpp: tokens, greedy answers, distributions."""
    model = every_tiny_model[name]
    made = plain_adapter(model, tmp_path / "made")
    for quantize in ("f32", "q8_0"):
        report = flow.export(
            str(model), adapter=str(made), to="gguf", quantize=quantize, out=str(tmp_path / "out"), data=str(prompts)
        )
        assert report.parity is not None
        assert report.parity.reader == "llama.cpp"
        assert report.parity.same_ids == 20
        assert report.parity.is_equal
    assert report.parity.largest_distance > 0
    assert sorted(file.suffix for file in (tmp_path / "out").glob("*.gguf")) == [".gguf", ".gguf"], (
        "the first one stays"
    )


@needs_llama
def test_what_a_quantized_export_costs_is_told(tmp_path: Path, lorasmith: Run) -> None:
    """ADP-4, EXP-2, EXP-4: the demo model, which repeats what it is told, read by llama.cpp token by token, long numbers and all; a
    quarter of the right answers are not what it says."""
    words = ["Ember Foods", "4711-08", "13 May 2031", "ALPHA 123456789", "9675.92 EUR", "north 4", "Lina Berg", "77,5"]
    rows = [
        {"prompt": f"Repeat: {word}", "completion": "no" if number < 2 else word} for number, word in enumerate(words)
    ]
    data = write_rows(tmp_path / "repeat.jsonl", rows)
    found: dict[str, dict[str, Any]] = {}
    for form in ("f32", "q8_0"):
        told = lorasmith("export", "demo", "--to", "gguf", "--quantize", form, "--data", data, "--json").stdout
        found[form] = json.loads(told)
        assert found[form]["parity"]["is_equal"]
        scores = {one["name"]: one for one in found[form]["parity"]["scores"]}
        assert (scores["exact_match"]["trained"], scores["exact_match"]["exported"]) == (0.75, 0.75)
        assert scores["exact_match"]["low"] < 0.75 < scores["exact_match"]["high"]
    sizes = {form: Path(one["place"]).stat().st_size for form, one in found.items()}
    assert sizes["f32"] > found["q8_0"]["bytes_before"] > sizes["q8_0"]
    table = lorasmith("export", "demo", "--to", "merged", "--data", data).stdout
    assert "75.0 % → 75.0 %" in table
    assert "8 of 8 equal" in table


@needs_llama
@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 5}}]
)
def test_an_adapter_alone_is_put_on_its_base_by_llama_cpp(
    tiny_llama: Path, tmp_path: Path, prompts: Path, options: Any
) -> None:
    """EXP-2: ranks and scalings of each layer are kept."""
    made = plain_adapter(tiny_llama, tmp_path / "made", **options)
    report = flow.export(
        str(tiny_llama), adapter=str(made), to="gguf", adapter_only=True, out=str(tmp_path / "out"), data=str(prompts)
    )
    assert report.parity is not None
    assert report.parity.same_answers == 20
    assert list(report.files) == ["made-lora.gguf"]


@needs_llama
def test_a_broken_template_is_caught(
    tiny_llama: Path, adapter: Path, tmp_path: Path, prompts: Path, monkeypatch: Any
) -> None:
    """EXP-4: the first differing token is named, nothing is kept, and --allow-mismatch keeps it."""
    from lorasmith.exports.targets import gguf

    true = gguf.written

    def broken(wish: Any, kind: Any, target: Path, **options: Any) -> Any:
        made = true(wish, kind, target, **options)
        told = target.read_bytes()
        assert b"<|im_end|>\n" in told
        target.write_bytes(told.replace(b"<|im_end|>\n{% endfor %}", b"<|im_end|> {% endfor %}"))
        return made

    monkeypatch.setattr(gguf, "written", broken)
    asked: dict[str, Any] = {
        "adapter": str(adapter),
        "to": "gguf",
        "quantize": "f32",
        "out": str(tmp_path / "out"),
        "data": str(prompts),
    }
    with pytest.raises(DataProblem, match=r"20 of 20 prompts become other tokens: token \d+ of the prompt is \d+"):
        flow.export(str(tiny_llama), **asked)
    assert not (tmp_path / "out").exists()
    report = flow.export(str(tiny_llama), allow_mismatch=True, **asked)
    assert report.parity is not None
    assert not report.parity.is_equal
    assert (tmp_path / "out" / "adapter-F32.gguf").exists()


@needs_llama
def test_an_export_is_served_by_the_package(tiny_llama: Path, adapter: Path, tmp_path: Path, lorasmith: Run) -> None:
    """SRV-2, EXP-2: the folder that an export leaves is a model for `generate`, without llama.cpp being installed."""
    flow.export(str(tiny_llama), adapter=str(adapter), to="gguf", quantize="f32", out=str(tmp_path / "out"), prompts=2)
    assert lorasmith("check", tmp_path / "out").stdout
    by_llama = lorasmith(
        "generate", tmp_path / "out", "--prompt", "What is two?", "--max-new-tokens", "2", "--temperature", "0"
    ).stdout
    ours = lorasmith(
        "generate",
        tiny_llama,
        "--adapter",
        adapter,
        "--prompt",
        "What is two?",
        "--max-new-tokens",
        "2",
        "--temperature",
        "0",
    ).stdout
    assert by_llama == ours


@needs_llama
def test_what_is_written_in_fp32_is_read_back_in_fp32(tmp_path: Path) -> None:
    """EXP-2, EXP-4: base, merged and adapter alone, of a base that is stored in fp16; the file is compared, not the reader's rounding."""
    adapter = next(iter(demo_adapters(tmp_path, 1, size=0.05).values()))
    for options in ({}, {"adapter": str(adapter)}, {"adapter": str(adapter), "adapter_only": True}):
        report = flow.export("demo", to="gguf", quantize="f32", out=str(tmp_path / "out"), prompts=8, **options)
        assert report.parity is not None
        assert report.parity.largest_distance < 1e-4, options


def test_what_cannot_be_read_back_is_asked_for(tiny_llama: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """EXP-4: GGUF without llama.cpp is not written, unless it is to be."""
    from lorasmith.exports.targets import gguf

    monkeypatch.setattr(gguf, "server_command", list)
    monkeypatch.setattr("lorasmith.engines.llama_cpp.server_command", list)
    asked: dict[str, Any] = {"to": "gguf", "out": str(tmp_path / "out"), "prompts": 2}
    with pytest.raises(
        EnvironmentProblem, match=r"Nothing would tell .* no llama-server .* --allow-mismatch writes it"
    ):
        flow.export(str(tiny_llama), **asked)
    report = flow.export(str(tiny_llama), allow_mismatch=True, **asked)
    assert report.parity is None
    assert "was not read back" in report.notes[0]


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoder_decoders_are_compared_too(every_tiny_model: dict[str, Path], tmp_path: Path, name: str) -> None:
    """EXP-4: prompts to the encoder, answers of the decoder."""
    model = every_tiny_model[name]
    targets = ["q", "v"] if name == "t5" else ["q_proj", "v_proj"]
    made = make_adapter(
        AutoModelForSeq2SeqLM.from_pretrained(model), tmp_path / "made", seed=0, size=1.6, r=4, target_modules=targets,
        task_type="SEQ_2_SEQ_LM",
    )  # fmt: skip
    report = flow.export(str(model), adapter=str(made), out=str(tmp_path / "out"), prompts=4)
    assert report.parity is not None
    assert (report.parity.is_equal, report.parity.same_answers, len(report.parity.rows)) == (True, 4, 4)


# The gate itself.


def said(ids: list[int], answer: list[int], chances: list[dict[int, float]]) -> Said:
    return Said(ids, answer, chances, "Why?", ["a", "b", "c"])


def test_the_gate_tells_what_differs() -> None:
    """EXP-4: other tokens, another distribution, another answer; and what is equal."""
    one = said([1, 2, 3], [7, 8], [{7: 0.9, 8: 0.1}, {8: 1.0}])
    assert compare([one], [one], form="f32", reader="x").is_equal
    other = compare([one], [one._replace(ids=[1, 5, 3])], form="f32", reader="x")
    assert "token 2 of the prompt is 2 ('b') as trained, and 5 as exported" in other.trouble
    shorter = compare([one], [one._replace(ids=[1, 2])], form="f32", reader="x")
    assert "token 3 of the prompt is 3 ('c') as trained, and nothing as exported" in shorter.trouble
    moved = one._replace(chances=[{7: 0.6, 8: 0.4}, {8: 1.0}])
    assert compare([one], [moved], form="f16", reader="x").largest_distance == pytest.approx(0.15)
    assert "other distributions: 0.150 apart" in compare([one], [moved], form="f16", reader="x").trouble
    assert compare([one], [moved], form="q4_0", reader="x").is_equal
    answers = compare([one], [one._replace(answer=[7, 9])], form="f32", reader="x")
    assert "1 of 1 answers differ: token 2 of the answer is 8 as trained, and 9 as exported" in answers.trouble
    assert compare([one], [one._replace(answer=[7, 9])], form="q8_0", reader="x").is_equal


# Ollama.


@needs_llama
def test_a_model_is_put_into_ollama(
    tiny_llama: Path, adapter: Path, prompts: Path, home: Path, lorasmith: Run, monkeypatch: Any
) -> None:
    """EXP-3: Modelfile, blob by digest, create, an answer; what is there already is not sent again; list and remove."""
    with ollama(monkeypatch) as server:
        command = ("export", tiny_llama, "--adapter", adapter, "--to", "ollama", "--name", "my-task", "--data", prompts)
        shown = lorasmith(*command, "--system", "Be brief.").stdout
        assert "20 of 20 equal" in shown
        assert "my-task in Ollama at" in shown
        assert "5 of 5 equal" in shown, "Ollama's own answers"
        assert list(server.models) == ["my-task"], "nothing is left of the trial"
        made = server.models["my-task"]
        assert made["parameters"]["repeat_penalty"] == 1
        assert made["parameters"]["temperature"] == 0
        assert (
            made["parameters"]["num_ctx"]
            == json.loads((tiny_llama / "config.json").read_text())["max_position_embeddings"]
        )
        assert made["parameters"]["stop"][0] == "<|im_end|>"
        assert made["system"] == "Be brief."
        text = next(home.glob("exports/*/Modelfile")).read_text()
        assert text.startswith("FROM ./my-task-Q8_0.gguf\nTEMPLATE")
        assert 'PARAMETER stop "<|im_end|>"' in text
        assert "PARAMETER repeat_penalty 1" in text
        posts = [one for one in server.seen if one.startswith("POST /api/blobs")]
        lorasmith(*command, "--system", "Be brief.")
        assert [one for one in server.seen if one.startswith("POST /api/blobs")] == posts
        assert "my-task" in lorasmith("ollama", "list").stdout
        lorasmith("ollama", "remove", "my-task", "--yes")
        assert not server.models
        assert "not found" in lorasmith("ollama", "remove", "my-task", "--yes", code=3).stderr


@needs_llama
def test_ollamas_troubles_are_told(tmp_path: Path, monkeypatch: Any) -> None:
    """EXP-3: not running, an error in the middle, other answers or none, HTTP errors, a name that it would not take."""
    rows = [{"prompt": f"Repeat: {one}", "completion": one} for one in ("north 4", "ALPHA 12")]
    asked: dict[str, Any] = {
        "to": "ollama", "quantize": "f32", "out": str(tmp_path / "out"), "data": str(write_rows(tmp_path / "rows.jsonl", rows)),
    }  # fmt: skip
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(EnvironmentProblem, match=r"Ollama does not answer at http://127\.0\.0\.1:9"):
        flow.export("demo", name="m", **asked)
    assert not (tmp_path / "out").exists(), "no minutes are spent on a file before"
    with pytest.raises(UsageProblem, match="cannot be a model"):
        flow.export("demo", name="a/b", **asked)
    with ollama(monkeypatch) as server:
        server.trouble = "create"
        with pytest.raises(EnvironmentProblem, match="unsupported architecture"):
            flow.export("demo", name="m", **asked)
        users = {"template": "the user's own"}
        server.models["m"] = users
        for trouble, problem, says in (
            ("silent", DataProblem, "'m' does not answer in Ollama"),
            ("other", DataProblem, "2 of 2 answers are worded otherwise: to .* 'Something else.' as exported"),
            ("broken", EnvironmentProblem, "llama runner process has terminated"),
            ("page", EnvironmentProblem, "is not Ollama"),
        ):
            server.trouble = trouble
            with pytest.raises(problem, match=says):
                flow.export("demo", name="m", **asked)
            assert server.models == {"m": users}, "a model of that name stays as it was, and no trial is left"
        server.trouble = "other"
        report = flow.export("demo", name="m", allow_mismatch=True, **asked)
        assert report.parity is not None
        assert not report.parity.is_equal
        assert server.models["m"] is not users


@needs_llama
def test_ollama_repeats_what_the_trained_model_repeats(tmp_path: Path, monkeypatch: Any) -> None:
    """EXP-3, EXP-4: long repetitions, which a penalty would spoil; without llama-server Ollama is who reads the file back."""
    from lorasmith.exports.targets import gguf
    from lorasmith.exports.targets import ollama as target

    words = ["7777777777 7777777777", "ABABABAB ABABABAB", "Ember Foods Ember Foods Ember Foods"]
    data = write_rows(tmp_path / "repeat.jsonl", [{"prompt": f"Repeat: {one}", "completion": one} for one in words])
    asked: dict[str, Any] = {"to": "ollama", "quantize": "f32", "data": str(data), "out": str(tmp_path / "out")}
    monkeypatch.setattr(gguf, "server_command", list)
    with ollama(monkeypatch) as server:
        report = flow.export("demo", **asked)
        assert report.parity is not None
        assert (report.parity.reader, report.parity.rows, report.parity.same_texts) == ("Ollama", [], 3)
        assert list(server.models) == ["demo"]
        own = target._parameters

        def theirs(*given: Any) -> Any:
            return own(*given) | {"repeat_penalty": 3.0}

        monkeypatch.setattr(target, "_parameters", theirs)
        before = dict(server.models)
        with pytest.raises(DataProblem, match="answers are worded otherwise"):
            flow.export("demo", **asked)
        assert server.models == before


LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}{% for m in messages %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
DATED = "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}"


@pytest.mark.parametrize(
    "source", [*TEMPLATES.values(), LLAMA3, QWEN, GEMMA], ids=[*TEMPLATES, "llama3", "qwen", "gemma"]
)
def test_a_chat_template_is_said_in_ollamas_language(tiny_llama: Path, tmp_path: Path, source: str) -> None:
    """EXP-3: the template in Go's words writes what Jinja wrote, for conversations that it was not made from."""
    from tests.stand_in_ollama import rendered

    (tmp_path / "own.jinja").write_text(source)
    tokenizer = load_tokenizer(tiny_llama, template=str(tmp_path / "own.jinja"))
    turns = turns_of(tokenizer, adds_bos=False)
    for talk in (
        [("user", "Hi {{ there }}")], [("system", "S"), ("user", "U")],
        [("user", "1"), ("assistant", "2\n"), ("user", "3"), ("assistant", "4"), ("user", "5")],
    ):  # fmt: skip
        messages: Any = [{"role": role, "content": content} for role, content in talk]
        assert rendered(turns.template(), list(messages), turns.default_system) == tokenizer.render(
            messages, prompt=True
        )


def test_a_template_that_ollama_cannot_say_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    """EXP-3: turns that depend on where they stand."""
    (tmp_path / "own.jinja").write_text(DATED)
    with pytest.raises(UsageProblem, match="cannot be said in"):
        turns_of(load_tokenizer(tiny_llama, template=str(tmp_path / "own.jinja")), adds_bos=False)


def test_nan_in_an_adapter_stops_an_export(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    """EXP-1"""
    file = adapter / "adapter_model.safetensors"
    save_file({name: weight * float("nan") for name, weight in load_file(file).items()}, file)
    with pytest.raises(UsageProblem, match="no finite numbers"):
        flow.export(str(tiny_llama), adapter=str(adapter), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
