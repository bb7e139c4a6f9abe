"""A part that is computed in fewer passes is the part that it was; what only bears its name is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, CohereConfig, CohereForCausalLM

from lorasmith.testing import tiny
from lorasmith.workers.quick import WAYS, use_own_parts, use_quick_parts

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # PEFT asks by the old name
]
STEPS = {"norms": "_NormBackward", "gates": "_GateBackward", "rotary": "_TurnBackward"}
"""What stands in the graph for each way."""
IDS = torch.arange(1, 41).view(2, 20) % 90


def learnt(model: Any) -> tuple[float, torch.Tensor, set[str]]:
    """Loss, the gradient of what the first layer is given, and the names of the steps of the graph."""
    states = model.get_input_embeddings()(IDS).detach().requires_grad_()
    loss = model(inputs_embeds=states, labels=IDS, use_cache=False).loss
    steps, left = {loss.grad_fn}, [loss.grad_fn]
    while left:
        new = {before for before, _ in left.pop().next_functions if before and before not in steps}
        steps |= new
        left += new
    loss.backward()
    assert states.grad is not None
    return loss.item(), states.grad, {type(step).__name__ for step in steps}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["llama", "qwen3", "olmo2", "mistral", "smollm3", "granite"])
def test_loss_and_gradients_are_the_librarys(name: str, way: str, tmp_path: Path) -> None:
    """TRN-2: fp32, and the library's own again afterwards, to the bit."""
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.build(name, tmp_path / name), dtype=torch.float32)
    model.requires_grad_(False).train()
    plain = learnt(model)
    assert use_quick_parts(model, (way,)) >= model.config.num_hidden_layers
    assert use_quick_parts(model, (way,)) == 0
    quick = learnt(model)
    assert quick[0] == pytest.approx(plain[0], rel=1e-6)
    assert float((quick[1] - plain[1]).norm() / plain[1].norm()) < 1e-5
    assert quick[2] - plain[2] == {STEPS[way]}
    use_own_parts(model)
    again = learnt(model)
    assert again[0] == plain[0]
    assert torch.equal(again[1], plain[1])


@pytest.mark.parametrize("way", WAYS)
def test_in_bfloat16_they_are_as_near_as_its_digits(way: str, tmp_path: Path) -> None:
    """TRN-2: eight bits of mantissa; the same steps are rounded."""
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.build("llama", tmp_path / "model"), dtype=torch.bfloat16)
    model.requires_grad_(False).train()
    plain = learnt(model)
    assert use_quick_parts(model, (way,)) >= model.config.num_hidden_layers
    quick = learnt(model)
    assert quick[2] - plain[2] == {STEPS[way]}
    assert quick[0] == pytest.approx(plain[0], rel=2e-3)
    assert float((quick[1] - plain[1]).float().norm() / plain[1].float().norm()) < 2e-2


def test_the_proofs_draw_nothing(tmp_path: Path) -> None:
    """TRN-2: what is random afterwards, dropout above all, is what it would have been."""
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.build("llama", tmp_path / "model"), dtype=torch.float32)
    model.requires_grad_(False)
    before = torch.get_rng_state()
    assert use_quick_parts(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_all_ways_at_once_answer_and_learn_as_the_library_does(tmp_path: Path) -> None:
    """TRN-2: and where nothing learns, the library's own answers, to the bit."""
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.build("llama", tmp_path / "model"), dtype=torch.float32)
    model.requires_grad_(False).train()
    plain = learnt(model)
    with torch.no_grad():
        answers = model(input_ids=IDS).logits
    use_quick_parts(model)
    assert learnt(model)[0] == pytest.approx(plain[0], rel=1e-6)
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, answers)


class OtherRMSNorm(nn.Module):
    """As Gemma's: one and the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.randn(16)), 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


class WeightlessRMSNorm(OtherRMSNorm):
    """As FalconMamba's: its weight is there, and not used."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.ones_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


class OtherGate(nn.Module):
    """As gpt-oss's: cut off where it is large."""

    def __init__(self, act: nn.Module, most: float | None = None) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)
        self.act_fn, self.most = act, most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = self.gate_proj(x)
        return self.down_proj(self.act_fn(gate if self.most is None else gate.clamp(max=self.most)) * self.up_proj(x))


def test_what_only_bears_the_name_is_left_alone() -> None:
    """TRN-2: other formulas, other number formats, weights that are not used."""
    assert use_quick_parts(WeightlessRMSNorm()) == 0
    assert use_quick_parts(OtherRMSNorm()) == 0
    norm = torch.nn.Module()
    norm.inner = OtherRMSNorm().to(torch.float16)
    assert use_quick_parts(norm) == 0
    assert use_quick_parts(OtherGate(nn.SiLU())) == 1
    assert use_quick_parts(OtherGate(nn.GELU())) == 0
    assert use_quick_parts(OtherGate(nn.SiLU(), most=3.0)) == 0
    assert use_quick_parts(OtherGate(nn.SiLU()).to(torch.float16)) == 0


def test_a_rotary_embedding_of_other_pairs_is_left_alone() -> None:
    """TRN-2: Cohere's turns neighbours, not halves."""
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 99,
    }
    model: Any = CohereForCausalLM(CohereConfig(**shape, num_key_value_heads=2, pad_token_id=0))
    assert use_quick_parts(model, ("rotary",)) == 0
