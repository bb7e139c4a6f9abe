"""SiLU-gated layers in few passes over memory: on a CPU they are bound by them, and the libraries' own takes 14, there and back.

y = silu(a)·b, silu(a) = a·σ(a) (arXiv 2002.05202); with g = ∂y: ∂b = g·silu(a), ∂a = g·b·σ(a)·(1 + a·(1 − σ(a))). It is
computed a block of tokens at a time, so that what is in between stays in the processor's cache, and silu(a) anew on the way back:
only the two inputs are kept, where the libraries keep a third.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from lorasmith.workers.blocks import blocks

_PROOF = (3, 5)
_NEAR = 1e-5
_KINDS = (torch.float32, torch.bfloat16)
_LAYERS = ("gate_proj", "up_proj", "down_proj", "act_fn")


class _Gate(torch.autograd.Function):
    """silu(`a`)·`b`, both of shape (…, width)."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        found = torch.empty_like(a)
        for gate, up, out in zip(blocks(a), blocks(b), blocks(found), strict=True):
            torch.mul(nn.functional.silu(gate), up, out=out)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        a, b = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_a, of_b = torch.empty_like(a), torch.empty_like(b)
        parts = (blocks(one) for one in (a, b, gradient, of_a, of_b))
        for gate, up, outer, to_a, to_b in zip(*parts, strict=True):
            torch.mul(outer, nn.functional.silu(gate), out=to_b)
            torch.ops.aten.silu_backward.grad_input(outer * up, gate, grad_input=to_a)
        return of_a, of_b


class _Quick:
    """Mixed into the class of a gated layer: computes it in this way while something learns from it."""

    def forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not torch.is_grad_enabled():
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        return self.down_proj(_gated(self.gate_proj(x), self.up_proj(x)))


def _gated(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _Gate.apply(a.contiguous(), b.contiguous())


def quick(layer: nn.Module) -> type | None:
    """The class of a SiLU-gated layer in fp32 or bfloat16 on a CPU with this way mixed in, where it is found to be just that."""
    kind = type(layer)
    is_one = all(hasattr(layer, name) for name in _LAYERS) and _is_plain(layer)
    return type(f"Quick{kind.__name__}", (_Quick, kind), {}) if is_one else None


def _is_plain(layer: Any) -> bool:
    """Whether it gives what the formula gives, on small layers in place of its own: models call much else by these names."""
    if any(one.dtype not in _KINDS or one.device.type not in ("cpu", "meta") for one in layer.parameters()):
        return False
    draws = torch.Generator().manual_seed(0)
    layer = copy.copy(layer)
    layer._modules = dict(layer._modules)
    for name in _LAYERS[:3]:
        small = nn.utils.skip_init(nn.Linear, _PROOF[1], _PROOF[1])  # draws nothing that dropout would have drawn
        for one in small.parameters():
            one.data = torch.randn(one.shape, generator=draws)
        layer._modules[name] = small
    x = 10 * torch.randn(*_PROOF, generator=draws)  # large enough to show where something is cut off
    try:
        with torch.no_grad():
            theirs = layer(x)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False
    ours = layer.down_proj(_gated(layer.gate_proj(x), layer.up_proj(x))).detach()
    return isinstance(theirs, torch.Tensor) and torch.allclose(theirs, ours, rtol=_NEAR, atol=_NEAR)
