"""Losses over a vocabulary a few tokens at a time: what models do to their logits is found out, and what is unknown is left alone."""

from __future__ import annotations

import gc
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from tests.trainings import losses_by_step, planned, reasons, train_here
from transformers import AutoModelForCausalLM

from lorasmith.families import _head
from lorasmith.testing import tiny
from lorasmith.workers.measure import answer_scores, row_losses
from lorasmith.workers.rows import Rows

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.arange(5, 45).view(2, 20)
CHANGES = {
    "gemma2": {"final_logit_softcapping": 1.5},
    "granite": {"logits_scaling": 8.0},
}


def model_of(folder: Path, **changes: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **changes).requires_grad_(False)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)  # far from where a cap does nothing
    return model


def learnt(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of each token, and the gradient of what the model reads."""
    read = model.get_input_embeddings()(IDS).detach().requires_grad_()
    hook = model.get_input_embeddings().register_forward_hook(lambda *_: read)
    scores, _ = answer_scores(model, {"input_ids": IDS, "labels": IDS})
    (gradient,) = torch.autograd.grad(scores.nll.sum(), read)
    hook.remove()
    return scores.nll.detach(), gradient


def whole(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    read = model.get_input_embeddings()(IDS).detach().requires_grad_()
    logits = model(inputs_embeds=read, use_cache=False).logits[:, :-1].flatten(0, 1)
    nll = torch.nn.functional.cross_entropy(logits, IDS[:, 1:].flatten(), reduction="none")
    return nll.detach(), torch.autograd.grad(nll.sum(), read)[0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_head, "LOSS_TOKENS", 7)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", CHANGES)
def test_a_cap_or_a_scale_is_found_and_walked_back(name: str, tmp_path: Path) -> None:
    """TRN-2: losses and gradients are those of the model's own logits."""
    tiny.build(name, tmp_path / name)
    model = model_of(tmp_path / name, **CHANGES[name])
    ours, theirs = learnt(model), whole(model)
    assert _head._TAILS[model.get_output_embeddings()] != _head.Tail()
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-5 * float(theirs[1].abs().max()))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "tail", [_head.Tail(), _head.Tail(cap=1.5), _head.Tail(scale=0.125)], ids=["plain", "cap", "scale"]
)
@pytest.mark.parametrize("has_bias", [False, True])
def test_in_bfloat16_logits_are_rounded_once_and_scored_in_fp32(tail: _head.Tail, *, has_bias: bool) -> None:
    """TRN-2, SPD-5: the losses of the same rounded logits, to fp32's digits; the gradient as near as bfloat16's."""
    draws = torch.Generator().manual_seed(3)
    states = torch.randn(60, 24, generator=draws).bfloat16().requires_grad_()
    weight = torch.randn(97, 24, generator=draws).bfloat16()
    bias = torch.randn(97, generator=draws).bfloat16() if has_bias else None
    targets = torch.randint(97, (60,), generator=draws)
    nll, hits = _head._Scores.apply(states, weight, bias, targets, tail)
    (gradient,) = torch.autograd.grad(nll.sum(), states)
    rounded = torch.nn.functional.linear(states.detach(), weight, bias).float().requires_grad_()
    logits = tail.scale * rounded
    logits = tail.cap * torch.tanh(logits / tail.cap) if tail.cap else logits
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    (slope,) = torch.autograd.grad(plain.sum(), rounded)
    torch.testing.assert_close(nll, plain.detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(hits, logits.argmax(-1) == targets)
    wanted = slope @ weight.float()
    assert float((gradient.float() - wanted).norm() / wanted.norm()) < 5e-3


@pytest.mark.usefixtures("few")
def test_what_is_done_to_logits_by_no_known_name_is_done_to_whole_ones(tiny_llama: Path) -> None:
    """TRN-2: the self-check finds it, once, and the loss is the model's own."""
    model = model_of(tiny_llama)
    own = model.forward

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        output = own(*given, **named)
        output.logits = output.logits + 0.1 * output.logits.square()
        return output

    model.forward = MethodType(changed, model)
    ours, theirs = learnt(model), whole(model)
    assert _head.has_unknown_tail(model)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-5 * float(theirs[1].abs().max()))


def test_a_head_that_learns_gets_its_gradient(tiny_llama: Path) -> None:
    """TRN-2: full training, and adapters on the head, go the whole way."""
    model = model_of(tiny_llama).requires_grad_(True)
    scores, _ = answer_scores(model, {"input_ids": IDS, "labels": IDS})
    scores.nll.sum().backward()
    assert not _head.is_plain(model.get_output_embeddings())
    assert model.get_output_embeddings().weight.grad.abs().sum() > 0


def test_no_more_logits_than_of_a_few_tokens_are_alive(tiny_llama: Path) -> None:
    """SPD-5: neither while it learns nor while it measures is there a tensor of all learnt tokens times the vocabulary."""
    model = model_of(tiny_llama)
    vocabulary, seen = model.config.vocab_size, []
    ids = torch.arange(5, 95).repeat(8).view(4, 180)
    rows = Rows.of(_row(row.tolist()) for row in ids)

    class Widest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            seen.extend(
                one.numel() for one in torch.utils._pytree.tree_leaves(out)
                if isinstance(one, torch.Tensor) and one.shape[-1:] == (vocabulary,) and one.is_floating_point()
            )  # fmt: skip
            return out

    with Widest():
        answer_scores(model, {"input_ids": ids, "labels": ids})
        row_losses(model, rows, batch_tokens=720, pad=0, device="cpu")
    assert 0 < max(seen) <= _head.LOSS_TOKENS * vocabulary
    gc.collect()


def _row(ids: list[int]) -> Any:
    from lorasmith.data.render import TokenRow

    return TokenRow(ids, [(1, len(ids))], len(ids))


def test_fifty_steps_are_those_of_whole_logits(
    tiny_llama: Path, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-2: the loss curve equals the plain path's within 1e-4 relative over 50 steps in fp32."""
    curves: list[dict[int, float]] = []
    for name in ("few", "whole"):
        if name == "whole":
            monkeypatch.setattr(_head, "is_plain", lambda _: False)
        monkeypatch.setattr(_head, "LOSS_TOKENS", 7)
        spec = planned(tiny_llama, sums, tmp_path / name, max_steps=50, patience=99, learning_rate=2e-3)
        train_here(spec)
        curves.append(losses_by_step(spec.run_folder))
        assert not reasons(spec.run_folder, "whole_logits")
    assert len(curves[0]) == 50
    assert list(curves[0].values()) == pytest.approx(list(curves[1].values()), rel=1e-4)


def test_a_training_says_when_logits_are_whole(
    tiny_llama: Path, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-2: one line, for a model that the fast path does not know."""
    monkeypatch.setattr(_head, "_explains", lambda *_: False)
    spec = planned(tiny_llama, sums, tmp_path / "run", max_steps=2)
    train_here(spec)
    assert reasons(spec.run_folder, "whole_logits") == [
        "the logits of all learnt tokens are held at once: this model changes them in a way that is not known here"
    ]
