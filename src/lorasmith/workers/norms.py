"""RMSNorm in a few passes over memory: on a CPU it is bound by them, and the libraries' own takes a dozen, forward and back.

y = w·x/r with r = √(mean(x²) + ε); with t = w·∂y: ∂x = t/r − x·(t·x)/(d·r³) (arXiv 1910.07467). Only the input and r are kept.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from lorasmith.workers.blocks import blocks

_PROOF = (7, 3)
_NEAR = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


class _Norm(torch.autograd.Function):
    """`x` (…, width) over its root mean square, times a weight that does not learn. What is not in fp32 is computed in it, a
    block at a time, and rounded before the weight comes to it, as the libraries do."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        if x.dtype == torch.float32:
            over = _over(x, epsilon)
            found = (x * over).mul_(weight)
        else:
            found, over = torch.empty_like(x), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)
            for part, out, factor in zip(blocks(x), blocks(found), blocks(over, width=x.shape[-1]), strict=True):
                wide = part.float()
                factor.copy_(_over(wide, epsilon))
                torch.mul(wide.mul_(factor).to(x.dtype), weight, out=out)
        ctx.save_for_backward(x, weight, over)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        x, weight, over = ctx.saved_tensors
        if x.dtype == torch.float32:
            return _walked_back(gradient * weight, x, over), None, None
        found = torch.empty_like(x)
        parts = (blocks(x), blocks(gradient.contiguous()), blocks(over, width=x.shape[-1]), blocks(found))
        for part, outer, factor, out in zip(*parts, strict=True):
            out.copy_(_walked_back((outer * weight).float(), part.float(), factor))
        return found, None, None


def _over(x: torch.Tensor, epsilon: float) -> torch.Tensor:
    """1/r, of shape (…, 1)."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()


def _walked_back(found: torch.Tensor, x: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
    """∂x, in the place of t = w·∂y."""
    along = (found * x).sum(-1, keepdim=True).mul_(over.pow(3)).div_(-x.shape[-1])
    return found.mul_(over).addcmul_(x, along)


class _Quick:
    """Mixed into the class of a norm: computes it in this way while something learns from it."""

    def forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        is_usual = x.dtype == self.weight.dtype and x.shape[-1] == len(self.weight) and not self.weight.requires_grad
        is_usual &= x.is_contiguous()
        if args or kwargs or not torch.is_grad_enabled() or not is_usual:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        return _Norm.apply(x, self.weight, _epsilon(self))


def quick(norm: nn.Module) -> type | None:
    """The class of a frozen RMSNorm in fp32 or bfloat16 on a CPU with this way mixed in, where it is found to be just that."""
    kind = type(norm)
    is_one = kind.__name__.endswith("RMSNorm") and _is_plain(norm)
    return type(f"Quick{kind.__name__}", (_Quick, kind), {}) if is_one else None


def _epsilon(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 0.0)


def _is_plain(norm: Any) -> bool:
    """Whether it gives what the formula gives, forward and back, on numbers drawn for it: models call much else RMSNorm."""
    weight = getattr(norm, "weight", None)
    if (
        not isinstance(weight, torch.Tensor)
        or weight.dim() != 1
        or weight.dtype not in _NEAR
        or weight.device.type != "cpu"
    ):
        return False
    if not _epsilon(norm) or type(weight.data) is not torch.Tensor:
        return False
    draws = torch.Generator().manual_seed(0)
    norm = copy.deepcopy(norm)
    drawn = (
        torch.randn(shape, generator=draws).to(weight.dtype) for shape in (weight.shape, *[(*_PROOF, len(weight))] * 2)
    )
    norm.weight.data, x, outer = drawn  # weights of one would hide what is done with them
    x.requires_grad_()
    found = []
    near = _NEAR[weight.dtype]
    with torch.enable_grad():
        for output in (norm(x), _Norm.apply(x, norm.weight.detach(), _epsilon(norm))):
            (gradient,) = torch.autograd.grad(output, x, outer)
            found.append((output.detach(), gradient))
    return all(torch.allclose(one, other, rtol=near, atol=near) for one, other in zip(found[0], found[1], strict=True))
