"""Where a trained model can go: one file for each target. What leaves is compared with what was trained (EXP-1, EXP-4)."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.exports._base import Target

__all__ = ["EXPORTS", "Target"]

EXPORTS: Registry[Target] = Registry("exports", "lorasmith.exports.targets", Target)  # type: ignore[type-abstract]
