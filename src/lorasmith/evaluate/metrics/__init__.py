"""Metrics. One file per metric."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.evaluate._base import Metric

METRICS: Registry[Metric] = Registry("metrics", "lorasmith.evaluate.metrics", Metric)  # type: ignore[type-abstract]
