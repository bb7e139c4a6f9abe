"""Parts of a model that are computed in fewer passes over memory than the libraries' own: on a CPU they are bound by them.

Each way proves on numbers drawn for it that a part is what its formula says; what only bears the name is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import nn

from lorasmith.workers import gates, norms, rotary

WAYS: dict[str, Callable[[nn.Module], type | None]] = {
    "norms": norms.quick, "gates": gates.quick, "rotary": rotary.quick,
}  # fmt: skip
_KIND, _WAY = "_plain_kind", "_way"


def use_quick_parts(model: nn.Module, ways: Collection[str] = tuple(WAYS)) -> int:
    """Let the parts of `model` that can be computed in these ways be computed so while something learns from them; how many."""
    count = 0
    kinds: dict[type, type | None] = {}
    for part in model.modules():
        kind = type(part)
        if hasattr(kind, _KIND):
            continue
        if kind not in kinds:
            kinds[kind] = _quick(part, ways)
        if quick := kinds[kind]:
            part.__class__ = quick
            count += 1
    return count


def use_own_parts(model: nn.Module, ways: Collection[str] = tuple(WAYS)) -> None:
    """The library's own again."""
    for part in model.modules():
        if getattr(type(part), _WAY, "") in ways:
            part.__class__ = getattr(type(part), _KIND)


def _quick(part: nn.Module, ways: Collection[str]) -> type | None:
    for way in ways:
        if made := WAYS[way](part):
            setattr(made, _KIND, type(part))
            setattr(made, _WAY, way)
            return made
    return None
