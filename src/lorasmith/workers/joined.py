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


class Through(NamedTuple):
    """A frozen linear layer and the adapters on it, each for its own tokens."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    parts: Sequence[Part]


def joined(x: torch.Tensor, layers: Sequence[Through]) -> tuple[torch.Tensor, ...]:
    """`x` (tokens, in) through each of several layers that are given the same: their outputs (tokens, out)."""
    sides = [side for layer in layers for part in layer.parts for side in (part.down, part.up)]
    bare = [[part._replace(down=None, up=None) for part in layer.parts] for layer in layers]
    weights = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    return _Joined.apply(x, bare, *weights, *sides)


class _Joined(torch.autograd.Function):
    """Weight and bias of each layer, then the sides of each one's parts, come one after the other.

    Where several layers have adapters on the same tokens and nothing is dropped, their thin products with `x` are one.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, parts: list[list[Part]], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        number = len(parts)
        weights, biases, sides = tensors[: 2 * number : 2], tensors[1 : 2 * number : 2], tensors[2 * number :]
        outputs = [nn.functional.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        smalls = []
        for group in _groups(parts):
            own, downs = x[group.here], [sides[2 * member.index] for member in group.members]
            with _without(own, group.places):
                small = (own @ _stacked(downs, x.dtype).T).mul_(group.kept)
            for member, thin in zip(group.members, small.split([len(down) for down in downs], 1), strict=True):
                up = sides[2 * member.index + 1].to(x.dtype)
                outputs[member.layer][group.here].addmm_(thin, up.T, alpha=member.part.scaling)
            smalls.append(small)
        ctx.parts = [[part._replace(places=None) for part in of_layer] for of_layer in parts]
        ctx.sizes = (number, len(sides), len(smalls))
        places = [part.places for of_layer in parts for part in of_layer]
        ctx.save_for_backward(x, *weights, *sides, *smalls, *places)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        number, num_sides, num_smalls = ctx.sizes
        x, *rest = ctx.saved_tensors
        weights, sides = rest[:number], rest[number : number + num_sides]
        smalls, places = rest[number + num_sides :][:num_smalls], rest[number + num_sides + num_smalls :]
        outer = [
            x.new_zeros(len(x), len(weight)) if one is None else one
            for one, weight in zip(gradients, weights, strict=True)
        ]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = outer[0] @ weights[0]
            for one, weight in zip(outer[1:], weights[1:], strict=True):
                of_x.addmm_(one, weight)
        of_sides: list[torch.Tensor | None] = [None] * num_sides
        for group, small in zip(_groups(_with_places(ctx.parts, places)), smalls, strict=True):
            own, downs, inners = x[group.here], [sides[2 * member.index] for member in group.members], []
            ranks = [len(down) for down in downs]
            for member, thin in zip(group.members, small.split(ranks, 1), strict=True):
                up, mine, scaling = sides[2 * member.index + 1], outer[member.layer][group.here], member.part.scaling
                inners.append((mine @ up.to(mine.dtype)).mul_(scaling))
                of_sides[2 * member.index + 1] = (mine.T @ thin).mul_(scaling).to(up.dtype)
            inner = inners[0] if len(inners) == 1 else torch.cat(inners, 1)
            with _without(own, group.places):
                of_downs = (inner.T @ own).mul_(group.kept)
            for member, down, of_down in zip(group.members, downs, of_downs.split(ranks), strict=True):
                of_sides[2 * member.index] = of_down.to(down.dtype)
            if of_x is not None:
                _add_dropped(of_x[group.here], inner, _stacked(downs, inner.dtype), group.places, group.kept)
        return of_x, None, *[None] * (2 * number), *of_sides


class _Member(NamedTuple):
    layer: int
    index: int
    """Of the part among those of all layers, in whose order the sides come."""
    part: Part


class _Group(NamedTuple):
    """Adapters of several layers whose thin products with the same tokens of `x` are one product."""

    members: list[_Member]

    @property
    def here(self) -> slice:
        return slice(self.members[0].part.start, self.members[0].part.stop)

    @property
    def places(self) -> torch.Tensor | None:
        return self.members[0].part.places

    @property
    def kept(self) -> float:
        return self.members[0].part.kept


def _groups(parts: list[list[Part]]) -> list[_Group]:
    """Those on the same tokens together where nothing is dropped: each layer drops for itself."""
    every = [(layer, part) for layer, of_layer in enumerate(parts) for part in of_layer]
    found: dict[tuple[int, ...], list[_Member]] = {}
    for index, (layer, part) in enumerate(every):
        key = (part.start, part.stop) if part.places is None else (part.start, part.stop, index)
        found.setdefault(key, []).append(_Member(layer, index, part))
    return [_Group(members) for members in found.values()]


def _stacked(downs: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    return downs[0].to(dtype) if len(downs) == 1 else torch.cat([down.to(dtype) for down in downs])


def _with_places(parts: list[list[Part]], places: Sequence[torch.Tensor | None]) -> list[list[Part]]:
    found = iter(places)
    return [[part._replace(places=next(found)) for part in of_layer] for of_layer in parts]


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
        if args or kwargs or not self.learns(x):
            return super().forward(x, *args, **kwargs)
        return output_of(self, x)

    @property
    def base(self) -> Any:
        """The frozen layer."""
        return self.get_base_layer()

    def parts(self, rows: torch.Tensor) -> list[Part]:
        """The one adapter that learns here, for all tokens."""
        (name,) = self._learning()
        return [adapter_of(self, name, rows, 0, len(rows))]

    def learns(self, x: torch.Tensor) -> bool:
        """Whether one adapter learns here in the plain way."""
        if self.disable_adapters or self.merged or not torch.is_grad_enabled() or not x.is_floating_point():
            return False
        names = self._learning()
        return len(names) == 1 and self.lora_A[names[0]].weight.requires_grad

    def _learning(self) -> list[str]:
        return [name for name in self.active_adapters if name in self.lora_A]


class Siblings:
    """Layers that are given the same tensor, such as those of queries, keys and values: the first that is called computes all."""

    def __init__(self, layers: Sequence[Any]):
        self._layers = list(layers)
        self._given: tuple[torch.Tensor | None, int] = (None, 0)
        self._outputs: dict[int, torch.Tensor] = {}

    def output(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        """What `layer` makes of `x`."""
        before, version = self._given
        found = self._outputs.pop(id(layer), None) if x is before and x._version == version else None
        if found is None:
            able = [one for one in self._layers if one.learns(x)]
            self._outputs = {id(one): each for one, each in zip(able, through(x, able), strict=True)}
            self._given = (x, x._version)
            found = self._outputs.pop(id(layer))
        if not self._outputs:
            self._given = (None, 0)  # nothing is held longer than it is needed
        return found


def output_of(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """What a joined layer makes of `x`, by itself or with its siblings."""
    siblings: Siblings | None = layer.__dict__.get("siblings")
    return siblings.output(layer, x) if siblings else through(x, [layer])[0]


def through(x: torch.Tensor, layers: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """`x` (…, in) through the frozen `base` of each layer with the adapters that its `parts` names for it as (tokens, in), in the
    number format that autocast says."""
    kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    rows = x.to(kind).reshape(-1, x.shape[-1]).contiguous()
    with torch.autocast(x.device.type, enabled=False):
        given = []
        for layer in layers:
            base = layer.base
            bias = None if base.bias is None else base.bias.to(kind)
            given.append(Through(base.weight.to(kind), bias, layer.parts(rows)))
        outputs = joined(rows, given)
    return tuple(y.view(*x.shape[:-1], -1) for y in outputs)


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


def relate(model: nn.Module, run: Callable[[], object]) -> int:
    """Let joined layers that are given the same tensor, one right after the other, compute at once; how many such families there
    are. `run` takes a batch through the model."""
    called: list[tuple[torch.Tensor, Any]] = []  # tensors are held, so that no other takes a place that was theirs
    layers = [one for one in model.modules() if hasattr(one, "parts") and hasattr(one, "learns")]
    hooks = [one.register_forward_pre_hook(lambda layer, given: called.append((given[0], layer))) for one in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    families: list[list[Any]] = []
    before: torch.Tensor | None = None
    for x, layer in called:
        if x is before:
            families[-1].append(layer)
        else:
            families.append([layer])
        before = x
    count = 0
    seen = [id(layer) for family in families for layer in family]
    for family in families:
        if len(family) > 1 and all(seen.count(id(one)) == 1 for one in family):
            siblings = Siblings(family)
            for one in family:
                one.__dict__["siblings"] = siblings
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
