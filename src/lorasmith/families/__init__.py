"""Model families: how to recognise each and what it needs. One file per family."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.families._base import Family

FAMILIES: Registry[Family] = Registry("families", "lorasmith.families", Family)  # type: ignore[type-abstract]
