"""Every kind of adapter on a small Llama: it learns, is saved, and says the same on a fresh base (PRO-4)."""

from __future__ import annotations

import copy
import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from lorasmith import lora as public
from lorasmith import profiles
from lorasmith.core.errors import UsageProblem
from lorasmith.families import FAMILIES
from lorasmith.workers import lora

pytestmark = pytest.mark.usefixtures("one_thread")

# Rates at which fifteen steps show something: adapters of a few numbers want higher ones.
RATES = {
    "ia3": 0.1, "vera": 0.1, "fourierft": 0.05, "road": 0.1, "hira": 0.1, "c3a": 0.1, "boft": 0.05, "oft": 0.05, "hra": 0.05,
    "psoft": 0.05, "vblora": 0.05, "lora+": 3e-3,
}  # fmt: skip
STEPS = 15


class Plan(NamedTuple):
    """What of a training plan an adapter follows from."""

    variant: str = "lora"
    rank: int = 4
    alpha: float = 16.0
    dropout: float = 0.0
    use_rslora: bool = False
    target_modules: Any = "all-linear"
    modules_to_save: Any = ()
    steps: int = STEPS
    learning_rate: float = 1e-2
    device: str = "cpu"
    accumulation: int = 1


@cache
def _loaded(folder: Path, family: str) -> Any:
    return FAMILIES.get(family).load(folder, dtype="float32", device="cpu")


def load(folder: Path, *, family: str = "language") -> Any:
    """A model that nothing was put on yet."""
    return copy.deepcopy(_loaded(folder, family))


def in_4_bit(folder: Path) -> Any:
    return FAMILIES.get("language").load(folder, dtype="float32", device="cpu", quantization="4bit")


def batch() -> torch.Tensor:
    return torch.randint(5, 200, (4, 16), generator=torch.Generator().manual_seed(0))


def plan_of(variant: str, **changes: Any) -> Plan:
    return Plan(variant, learning_rate=RATES.get(variant, 1e-2))._replace(**changes)


def wrapped(folder: Path, plan: Plan) -> Any:
    torch.manual_seed(0)
    return lora.apply_lora(load(folder), plan, "owner/base")


def train(
    model: Any, plan: Plan, *, until: int = STEPS, after: int = 0, optimizer: Any = None
) -> tuple[list[float], Any]:
    """Losses of the steps from `after` to `until`, and the optimizer."""
    groups = lora.parameter_groups(model, plan) or [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = optimizer or torch.optim.AdamW(groups, lr=plan.learning_rate)
    model.train()
    ids, losses = batch(), []
    for step in range(after + 1, until + 1):
        logits = model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        more = lora.extra_loss(model, plan)
        (loss if more is None else loss + more).backward()
        optimizer.step()
        lora.after_step(model, plan, step)
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, optimizer


@torch.no_grad()
def answers(model: Any) -> torch.Tensor:
    return model.eval()(input_ids=batch()).logits


@pytest.mark.parametrize("variant", [name for name in profiles.VARIANTS if name != "qlora"])
def test_a_variant_learns_is_saved_and_says_the_same_on_a_fresh_base(variant, tiny_llama, tmp_path):
    """PRO-4"""
    untouched = answers(load(tiny_llama))
    plan = plan_of(variant)
    model = wrapped(tiny_llama, plan)
    losses, _ = train(model, plan)
    assert losses[-1] < losses[0] - 0.01
    learnt = answers(model)
    assert not torch.allclose(learnt, untouched, atol=1e-3)
    with lora.base_only(model):
        torch.testing.assert_close(answers(model), untouched, atol=1e-5, rtol=0)
    torch.testing.assert_close(answers(model), learnt, atol=0, rtol=0)
    lora.save_adapter(model, tmp_path / "a")
    reloaded = lora.load_adapters(load(tiny_llama), {"a": tmp_path / "a"})
    torch.testing.assert_close(answers(reloaded), learnt, atol=1e-5, rtol=0)
    again = wrapped(tiny_llama, plan)
    lora.restore_adapter(again, tmp_path / "a")
    torch.testing.assert_close(answers(again), learnt, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", [name for name in profiles.VARIANTS if name != "qlora"])
def test_a_checkpoint_of_a_variant_goes_on_bit_for_bit(variant, tiny_llama, tmp_path):
    """TRN-6, PRO-4"""
    plan = plan_of(variant, steps=8)
    unbroken = wrapped(tiny_llama, plan)
    train(unbroken, plan, until=8)
    model = wrapped(tiny_llama, plan)
    _, optimizer = train(model, plan, until=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path)  # as transformers' Trainer does
    lora.save_state(model, tmp_path)
    again = wrapped(tiny_llama, plan)
    lora.restore_adapter(again, tmp_path)
    groups = lora.parameter_groups(again, plan) or [weight for weight in again.parameters() if weight.requires_grad]
    fresh = torch.optim.AdamW(groups, lr=plan.learning_rate)
    fresh.load_state_dict(optimizer.state_dict())
    train(again, plan, until=8, after=4, optimizer=fresh)
    for (name, one), (_, other) in zip(unbroken.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_saved_adapter_names_its_base_by_the_id(tiny_llama, tmp_path):
    """TRN-7: while it is trained PEFT knows the base by its folder, and asks no Hub for it."""
    model = wrapped(tiny_llama, plan_of("lora"))
    lora.save_adapter(model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "owner/base"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_adalora_moves_rank_away(tiny_llama):
    """PRO-4: ranks shrink step by step, down to the rank asked for on average."""
    plan = plan_of("adalora", steps=20)
    model = wrapped(tiny_llama, plan)
    optimizer, seen = None, []
    for step in range(20):
        _, optimizer = train(model, plan, after=step, until=step + 1, optimizer=optimizer)
        seen.append(sum(lora.ranks(model).values()))
    started, wanted = 14 * 6, 14 * plan.rank
    assert seen[1] == 0  # nothing is moved while it warms up
    moved = [count for count in seen if count]
    assert started > moved[0] > moved[-1] == wanted
    assert moved == sorted(moved, reverse=True)
    assert len(set(lora.ranks(model).values())) > 1  # not the same everywhere


def test_adalora_keeps_its_sides_orthonormal(tiny_llama):
    """PRO-4: what its loss adds is what PEFT adds where the model computes the loss."""
    plan = plan_of("adalora", accumulation=2)
    model = wrapped(tiny_llama, plan)
    with_labels = model(input_ids=batch(), labels=batch())
    logits = with_labels.logits[:, :-1].flatten(0, 1)
    plain = torch.nn.functional.cross_entropy(logits, batch()[:, 1:].flatten())
    added = (with_labels.loss - plain).item()
    assert lora.extra_loss(model, plan).item() == pytest.approx(added / 2, rel=1e-4)
    assert lora.extra_loss(wrapped(tiny_llama, plan_of("lora")), plan_of("lora")) is None


def test_adalora_with_too_few_steps_is_refused(tiny_llama):
    """PRO-4"""
    with pytest.raises(UsageProblem, match="at least 4 steps"):
        wrapped(tiny_llama, plan_of("adalora", steps=3))


def test_the_b_matrices_of_lora_plus_learn_faster(tiny_llama):
    """PRO-4"""
    model = wrapped(tiny_llama, plan_of("lora+"))
    slow, fast = lora.parameter_groups(model, plan_of("lora+"))
    assert fast["lr"] == 16 * slow["lr"] == 16 * plan_of("lora+").learning_rate
    assert len(slow["params"]) == len(fast["params"]) == 14
    assert all(not part.any() for part in fast["params"])  # B starts at zero
    assert lora.parameter_groups(model, plan_of("lora")) is None


@pytest.mark.parametrize("variant", [name for name, one in profiles.VARIANTS.items() if one.on_quantized])
def test_what_is_said_to_train_over_a_base_in_4_bit_does(variant, tiny_llama):
    """PRO-4"""
    torch.manual_seed(0)
    plan = plan_of(variant)
    losses, _ = train(lora.apply_lora(in_4_bit(tiny_llama), plan, "base"), plan)
    assert losses[-1] < losses[0] - 0.01


@pytest.mark.parametrize("variant", [name for name, one in profiles.VARIANTS.items() if not one.on_quantized])
def test_what_cannot_train_over_a_base_in_4_bit_is_refused_with_what_can(variant, tiny_llama):
    """PRO-4"""
    with pytest.raises(UsageProblem, match="does not train over a base in 4 bit") as raised:
        lora.apply_lora(in_4_bit(tiny_llama), plan_of(variant), "base")
    assert "dora" in raised.value.fix


def test_qlora_over_whole_weights_and_an_unknown_variant_are_refused(tiny_llama):
    """PRO-4"""
    with pytest.raises(UsageProblem, match="4 bit, and this one is not"):
        wrapped(tiny_llama, plan_of("qlora"))
    with pytest.raises(UsageProblem, match="Did you mean 'dora'"):
        wrapped(tiny_llama, plan_of("dorra"))


def test_targets_that_do_not_exist_are_refused_with_those_that_do(tiny_llama):
    """PRO-2"""
    with pytest.raises(UsageProblem) as raised:
        wrapped(tiny_llama, plan_of("lora", target_modules="c_attn,c_proj"))
    assert "q_proj" in raised.value.fix
    with pytest.raises(UsageProblem, match="no module 'classifier'"):
        wrapped(tiny_llama, plan_of("lora", modules_to_save=["classifier"]))


def test_adapters_of_different_kinds_are_not_loaded_together(tiny_llama, tmp_path):
    """SRV-3"""
    for variant in ("lora", "vera"):
        lora.save_adapter(wrapped(tiny_llama, plan_of(variant)), tmp_path / variant)
    with pytest.raises(UsageProblem, match="different kinds"):
        lora.load_adapters(load(tiny_llama), {name: tmp_path / name for name in ("lora", "vera")})


@pytest.mark.parametrize("variant", ["pissa", "adalora"])
def test_two_adapters_that_began_differently_lie_side_by_side(variant, tiny_llama, tmp_path):
    """PRO-4: they are saved as plain LoRAs, so one base serves both, whatever they are called."""
    learnt = {}
    for name, kind in (("a", variant), ("q_proj", "lora")):
        model = wrapped(tiny_llama, plan_of(kind))
        train(model, plan_of(kind))
        lora.save_adapter(model, tmp_path / name)
        learnt[name] = answers(model)
    both = lora.load_adapters(load(tiny_llama), {name: tmp_path / name for name in learnt})
    for name, wanted in learnt.items():
        both.set_adapter(name)
        torch.testing.assert_close(answers(both), wanted, atol=1e-5, rtol=0)


_OWN = {"donut": "donut_", "trocr": "trocr_", "trocr_deit": "trocr_", "layoutlm": "layoutlm_", "layoutlmv3": "layoutlm_",
        "lilt": "layoutlm_", "llama": "llama_standard", "mistral": "mistral_efficient"}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, start in _OWN.items() for name in profiles.builtin() if name.startswith(start)]
    + [(kind, "universal") for kind in (*_OWN, "gpt2", "mixtral", "mamba", "t5", "whisper", "llava")],
)
def test_a_profile_finds_its_layers_in_a_model_of_its_kind(kind, name, tmp_path_factory):
    """PRO-1, PRO-3: by the headers and in the loaded model; what is trained is what the profile says."""
    from lorasmith.hub.locate import ModelPlace
    from lorasmith.hub.recognise import recognise
    from lorasmith.hub.repository import LocalRepository

    folder = _tiny(kind, tmp_path_factory.getbasetemp())
    facts = recognise(LocalRepository(ModelPlace(folder, kind))).facts
    profile = profiles.get(name)
    match = profiles.require_match(profile, facts)
    assert match.closeness == ("every model" if name == "universal" else "made for it")
    model = public.apply_lora(load(folder, family=facts.family), profile)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    adapted = {name.split(".lora_A", 1)[0].removeprefix("base_model.model.") for name in trained if ".lora_A" in name}
    assert adapted
    if name != "universal":
        named = [part for part in profile.target_modules if any(layer.endswith(part) for layer in adapted)]
        assert len(named) >= min(4, len(profile.target_modules))
    if name in {"donut_lightweight", "trocr_safe"}:
        assert all(layer.startswith("decoder.") for layer in adapted)
    if name == "trocr_extended":
        assert any(layer.startswith("encoder.") for layer in adapted)
    in_full = {name for name in trained if "modules_to_save" in name}
    assert bool(in_full) == bool(profile.modules_to_save)
    assert not any(
        head in layer for layer in adapted for head in ("lm_head", "classifier", "pooler", "output_projection")
    )


@cache
def _tiny(kind: str, folder: Path) -> Path:
    from lorasmith.testing import tiny

    return tiny.build(kind, folder / f"tiny-{kind}")


def test_an_adapter_for_layoutlm_keeps_its_classifier(tmp_path, tmp_path_factory):
    """PRO-1: the classifier is trained in full and comes back with the adapter."""
    folder = _tiny("layoutlm", tmp_path_factory.getbasetemp())
    model = public.apply_lora(load(folder, family="document"), public.get_layoutlm_config())
    ids, boxes = batch(), torch.zeros(4, 16, 4, dtype=torch.long)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.01)
    for _ in range(5):
        model(input_ids=ids, bbox=boxes, labels=ids % 5).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    lora.save_adapter(model, tmp_path)
    again = lora.load_adapters(load(folder, family="document"), {"default": tmp_path})
    with torch.no_grad():
        wanted = model.eval()(input_ids=ids, bbox=boxes).logits
        torch.testing.assert_close(again(input_ids=ids, bbox=boxes).logits, wanted, atol=1e-5, rtol=0)


def test_what_peft_is_given_can_be_had_without_touching_the_model(tiny_llama):
    """PRO-3"""
    model = load(tiny_llama)
    config = public.peft_config(model, "llama_standard")
    assert (config.r, config.lora_alpha, config.task_type) == (16, 32.0, "CAUSAL_LM")
    assert not hasattr(model, "peft_config")


def test_activations_are_computed_twice_where_that_can_be(tiny_llama, tmp_path_factory):
    """PRO-3, DOC-2: part by part; the embeddings need no gradients for it, and answers and gradients stay the same."""
    plain, saving = (public.apply_lora(load(tiny_llama), "llama_standard") for _ in range(2))
    saving.load_state_dict(plain.state_dict())
    assert public.apply_memory_optimizations(saving, embeddings_on_cpu=True) == [
        "activations of the model are computed twice"
    ]
    for model in (plain, saving):
        model.train()
        torch.manual_seed(0)
        model(input_ids=batch(), labels=batch()).loss.backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
    reader = load(_tiny("trocr", tmp_path_factory.getbasetemp()), family="document")
    done = public.apply_memory_optimizations(public.apply_lora(reader, "trocr_safe"))
    assert done == [f"activations of the {part} are computed twice" for part in ("encoder", "decoder")]
