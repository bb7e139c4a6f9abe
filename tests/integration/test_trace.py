"""The plan's arithmetic against the model's own code, run on tensors without contents and its live bytes counted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from lorasmith.hub.maps import kept_maps
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import open_repository
from lorasmith.plan.memory import Training, inference_bytes, training_bytes
from lorasmith.plan.second_opinion import tensors_alone
from lorasmith.testing import shapes, tiny
from lorasmith.workers.trace import LiveBytes, trace_answer, trace_training

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by an old name
ROWS, LENGTH = 4, 120
# Small shapes, whose blocks are as those of their large kin; how far the plan may be from the trace.
EXACT = ("llama", "qwen2", "qwen3", "granite", "olmo", "smollm3")
NEAR = {
    "bert": 0.06,
    "roberta": 0.06,
    "sentence_transformers": 0.06,
    "bart": 0.11,
    "gpt_neox": 0.1,
    "falcon": 0.12,  # its keys are widened to all heads
    "vit": 0.07,
    "t5": 0.1,
    "trocr": 0.07,
    "donut": 0.1,
    "layoutlm": 0.03,
    "layoutlmv3": 0.08,
    "lilt": 0.08,
    "swin": 0.2,
}


def test_live_bytes_are_those_of_storages_that_are_held():
    """CHK-8: views count once, what is let go is counted no more, the peak stays."""
    with LiveBytes() as live:
        first = torch.zeros(1000)
        view = first.view(10, 100).t()
        second = first + 1
        held = live.live
        del second
        after = live.live
        del first, view
    assert (held, after, live.live, live.peak) == (8000, 4000, 0, 8000)


@pytest.mark.parametrize(
    ("name", "dropout"),
    [*((name, True) for name in (*EXACT, *NEAR)), ("llama", False), ("vit", False), ("bert", False)],
)
def test_what_is_planned_is_what_the_code_keeps(tmp_path, name, dropout):
    """CHK-8, CHK-9: LoRA at every linear layer, with and without dropout before it."""
    folder = tiny.build(name, tmp_path / name)
    facts = recognise(open_repository(str(folder))).facts
    how = Training("lora", ROWS, LENGTH, "float32", rank=8, dropout=dropout, supervised=0.5, tight=True)
    need, traced = training_bytes(facts, how), trace_training(folder, facts.family, how)
    assert tensors_alone(need) == pytest.approx(traced.peak, rel=NEAR.get(name, 0.015))


def test_a_published_shape_is_planned_to_the_byte_almost(tmp_path):
    """CHK-7, CHK-8, CHK-9: SmolLM2-135M; its weights are never read, and need not be there."""
    folder = shapes.build("smollm2-135m", tmp_path / "model")
    facts = recognise(open_repository(str(folder))).facts
    (folder / "model.safetensors").unlink()
    how = Training("lora", 2, 256, "float32", rank=16, supervised=0.5, tight=True)
    need, traced = training_bytes(facts, how), trace_training(folder, facts.family, how)
    assert tensors_alone(need) == pytest.approx(traced.peak, rel=0.01)
    answer, seen = inference_bytes(facts, "float32", context=256, batch=2), trace_answer(folder, 2, 256, "float32")
    assert tensors_alone(answer) == pytest.approx(seen.peak, rel=0.01)


@pytest.mark.parametrize("side", [16, 32])
def test_a_unet_keeps_the_maps_that_are_planned(side):
    """CHK-8: Stable Diffusion's kind, LoRA at its attention."""
    import diffusers
    import peft

    config = {
        "sample_size": side, "block_out_channels": [64, 128], "layers_per_block": 2, "attention_head_dim": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "cross_attention_dim": 32,
    }  # fmt: skip
    unet = diffusers.UNet2DConditionModel(**config).requires_grad_(False)
    unet.add_adapter(peft.LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    live = LiveBytes()
    for weight in unet.parameters():
        live.count(weight)
    weights = live.live
    with live:
        out = unet(torch.zeros(2, 4, side, side), torch.zeros(2, dtype=torch.long), torch.zeros(2, 77, 32)).sample
        kept = live.live - weights
    assert out.requires_grad
    assert 2 * 4 * kept_maps({"unet/config.json": config}) == pytest.approx(kept, rel=0.15)


def test_a_check_asks_for_the_second_opinion(lorasmith, tiny_llama, tmp_path):
    """CHK-9: `--trace` tells both figures; of a model that asks its tensors what they hold it says why there is none."""
    done = lorasmith("check", tiny_llama, "--trace")
    assert "LoRA training in fp32, tensors alone: traced" in done.stdout
    report = json.loads(lorasmith("check", tiny_llama, "--trace", "--length", "128", "--json").stdout)
    train = report["memory"]["traced"]["train"]
    assert train["planned"] == pytest.approx(train["peak"], rel=0.05)
    mixed = tiny.build("mixtral", tmp_path / "mixtral")
    assert "cannot be traced: RuntimeError" in lorasmith("check", mixed, "--trace").stdout


def test_freed_blocks_go_back_to_the_system():
    """AUT-2: what `tight_memory` does, on glibc: half of the blocks freed is half of the memory given back."""
    code = """
import sys
from pathlib import Path
from lorasmith.workers.runtime import give_blocks_back
if sys.argv[1] == "tight": give_blocks_back()
import torch
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
for _ in range(3): torch.ones(2**22).add_(1)  # a freed large block teaches glibc to keep the next ones
before = resident()
blocks = [torch.ones(2**20) for _ in range(100)]
del blocks[::2]
print((resident() - before) // 2**20)
"""
    held = {
        mode: int(subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("tight", "roomy")
    }
    assert held["tight"] < 230
    assert held["roomy"] > 350
