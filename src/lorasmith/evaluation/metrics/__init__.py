"""Metrics. One file per metric."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.evaluation._base import Metric

METRICS: Registry[Metric] = Registry("metrics", "lorasmith.evaluation.metrics", Metric)  # type: ignore[type-abstract]
