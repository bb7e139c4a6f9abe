"""How likely a model finds given tokens, without an array of all tokens times the vocabulary, nor of all learnt ones times it.

The head runs at the places that are asked for. Where it is a frozen linear layer with at most a scale or a cap after it, it also
runs a few tokens at a time, and the gradient of each few is computed along the way: logits of T tokens and V words in fp32, their
logarithms and their gradients would be 12·T·V bytes, 1.5 GB for 1,000 tokens and 128,000 words. Loss and gradients are the same.
(torch's own `linear_cross_entropy` gives the loss in the weights' format, in bfloat16 with three digits, and takes longer:
docs/lab-log.md.)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from lorasmith.core.facts import LOSS_TOKENS
from lorasmith.families._transformers import takes

_PROBE_TOKENS = 4
_IN_CACHE = 16
"""Tokens whose logits are gone through at a time: of 50,000 words in fp32 these are 3 MB."""
_AS_NEAR_AS = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""What is computed with the logits in fp32 here, and in their own format there; relative to the largest."""


class Tail(NamedTuple):
    """What a model does to its logits after the head: c · tanh(s · x / c), without a cap s · x."""

    scale: float = 1.0
    cap: float = 0.0

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        """In place."""
        logits.mul_(self.scale)
        return logits.div_(self.cap).tanh_().mul_(self.cap) if self.cap else logits


_PLAIN = Tail()
_TAILS: weakref.WeakKeyDictionary[nn.Module, Tail | None] = weakref.WeakKeyDictionary()
"""By head; None where it is something else."""


class Scores(NamedTuple):
    """Of each place: the negative log-likelihood of its target in nats and fp32, and whether none is likelier than the
    target."""

    nll: torch.Tensor
    hits: torch.Tensor


def scores_at(
    model: Any, inputs: dict[str, torch.Tensor], rows: torch.Tensor, columns: torch.Tensor, targets: torch.Tensor
) -> Scores:
    """How likely `model` finds `targets` (places) at the places (row, column) of what comes out for `inputs`."""
    head = _head(model)
    tail = _tail(model, head, inputs) if is_plain(head) else None
    if tail is None:
        return of_logits(logits_at(model, inputs, rows, columns), targets)
    kept: list[torch.Tensor] = []

    def none_of(states: torch.Tensor) -> torch.Tensor:
        kept.append(states[rows, columns])
        return states[:, :0]

    _called(model, inputs, head, none_of)
    with torch.autocast(targets.device.type, enabled=False):
        return Scores(*_Scores.apply(kept[0].to(head.weight.dtype), head.weight, head.bias, targets, tail))


def logits_at(model: Any, inputs: dict[str, torch.Tensor], rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Logits (places, classes) in fp32 at the places (row, column) of what comes out; a head that turns hidden states into a
    vocabulary runs at those only. Whatever the model does to its logits afterwards is done to these."""
    head = _head(model)
    if head is None:
        return model(**inputs).logits[rows, columns].float()
    return _called(model, inputs, head, lambda states: states[rows, columns]).float()


def is_plain(head: nn.Module | None) -> bool:
    """Whether a head is a frozen linear layer in an ordinary number format."""
    if type(head) is not nn.Linear or head.weight.requires_grad or not head.weight.is_floating_point():
        return False
    return type(head.weight.data) in (torch.Tensor, FakeTensor)


def has_unknown_tail(model: Any) -> bool:
    """Whether `model` was found to do something unknown to its logits, after a head that would be plain."""
    head = _head(model)
    return is_plain(head) and _TAILS.get(head, _PLAIN) is None


def _head(model: Any) -> Any:
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None


def _called(
    model: Any, inputs: dict[str, torch.Tensor], head: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The model's logits, where `head` is given `change` of its input."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in takes(bare) else {}
    hook = head.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))
    try:
        return model(**inputs, **options).logits
    finally:
        hook.remove()


@torch.no_grad()
def _tail(model: Any, head: nn.Module, inputs: dict[str, torch.Tensor]) -> Tail | None:
    """What `model` does to its logits: asked once, by a forward pass over `inputs` that nothing is learnt from."""
    if head not in _TAILS:
        said: list[torch.Tensor] = []
        hook = head.register_forward_hook(lambda _, __, output: said.append(output.clone()))
        was_training = model.training
        model.eval()  # dropout would draw numbers
        try:
            logits = _called(model, inputs, head, lambda states: states[:1, :_PROBE_TOKENS])
        finally:
            hook.remove()
            model.train(was_training)
        _TAILS[head] = next((tail for tail in _likely_tails(model) if _explains(tail, said, logits)), None)
    return _TAILS[head]


def _likely_tails(model: Any) -> list[Tail]:
    """By the names that configurations have for them: Gemma's cap; factors of Cohere, Falcon-H1 and Granite, which divides."""
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    factors = [getattr(config, name, None) for name in ("logit_scale", "lm_head_multiplier", "logits_scaling")]
    scales = [factor for factor in factors if isinstance(factor, int | float) and factor not in (0, 1)]
    named = [Tail(cap=float(cap))] if cap else [Tail(scale=one) for factor in scales for one in (factor, 1 / factor)]
    return [*named, _PLAIN]


def _explains(tail: Tail, said: list[torch.Tensor], logits: torch.Tensor) -> bool:
    """Whether `logits` are `tail` of what the head has `said`."""
    if len(said) != 1 or isinstance(logits, FakeTensor):  # which hold nothing to compare
        return len(said) == 1
    if tail == _PLAIN:
        return torch.equal(said[0].float(), logits.float())
    within = _AS_NEAR_AS[said[0].dtype] * float(logits.abs().max())
    return torch.allclose(tail.of(said[0].float().clone()), logits.float(), rtol=0, atol=within)


def of_logits(logits: torch.Tensor, targets: torch.Tensor) -> Scores:
    """By whole logits (places, classes) in fp32."""
    nll = nn.functional.cross_entropy(logits, targets, reduction="none")
    own = logits.detach().gather(-1, targets[..., None])[..., 0]
    return Scores(nll, own == logits.detach().amax(-1))


class _Scores(torch.autograd.Function):
    """−log softmax(y)ₜ of y = tail(W·x), and its gradient Wᵀ·(tail′·(softmax(y) − 1ₜ)), which is known as soon as the loss is: no
    logits are kept for the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        tail: Tail,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nll = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        hits = torch.empty(len(targets), dtype=torch.bool, device=states.device)
        gradient = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        at_once = LOSS_TOKENS * 4 // weight.element_size()
        held = weight.new_empty(min(len(targets), at_once), len(weight))
        for start in range(0, len(targets), at_once):
            few = slice(start, start + at_once)
            logits = _logits(states[few], weight, bias, held[: len(targets[few])])
            nll[few], hits[few] = _scored(logits, targets[few], tail, with_gradient=gradient is not None)
            if gradient is not None:
                torch.mm(logits, weight, out=gradient[few])
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(hits)
        return nll, hits

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * outer[:, None].to(gradient.dtype), None, None, None, None


def _logits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> torch.Tensor:
    """Of a few tokens, into `out`: memory that was touched before takes a third of the time of fresh memory."""
    if bias is not None:
        return torch.addmm(bias, states, weight.T, out=out)
    return torch.mm(states, weight.T, out=out)


def _scored(
    logits: torch.Tensor, targets: torch.Tensor, tail: Tail, *, with_gradient: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a few tokens by what the head said, in whose place the loss's gradient to it stands afterwards. It is computed in
    fp32, which in a smaller format is only ever in the processor's cache."""
    nlls, hits = [], []
    for said, wanted in zip(logits.split(_IN_CACHE), targets[:, None].split(_IN_CACHE), strict=True):
        few = tail.of(said.float())
        slope = (few / tail.cap).square_().neg_().add_(1) if tail.cap and with_gradient else None
        most, own = few.amax(-1, keepdim=True), few.gather(1, wanted)
        total = few.sub_(most).exp_().sum(-1, keepdim=True)
        nlls.append(total.log().add_(most - own))
        hits.append(own == most)
        if not with_gradient:
            continue
        few.div_(total).scatter_add_(1, wanted, -torch.ones_like(own))
        if slope is not None:
            few.mul_(slope)
        if tail.scale != 1:
            few.mul_(tail.scale)
        if few is not said:
            said.copy_(few)
    return torch.cat(nlls)[:, 0], torch.cat(hits)[:, 0]
