"""Metrics. One file per metric."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.evaluation._base import Metric

METRICS: Registry[Metric] = Registry("metrics", "lorasmith.evaluation.metrics", Metric)  # type: ignore[type-abstract]

AUTO = "auto"
"""In place of names: what suits the answers."""


def metrics_of(text: str) -> list[Metric]:
    """The metrics that are named in `text`, with commas; a name may be cut short as long as it is one metric's only ("exact").

    Raises NotFoundProblem.
    """
    found: dict[str, Metric] = {}
    for name in filter(None, (one.strip().lower() for one in text.split(","))):
        longer = [known for known in METRICS.names() if known.startswith(name)]
        metric = METRICS.get(longer[0] if len(longer) == 1 else name)
        found[metric.name] = metric
    return list(found.values())
