"""A norm in fewer passes is the norm that it was; what only bears its name is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from lorasmith.testing import tiny
from lorasmith.workers.norms import _Quick, use_own_norms, use_quick_norms

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # PEFT asks by the old name
]
IDS = torch.arange(1, 41).view(2, 20) % 90


def learnt(model: Any) -> tuple[float, torch.Tensor]:
    """Loss, and the gradient of what the first layer is given."""
    states = model.get_input_embeddings()(IDS).detach().requires_grad_()
    loss = model(inputs_embeds=states, labels=IDS, use_cache=False).loss
    loss.backward()
    assert states.grad is not None
    return loss.item(), states.grad


@pytest.mark.parametrize("name", ["llama", "qwen3", "olmo2", "mistral", "smollm3"])
def test_loss_and_gradients_are_the_librarys(name: str, tmp_path: Path) -> None:
    """TRN-2: fp32, and the library's own again afterwards, to the bit."""
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.build(name, tmp_path / name), dtype=torch.float32)
    model.requires_grad_(False).train()
    plain = learnt(model)
    assert use_quick_norms(model) == sum(isinstance(one, _Quick) for one in model.modules()) > 2
    quick = learnt(model)
    assert quick[0] == pytest.approx(plain[0], rel=1e-6)
    assert float((quick[1] - plain[1]).norm() / plain[1].norm()) < 1e-5
    use_own_norms(model)
    again = learnt(model)
    assert again[0] == plain[0]
    assert torch.equal(again[1], plain[1])


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


def test_what_only_bears_the_name_is_left_alone() -> None:
    """TRN-2: other formulas, other number formats, weights that are not used."""
    assert use_quick_norms(WeightlessRMSNorm()) == 0
    assert use_quick_norms(OtherRMSNorm()) == 0
    norm = torch.nn.Module()
    norm.inner = OtherRMSNorm().to(torch.bfloat16)
    assert use_quick_norms(norm) == 0
