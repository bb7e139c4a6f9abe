"""Whether a profile and a model belong together, by the names of its linear layers. It reads no file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from lorasmith.core.errors import UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.profiles.profile import ALL_LINEAR, Profile

Closeness = Literal["made for it", "same architecture", "every model", "another kind"]
CLOSEST_FIRST: tuple[Closeness, ...] = ("made for it", "same architecture", "every model", "another kind")
_MOST_NAMES = 24


class Match(NamedTuple):
    """How a profile stands to a model."""

    closeness: Closeness
    layers: list[str]
    """Names of the linear layers that it adapts; empty as well where the weights' names cannot be read."""
    can_apply: bool
    """Whether it has a target in this model, or nobody can tell before the model is loaded."""
    is_named: bool = False
    """Whether the model's own name says that it is of the kind the profile was made for."""


def matches(profile: Profile, facts: ModelFacts) -> Match:
    """How `profile` stands to the model of these facts."""
    layers = targeted(profile.target_modules, facts.linear_names)
    is_named = any(part in facts.id.lower() for part in profile.base_names)
    closeness = _closeness(profile, facts, is_named=is_named)
    return Match(closeness, layers, bool(layers) or not facts.linear_names, is_named)


def require_match(profile: Profile, facts: ModelFacts) -> Match:
    """`matches`; raises UsageProblem with the names that do exist where no target is found (PRO-2)."""
    match = matches(profile, facts)
    if not match.can_apply:
        raise UsageProblem(
            f"The profile '{profile.name}' does not match '{facts.id}'",
            why=f"None of its target modules is there: {', '.join(profile.target_modules)}.",
            fix=f"{names_that_exist(facts.linear_names)} See what suits it:  lorasmith profiles recommend {facts.id}",
        )
    return match


def targeted(targets: Iterable[str] | str, names: Iterable[str]) -> list[str]:
    """Those of the layers `names` whose name is a target or ends in one, as PEFT matches them."""
    if isinstance(targets, str):
        return list(names) if targets in {ALL_LINEAR, "auto"} else []
    wanted = tuple(targets)
    ends = tuple(f".{target}" for target in wanted)
    return [name for name in names if name in wanted or name.endswith(ends)]


def names_that_exist(names: Iterable[str]) -> str:
    """A sentence with the last parts of the names of linear layers."""
    last = sorted({name.rsplit(".", 1)[-1] for name in names})
    more = f" and {len(last) - _MOST_NAMES} more" if len(last) > _MOST_NAMES else ""
    return f"Its linear layers are called: {', '.join(last[:_MOST_NAMES])}{more}."


def _closeness(profile: Profile, facts: ModelFacts, *, is_named: bool) -> Closeness:
    if profile.is_for_all:
        return "every model"
    if not {facts.model_type, *facts.part_types} & set(profile.model_types):
        return "another kind"
    if profile.tasks and facts.task not in profile.tasks:
        return "another kind"
    return "made for it" if is_named or not profile.base_names else "same architecture"
