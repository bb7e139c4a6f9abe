"""Dataset formats. One file per format."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.data.examples import Format

FORMATS: Registry[Format] = Registry("formats", "lorasmith.data.formats", Format)  # type: ignore[type-abstract]
