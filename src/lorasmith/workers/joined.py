"""A LoRA layer as one step of the graph: its small products go into the base's output in place, and nothing is kept for the way
back but the layer's own input and a product of rank columns.

y = x·Wᵀ + b + s·d(x)·Aᵀ·Bᵀ with d the dropout; with g = s·(∂y·B): ∂B = s·∂yᵀ·d(x)Aᵀ, ∂A = gᵀ·d(x), ∂x = ∂y·W + d(g·A). PEFT's
layer is the same sum in eight steps, and keeps a copy of the input that dropout has gone through (figures in docs/lab-log.md).
Different tokens may have different adapters (workers/together.py): the base's product is one for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from peft.tuners.lora.layer import Linear
from torch import nn

from lorasmith.workers.dropout import SparseDropout, drawn_places


class Part(NamedTuple):
    """Tokens that one adapter is for: from `start` to `stop`. Of its sides `down` is of shape (rank, in), `up` of (out, rank).

    `places` are numbers of the tokens' elements that are dropped, or None; the others are multiplied by `kept`, and the adapter's
    product by `scaling`."""

    start: int
    stop: int
    down: torch.Tensor
    up: torch.Tensor
    scaling: float
    places: torch.Tensor | None = None
    kept: float = 1.0


def joined(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, parts: Sequence[Part]) -> torch.Tensor:
    """`x` (tokens, in) through a frozen layer of `weight` (out, in) with these adapters, each on its own tokens."""
    sides = [side for part in parts for side in (part.down, part.up)]
    return _Joined.apply(x, weight, bias, [part._replace(down=None, up=None) for part in parts], *sides)


class _Joined(torch.autograd.Function):
    """The sides of each part's adapter come after it all, one after the other."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        parts: list[Part],
        *sides: torch.Tensor,
    ) -> torch.Tensor:
        y = nn.functional.linear(x, weight, bias)
        smalls = []
        for part, down, up in zip(parts, sides[::2], sides[1::2], strict=True):
            own = x[part.start : part.stop]
            with _without(own, part.places):
                small = (own @ down.to(x.dtype).T).mul_(part.kept)
            y[part.start : part.stop].addmm_(small, up.to(x.dtype).T, alpha=part.scaling)
            smalls.append(small)
        ctx.parts = [part._replace(places=None) for part in parts]
        ctx.save_for_backward(x, weight, *sides, *smalls, *(part.places for part in parts))
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        x, weight, *rest = ctx.saved_tensors
        number = len(ctx.parts)
        sides, smalls, dropped = rest[: 2 * number], rest[2 * number : 3 * number], rest[3 * number :]
        of_x = gradient @ weight if ctx.needs_input_grad[0] else None
        of_sides: list[torch.Tensor] = []
        for part, down, up, small, places in zip(ctx.parts, sides[::2], sides[1::2], smalls, dropped, strict=True):
            here = slice(part.start, part.stop)
            own, outer = x[here], gradient[here]
            inner = (outer @ up.to(outer.dtype)).mul_(part.scaling)
            with _without(own, places):
                of_down = (inner.T @ own).mul_(part.kept).to(down.dtype)
            of_sides += [of_down, (outer.T @ small).mul_(part.scaling).to(up.dtype)]
            if of_x is not None:
                _add_dropped(of_x[here], inner, down.to(inner.dtype), places, part.kept)
        return of_x, None, None, None, *of_sides


def _add_dropped(
    sum_: torch.Tensor, inner: torch.Tensor, down: torch.Tensor, places: torch.Tensor | None, kept: float
) -> None:
    """`sum_` and `kept` · inner · down, in place; at `places` it stays what it is."""
    flat = sum_.view(-1)
    untouched = None if places is None else flat[places]
    sum_.addmm_(inner, down, alpha=kept)
    if places is not None and untouched is not None:
        flat[places] = untouched


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
        return through(x, self.get_base_layer(), lambda rows: [adapter_of(self, name, rows, 0, len(rows))])

    def _learns(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The one adapter that learns here in the plain way; None where that is not so."""
        if args or kwargs or self.disable_adapters or self.merged or not torch.is_grad_enabled():
            return None
        names = [name for name in self.active_adapters if name in self.lora_A]
        if len(names) != 1 or not self.lora_A[names[0]].weight.requires_grad or not x.is_floating_point():
            return None
        return names[0]


def through(x: torch.Tensor, base: Any, parts_of: Callable[[torch.Tensor], Sequence[Part]]) -> torch.Tensor:
    """`x` (…, in) through the frozen layer `base` with the adapters that `parts_of` names for it as (tokens, in), in the number
    format that autocast says."""
    kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    rows = x.to(kind).reshape(-1, x.shape[-1]).contiguous()
    with torch.autocast(x.device.type, enabled=False):
        bias = None if base.bias is None else base.bias.to(kind)
        y = joined(rows, base.weight.to(kind), bias, parts_of(rows))
    return y.view(*x.shape[:-1], -1)


def adapter_of(
    layer: Linear, name: str, rows: torch.Tensor, start: int, stop: int, generator: torch.Generator | None = None
) -> Part:
    """What a PEFT layer's adapter is to the tokens from `start` to `stop` of `rows`; its dropout draws from `generator`."""
    dropout: Any = layer.lora_dropout[name]
    probability = dropout.p if isinstance(dropout, SparseDropout) and layer.training else 0.0
    places = drawn_places(rows[start:stop], probability, generator) if probability else None
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    return Part(start, stop, down, up, layer.scaling[name], places, 1 / (1 - probability))


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
