"""Model families: how to recognise each and what it needs. One file per family."""

from __future__ import annotations

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

__all__ = [
    "BY_HEAD", "BY_LAYOUT", "BY_SHAPE", "BY_SIGNAL", "BY_STRUCTURE", "FAMILIES", "Family", "Recognition", "family_of",
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
