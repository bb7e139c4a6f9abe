"""Adapters that were made elsewhere, put to use here: of plain PEFT, of kohya's scripts, of another lorasmith, on 4-bit bases."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tests.adapters import plain_adapter
from tests.conftest import Run
from tests.integration.test_drawing_adapters import drawn, kohya_file, pipeline_of, put_on
from tests.servers import serving
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from lorasmith import flow
from lorasmith.core.errors import UsageProblem
from lorasmith.core.events import Warn
from lorasmith.demo import MODEL_FOLDER
from lorasmith.exports.launch import export
from lorasmith.hub.bases import is_quantized_form
from lorasmith.hub.recognise import know_model
from lorasmith.workers.lora import load_adapters

IDS = torch.tensor([[1, 5, 60, 70, 80, 90, 100]])
pytestmark = pytest.mark.usefixtures("one_thread")


def trained_by_peft(base: Any, folder: Path) -> Path:
    """A LoRA that a loop of plain PEFT and torch has taught to say the same tokens."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own, of what transformers 5 has renamed
        model = get_peft_model(base, config)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=3e-2)
    losses: list[float] = []
    for _ in range(60):
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def beside(model: Path, target: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (model / name).exists():
            shutil.copyfile(model / name, target / name)
    return target


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """The demo model with its weights stored in 4 bit."""
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, quantization_config=config, device_map="cpu")
    model.save_pretrained(tmp_path / "demo-4bit")
    return beside(MODEL_FOLDER, tmp_path / "demo-4bit")


def test_what_plain_peft_trained_is_taken_in_and_served(tiny_llama: Path, tmp_path: Path, home: Path) -> None:
    """ADP-1, ADP-2: it answers over HTTP as transformers and PEFT have it answer."""
    theirs = trained_by_peft(AutoModelForCausalLM.from_pretrained(tiny_llama), tmp_path / "theirs")
    flow.import_adapter(str(theirs), base=str(tiny_llama), name="mine")
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer("What is two?", return_tensors="pt").input_ids
    model = load_adapters(AutoModelForCausalLM.from_pretrained(tiny_llama), {"theirs": theirs})
    with torch.inference_mode():
        said = model.generate(input_ids=ids, do_sample=False, max_new_tokens=12, eos_token_id=None)
    wanted = tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)
    asked = {"prompt": "What is two?", "raw": True, "max_tokens": 12, "temperature": 0}
    with serving(tiny_llama, home, "--adapter", "mine") as server:
        texts = [server.post("/generate", asked | {"adapter": one}).body["text"] for one in ("mine", "base")]
    assert wanted.startswith(texts[0])
    assert texts[0] != texts[1]


def test_what_kohyas_scripts_wrote_is_taken_in_and_served(
    every_tiny_model: dict[str, Path], tmp_path: Path, home: Path
) -> None:
    """ADP-1, SRV-1: the pictures are those of the pipeline with the adapter put on, and not those of the base."""
    folder = every_tiny_model["stable_diffusion"]
    flow.import_adapter(str(kohya_file(folder, tmp_path / "style.safetensors")), base=str(folder), name="style")
    asked = {"prompt": "a fox", "steps": 2, "width": 64, "height": 64, "seed": 1}
    with serving(folder, home, "--adapter", "style") as server:
        told = [server.post("/generate", asked | {"adapter": one}).body for one in ("style", "base", "style")]
    pictures = [one["images"][0]["data"] for one in told]
    assert pictures[0] == pictures[2] != pictures[1]


def test_diffusers_reads_what_is_exported(every_tiny_model: dict[str, Path], tmp_path: Path) -> None:
    """EXP-5: an adapter that was taken in, exported alone: `load_lora_weights` of the folder draws as it does here."""
    folder = every_tiny_model["stable_diffusion"]
    taken = flow.import_adapter(str(kohya_file(folder, tmp_path / "style.safetensors")), base=str(folder), name="style")
    out = tmp_path / "out"
    report = flow.export(str(folder), adapter="style", to="hub", dry_run=True, out=str(out))
    assert "pytorch_lora_weights.safetensors" in report.files
    assert (out / "README.md").read_text().count("# style\n") == 1
    theirs = pipeline_of(folder)
    theirs.load_lora_weights(out, weight_name="pytorch_lora_weights.safetensors")
    assert abs(drawn(theirs) - drawn(put_on(pipeline_of(folder), taken.folder))).max() < 1e-5
    assert abs(drawn(theirs) - drawn(pipeline_of(folder))).max() > 1e-4


def test_diffusers_reads_what_is_made_of_adapters(
    every_tiny_model: dict[str, Path], tmp_path: Path, home: Path
) -> None:
    """ADP-3, ADP-4: a combination, and what was made smaller, are in diffusers' form without the base at hand."""
    folder = every_tiny_model["stable_diffusion"]
    for name in ("one", "two"):
        flow.import_adapter(str(kohya_file(folder, tmp_path / f"{name}.safetensors")), base=str(folder), name=name)
    both = flow.combine(adapters=("one", "two"), name="both")
    small = flow.resize("both", name="small", rank=2)
    for made in (both.folder, small.folder):
        theirs = pipeline_of(folder)
        theirs.load_lora_weights(made, weight_name="pytorch_lora_weights.safetensors")
        assert abs(drawn(theirs) - drawn(put_on(pipeline_of(folder), made))).max() < 1e-5
        assert abs(drawn(theirs) - drawn(pipeline_of(folder))).max() > 1e-4


def test_an_adapter_of_a_base_in_4_bit_is_merged_into_the_whole_one(
    tiny_llama: Path, quantized: Path, tmp_path: Path, home: Path
) -> None:
    """ADP-1, ADP-3: taken in for a base whose weights are stored in 4 bit, trained on it, and merged into the files in 16 bit."""
    theirs = trained_by_peft(AutoModelForCausalLM.from_pretrained(quantized), tmp_path / "theirs")
    taken = flow.import_adapter(str(theirs), base=str(quantized), name="mine")
    assert json.loads((taken.folder / "manifest.json").read_text())["base"]["quantization"] == "bitsandbytes"
    with pytest.raises(UsageProblem, match="stored quantized"):
        flow.export(str(quantized), adapter="mine", out=str(tmp_path / "out"))
    heard: list[str] = []
    report = export(
        "demo", adapter="mine", out=str(tmp_path / "out"), prompts=4,
        on_event=lambda event: heard.append(event.message) if isinstance(event, Warn) else None,
    )  # fmt: skip
    assert any("whose weights are stored quantized" in one for one in heard)
    assert report.parity is not None
    assert report.parity.is_equal
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {one.dtype for one in weights.values()} == {torch.float16}
    wanted = load_adapters(AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32), {"a": theirs})
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.inference_mode():
        assert torch.allclose(merged(IDS).logits, wanted(IDS).logits, atol=2e-2)
    plain = plain_adapter(tiny_llama, tmp_path / "plain", base="acme/other")
    assert not is_quantized_form(plain, know_model("demo")), "nothing tells that its base is stored quantized"


def test_what_is_known_of_an_adapter_comes_with_it(tiny_llama: Path, tmp_path: Path, lorasmith: Run) -> None:
    """ADP-1: parameters, data and scores of a training elsewhere; what makes no sense there is left behind; folders are shown too."""
    theirs = plain_adapter(tiny_llama, tmp_path / "theirs" / "lora")
    known = {
        "parameters": {"method": {"value": "qlora", "reason": "of 4 bit"}}, "dataset": {"num_train": 272}, "seed": 3,
        "final_metrics": {"val_loss": 0.25}, "comparison": {"rows": 28}, "versions": "none", "hardware": {"cpu": "theirs"},
    }  # fmt: skip
    (theirs / "manifest.json").write_text(json.dumps(known))
    lorasmith("adapters", "import", tmp_path / "theirs", "--base", tiny_llama, "--name", "mine")
    shown = json.loads(lorasmith("adapters", "show", "mine", "--json").stdout)
    assert (shown["method"], shown["scores"], shown["origin"]) == ("qlora", {"val_loss": 0.25}, "imported")
    kept = json.loads((Path(shown["folder"]) / "manifest.json").read_text())
    assert {name: kept.get(name) for name in known} == known | {"versions": None, "hardware": None}
    for place in (tmp_path / "theirs", theirs):
        assert "val loss 0.25" in lorasmith("adapters", "show", place).stdout
    assert "Known: mine" in lorasmith("adapters", "show", "nobody", code=3).stderr


def test_adapters_of_a_base_that_is_not_here_are_worked_on_without_a_network(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lorasmith: Run
) -> None:
    """ADP-3, ADP-4: their own matrices are enough."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    one, two = (
        plain_adapter(tiny_llama, tmp_path / name, base="acme/model", seed=seed) for seed, name in enumerate("ab")
    )
    assert "both: lora of rank 16" in lorasmith("adapters", "combine", one, two, "--name", "both").stdout
    assert "rank 16 → 4" in lorasmith("adapters", "resize", "both", "--rank", "4").stdout
    refused = lorasmith("adapters", "resize", "both", "--rank", "16", code=2).stderr
    assert "is of rank 16, and 16 is not smaller" in refused
    assert not os.path.lexists(Path(os.environ["LORASMITH_HOME"]) / "adapters" / "both-r16")


def test_dare_drops_what_it_says(tiny_llama: Path, tmp_path: Path) -> None:
    """ADP-3: half of each adapter's values, drawn by the seed; the others are scaled up for them (arXiv 2311.03099)."""
    sources = [plain_adapter(tiny_llama, tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    names = tuple(map(str, sources))

    def combined(name: str, seed: int) -> dict[str, torch.Tensor]:
        made = flow.combine(adapters=names, name=name, method="dare_linear", density=0.5, weights="0.5,0.5", seed=seed)
        return load_file(made.folder / "adapter_model.safetensors")

    found, again, other = combined("one", 1), combined("same", 1), combined("other", 2)
    states = [load_file(one / "adapter_model.safetensors") for one in sources]
    zeros = total = 0
    for name, side in found.items():
        assert torch.equal(side, again[name])
        first, second = (
            state[name] / 0.5 for state in states
        )  # 2 of alpha / rank · 0.5 of its weight · 1 / density, under a root
        likely = torch.stack([torch.zeros_like(side), first, second, first + second])
        assert (likely - side).abs().min(0).values.max() < 1e-5
        zeros, total = zeros + int((side == 0).sum()), total + side.numel()
    assert 0.2 < zeros / total < 0.3
    assert any(not torch.equal(found[name], other[name]) for name in found)
