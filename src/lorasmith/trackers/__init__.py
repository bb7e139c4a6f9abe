"""Where metrics go. One file per tracker."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.trackers._base import Tracker

TRACKERS: Registry[Tracker] = Registry("trackers", "lorasmith.trackers", Tracker)  # type: ignore[type-abstract]
