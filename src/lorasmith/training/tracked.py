"""A training as remote trackers are told of it (TRK-1)."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import InterruptedRun
from lorasmith.core.events import Event, Listener, Metric
from lorasmith.plan.choose import TrainPlan
from lorasmith.tracking.track import Track, choose_trackers, tracking
from lorasmith.training.report import TrainReport
from lorasmith.training.spec import WorkerSpec, result_folder

KEY_FILE = "tracking.json"
EVENTS_FILE, REPORT_FILE = "events.jsonl", "training_report.json"


def params_of(plan: TrainPlan) -> dict[str, Any]:
    """What was decided, under the field's usual names."""
    return {
        "rank": plan.rank, "lora_alpha": plan.alpha, "lora_dropout": plan.dropout, "learning_rate": plan.learning_rate,
        "target_modules": plan.target_modules, "variant": plan.variant, "method": plan.method, "objective": plan.objective,
        "epochs": plan.epochs, "steps": plan.steps, "batch_size": plan.effective_batch, "warmup_steps": plan.warmup_steps,
        "schedule": plan.schedule, "optimizer": plan.optimizer, "max_length": plan.max_length, "precision": plan.precision,
        "device": plan.device,
    }  # fmt: skip


def about(spec: WorkerSpec) -> dict[str, Any]:
    """What stays the same for all trainings of this model on these rows."""
    return {
        "model": spec.model_id, "model_revision": spec.model_revision, "data": Path(spec.spec.data).name,
        "data_sha256": spec.data_facts.get("sha256", ""), "seed": spec.spec.seed,
    }  # fmt: skip


class Tracked:
    """The training in `spec.run_folder`: passes events on, and numbers to the trackers as well."""

    def __init__(self, track: Track, spec: WorkerSpec, listener: Listener):
        self._track, self._listener, self._folder = track, listener, spec.run_folder
        self._key = _key(spec.run_folder)
        tags = {"model_type": spec.family, "optimization_type": "none"}
        track.begin(self._key, spec.run_folder.name, tags=tags, params=about(spec) | params_of(spec.plan))
        track.again(self._key, spec.run_folder / EVENTS_FILE)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Metric):
            self._track.metric(self._key, event)
        self._listener(event)

    def finished(self, report: TrainReport) -> None:
        """It has come to its end: its figures, its report and its adapter."""
        figures = report.final_metrics.model_dump() | {
            "train_seconds": report.train_seconds, "peak_memory_bytes": float(report.peak_memory_bytes),
        }  # fmt: skip
        told = {f"final/{name}": value for name, value in figures.items() if value is not None}
        self._track.figures(self._key, told, step=report.steps)
        self._track.tags(self._key, stop_reason=report.stop_reason)
        self._track.artifact(self._key, self._folder / REPORT_FILE)
        if report.method != "full":  # a whole model stays where it is
            self._track.artifact(self._key, self._folder / result_folder(report.method), "adapter")
        self._track.end(self._key, "stopped" if report.stop_reason == "stopped_by_user" else "finished")

    def broke_off(self, error: BaseException) -> None:
        """It has not."""
        stopped = isinstance(error, InterruptedRun | KeyboardInterrupt)
        self._track.tags(self._key, reason=str(error).split("\n", 1)[0] or type(error).__name__)
        self._track.end(self._key, "stopped" if stopped else "failed")


@contextlib.contextmanager
def tracked(spec: WorkerSpec, listener: Listener) -> Generator[Tracked]:
    """Raises what `choose_trackers` raises."""
    with tracking(spec.run_folder.name, choose_trackers(spec.spec.tracker), listener) as track:
        told = Tracked(track, spec, listener)
        try:
            yield told
        except BaseException as error:
            told.broke_off(error)
            raise


def _key(folder: Path) -> str:
    """The run's, kept in its folder, so that a run that is gone on with is the same run there."""
    file = folder / KEY_FILE
    if not file.exists():
        paths.write_json(file, {"key": uuid.uuid4().hex})
    return str(json.loads(file.read_text(encoding="utf-8"))["key"])
