"""A LoRA layer computed in one step is PEFT's layer: loss, every gradient, dropout, what it falls back for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.layer import Linear
from tests.trainings import losses_by_step, planned, reasons, train_here, weights
from transformers import AutoModelForCausalLM

from lorasmith.workers import joined, learner
from lorasmith.workers.dropout import SparseDropout, use_sparse_dropout
from lorasmith.workers.joined import JoinedLinear, join, part

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # PEFT asks by the old name
]
IDS = torch.arange(1, 41).view(2, 20) % 90


def adapted(folder: Path, *, dropout: float = 0.0, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    config = peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=dropout, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM",
        **options,
    )  # fmt: skip
    model = peft.get_peft_model(base, config)
    use_sparse_dropout(model)
    return model.train()


def learnt(model: Any, *, autocast: bool = False) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss, and the gradient of every weight that learns."""
    model.zero_grad()
    torch.manual_seed(1)  # what dropout draws
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
    loss.backward()
    return loss.item(), {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of a gradient, relative to that gradient's size."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).norm() / other[name].norm().clamp_min(1e-12)) for name in one)


@pytest.mark.parametrize("dropout", [0.0, 0.05, 0.4])
def test_loss_and_gradients_are_pefts(tiny_llama: Path, dropout: float) -> None:
    """TRN-2: fp32, with the same elements dropped; the input that other layers keep is as it was."""
    model = adapted(tiny_llama, dropout=dropout)
    plain = learnt(model)
    assert join(model) == sum(type(one) is JoinedLinear for one in model.modules()) > 10
    quick = learnt(model)
    assert quick[0] == pytest.approx(plain[0], rel=1e-6)
    assert apart(quick[1], plain[1]) < 1e-5
    part(model)
    assert not any(type(one) is JoinedLinear for one in model.modules())
    again = learnt(model)
    assert again[0] == plain[0]
    if dropout:  # it was drawn at all
        assert abs(learnt(adapted(tiny_llama))[0] - plain[0]) > 1e-4


@pytest.mark.parametrize(("dtype", "autocast"), [(torch.bfloat16, True), (torch.float32, True)])
def test_in_bfloat16_they_are_as_near_as_its_digits(tiny_llama: Path, dtype: torch.dtype, autocast: bool) -> None:
    """TRN-2: as the trainer computes in half precision; gradients stay in the adapter's own format."""
    model = adapted(tiny_llama, dropout=0.05, dtype=dtype)
    plain = learnt(model, autocast=autocast)
    join(model)
    quick = learnt(model, autocast=autocast)
    assert quick[0] == pytest.approx(plain[0], rel=1e-2)
    assert apart(quick[1], plain[1]) < 0.1
    assert {one.dtype for one in quick[1].values()} == {one.dtype for one in plain[1].values()}


def test_what_is_not_plain_goes_pefts_own_way(tiny_llama: Path) -> None:
    """TRN-2: DoRA, an adapter that is switched off or merged, several at once, no gradients: as before, to the bit."""
    dora = adapted(tiny_llama, use_dora=True)
    assert join(dora) == 0
    model = adapted(tiny_llama)
    plain = adapted(tiny_llama)
    join(model)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, plain(IDS).logits)
    with model.disable_adapter(), plain.disable_adapter():
        assert torch.equal(model(IDS).logits, plain(IDS).logits)
    for one in (model, plain):
        torch.manual_seed(5)
        one.add_adapter("second", peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
        one.base_model.set_adapter(["default", "second"])
    assert torch.equal(model(IDS).logits, plain(IDS).logits)
    model.merge_adapter()
    assert model(IDS).logits.requires_grad is False or torch.isfinite(model(IDS).logits).all()
    model.unmerge_adapter()
    assert isinstance(next(one for one in model.modules() if isinstance(one, Linear)), JoinedLinear)


def test_the_dropped_are_put_back(tiny_llama: Path) -> None:
    """TRN-2: checkpointing, where the way forward is gone twice, gives the same gradients."""
    model = adapted(tiny_llama, dropout=0.2)
    join(model)
    plain = learnt(model)
    model.base_model.model.activation_checkpointing_enable({"use_reentrant": False})
    again = learnt(model)
    assert again[0] == plain[0]
    assert apart(again[1], plain[1]) < 1e-6
    assert any(isinstance(one, SparseDropout) for one in model.modules())


def test_fifty_steps_are_pefts(tiny_llama: Path, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRN-2: the loss curve equals the plain path's within 1e-4 relative over 50 steps in fp32, dropout and all."""
    curves: list[dict[int, float]] = []
    for name in ("joined", "plain"):
        if name == "plain":
            monkeypatch.setattr(learner, "join", lambda _: 0)
        spec = planned(
            tiny_llama, sums, tmp_path / name, max_steps=50, lora_dropout=0.1, patience=99, learning_rate=2e-3
        )
        train_here(spec)
        assert not reasons(spec.run_folder, "not_joined")
        curves.append(losses_by_step(spec.run_folder))
    assert curves[0].keys() == curves[1].keys()
    assert len(curves[0]) == 50
    assert list(curves[0].values()) == pytest.approx(list(curves[1].values()), rel=1e-4)
    assert curves[0] != curves[1]  # they did go two ways


def test_a_model_that_it_does_not_suit_is_found_before_the_first_step(
    tiny_llama: Path, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-2: the self-check says so in one line, and what is learnt is what PEFT's layers learn, to the bit."""
    broken = planned(tiny_llama, sums, tmp_path / "broken", max_steps=3)
    plain = planned(tiny_llama, sums, tmp_path / "plain", max_steps=3)
    with monkeypatch.context() as patched:
        patched.setattr(learner, "join", lambda _: 0)
        train_here(plain)
    whole = joined.JoinedLinear.forward
    monkeypatch.setattr(joined.JoinedLinear, "forward", lambda self, x: 1.05 * whole(self, x))
    train_here(broken)
    assert reasons(broken.run_folder, "not_joined") == [
        "adapters are computed by PEFT's own layers: joined, this model learns otherwise"
    ]
    assert weights(broken.run_folder) == weights(plain.run_folder)
