"""Where metrics go. One file per tracker."""

from __future__ import annotations

from lorasmith.core.registry import Registry
from lorasmith.trackers._base import Tracker

TRACKERS: Registry[Tracker] = Registry("trackers", "lorasmith.trackers", Tracker)  # type: ignore[type-abstract]

INTEGRATIONS = (
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow",
    "neptune", "swanlab", "trackio", "wandb",
)  # fmt: skip
"""Further ones, that transformers tells by its own callbacks."""
