"""Model families: how to recognise each and what it needs. One file per family."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.registry import Registry
from lorasmith.families._base import (
    BY_HEAD,
    BY_LAYOUT,
    BY_SHAPE,
    BY_SIGNAL,
    BY_STRUCTURE,
    Family,
    Recognition,
)
from lorasmith.families._calls import Answer, Call, ClassifierCall
from lorasmith.families._lessons import Lesson, classes

if TYPE_CHECKING:
    from lorasmith.families._learning import Learning
    from lorasmith.families._learning_answers import CalledLearning

__all__ = [
    "BY_HEAD", "BY_LAYOUT", "BY_SHAPE", "BY_SIGNAL", "BY_STRUCTURE", "FAMILIES", "Answer", "Call", "CalledLearning",
    "ClassifierCall", "Family", "Learning", "Lesson", "Recognition", "classes", "family_of",
]  # fmt: skip

FAMILIES: Registry[Family] = Registry("families", "lorasmith.families", Family)  # type: ignore[type-abstract]


def family_of(evidence: Evidence) -> tuple[Family, Recognition] | None:
    """The family with the strongest claim; None if nobody claims the model. The Hub's pipeline tag refines the task."""
    claims = [(claim, family) for family in FAMILIES.all() if (claim := family.recognise(evidence))]
    if not claims:
        return None
    claim, family = max(claims, key=lambda pair: pair[0].weight)
    if evidence.pipeline_tag in family.tasks and claim.task != "component":
        claim = claim._replace(task=evidence.pipeline_tag)
    return family, claim


_WITH_TORCH = {"CalledLearning": "_learning_answers", "Learning": "_learning"}


def __getattr__(name: str) -> Any:
    """What belongs to the worker plane is imported when it is asked for."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
