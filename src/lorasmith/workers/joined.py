"""A LoRA layer as one step of the graph: its small products go into the base's output in place, and nothing is kept for the way
back but the layer's own input and a product of rank columns.

y = x·Wᵀ + b + s·d(x)·Aᵀ·Bᵀ with d the dropout; with g = s·(∂y·B): ∂B = s·∂yᵀ·d(x)Aᵀ, ∂A = gᵀ·d(x), ∂x = ∂y·W + d(g·A). PEFT's
layer is the same sum in eight steps, and keeps a copy of the input that dropout has gone through (figures in docs/lab-log.md).
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn

from lorasmith.workers.dropout import SparseDropout, drawn_places


class _Joined(torch.autograd.Function):
    """`x` is of shape (tokens, in); `places` are numbers of its elements that are dropped, or None; `factors` are the adapter's
    scaling, and what dropout multiplies the others by."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, down: torch.Tensor, up: torch.Tensor,
        places: torch.Tensor | None, factors: tuple[float, float],
    ) -> torch.Tensor:  # fmt: skip
        ctx.scaling, ctx.kept = scaling, kept = factors
        with _without(x, places):
            small = (x @ down.to(x.dtype).T).mul_(kept)
        y = nn.functional.linear(x, weight, bias)
        y.addmm_(small, up.to(x.dtype).T, alpha=scaling)
        ctx.save_for_backward(x, weight, down, up, small, places)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        x, weight, down, up, small, places = ctx.saved_tensors
        inner = (gradient @ up.to(gradient.dtype)).mul_(ctx.scaling)
        of_up = (gradient.T @ small).mul_(ctx.scaling).to(up.dtype)
        with _without(x, places):
            of_down = (inner.T @ x).mul_(ctx.kept).to(down.dtype)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ weight
            flat = of_x.view(-1)
            untouched = None if places is None else flat[places]
            of_x.addmm_(inner, down.to(inner.dtype), alpha=ctx.kept)
            if places is not None and untouched is not None:
                flat[places] = untouched
        return of_x, None, None, of_down, of_up, None, None


class _without:  # noqa: N801  used as a function is
    """Within it the elements of `x` at `places` are zero: put there and taken back, where a copy of it all would cost more.

    Through `data`, since autograd must not take it for a change: other steps keep `x` for the way back, too.
    """

    def __init__(self, x: torch.Tensor, places: torch.Tensor | None):
        self._flat = x.data.view(-1)
        self._places = places

    def __enter__(self) -> None:
        if self._places is not None:
            self._before = self._flat[self._places]
            self._flat.index_fill_(0, self._places, 0.0)

    def __exit__(self, *_: object) -> None:
        if self._places is not None:
            self._flat[self._places] = self._before


class JoinedLinear(Linear):
    """PEFT's LoRA layer over an ordinary linear one; whatever is not plain LoRA that learns goes PEFT's own way."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = self._learns(x, args, kwargs)
        if name is None:
            return super().forward(x, *args, **kwargs)
        base: Any = self.get_base_layer()
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        dropout: Any = self.lora_dropout[name]
        probability = dropout.p if isinstance(dropout, SparseDropout) and self.training else 0.0
        rows = x.to(kind).reshape(-1, x.shape[-1]).contiguous()
        places = drawn_places(rows, probability) if probability else None
        with torch.autocast(x.device.type, enabled=False):
            bias = None if base.bias is None else base.bias.to(kind)
            down, up = self.lora_A[name].weight, self.lora_B[name].weight
            factors = (self.scaling[name], 1 / (1 - probability))
            y = _Joined.apply(rows, base.weight.to(kind), bias, down, up, places, factors)
        return y.view(*x.shape[:-1], -1)

    def _learns(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The one adapter that learns here in the plain way; None where that is not so."""
        if args or kwargs or self.disable_adapters or self.merged or not torch.is_grad_enabled():
            return None
        names = [name for name in self.active_adapters if name in self.lora_A]
        if len(names) != 1 or not self.lora_A[names[0]].weight.requires_grad or not x.is_floating_point():
            return None
        return names[0]


def join(model: nn.Module) -> int:
    """Let the plain LoRA layers of a PEFT model compute in one step, where they can; how many do."""
    count = 0
    for part in model.modules():
        if type(part) is Linear and _can(part):
            part.__class__ = JoinedLinear
            count += 1
    return count


def part(model: nn.Module) -> None:
    """PEFT's own way again."""
    for one in model.modules():
        if type(one) is JoinedLinear:
            one.__class__ = Linear


def _can(layer: Any) -> bool:
    base = layer.get_base_layer()
    if not isinstance(base, nn.Linear) or layer.fan_in_fan_out or layer.lora_variant or any(layer.lora_bias.values()):
        return False
    if base.weight.requires_grad or type(base.weight.data) is not torch.Tensor or not base.weight.is_floating_point():
        return False
    return all(isinstance(one, nn.Identity | SparseDropout) or not one.p for one in layer.lora_dropout.values())
