"""What a training leaves behind: manifest, state, report in JSON and HTML, and a line in the history of all runs (TRN-7)."""

from __future__ import annotations

import fcntl
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.core.facts import DataFacts
from lorasmith.plan import hardware
from lorasmith.training.autolearn import Evaluation, StopReason, best
from lorasmith.training.curve import Curve, read_curve
from lorasmith.training.page import Made, page
from lorasmith.training.spec import HISTORY_FILE, DecisionMade, WorkerSpec, result_folder

EVENTS_FILE = "events.jsonl"
# Of a report: what is too long for the history of all runs. It stands in the run's own report.
_NOT_REMEMBERED = ("samples", "evaluations", "decisions", "curve")
# Of the hardware: what says nothing of the run, or too much of the machine.
_OF_THE_MOMENT: dict[str, Any] = {"ram_free_bytes": True, "gpus": {"__all__": {"free_bytes", "uuid"}}}


class Outcome(BaseModel):
    """What happened in a training, as its worker saw it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_reason: StopReason
    steps_done: int
    seconds: float
    train_seconds: float
    predicted_seconds: float
    """Of all steps and evaluations, as the rehearsal foretold."""
    course_seconds: float = 0.0
    """What the steps and evaluations that were done took, with their checkpoints."""
    energy_joules: float | None = None
    """As the machine's own counters say; None where they cannot be read."""
    energy_of: str = ""
    """What those count: CPU, GPU, or both."""
    tokens: int
    supervised_tokens: int
    unit: str = "tokens"
    """What the losses are means over: tokens, rows, words or pixels, which are then what is counted as supervised."""
    peak_memory_bytes: int
    history: list[Evaluation]
    decisions: list[DecisionMade]
    last_train_loss: float
    answers_cut: int = 0
    """Rows to learn from whose answer lost its end to `max_length`."""
    comparison: dict[str, Any] | None
    samples: list[dict[str, str]]
    versions: dict[str, str]


class FinalMetrics(BaseModel):
    """Losses per answer token, in nats. None where no row was held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_loss: float
    val_loss: float | None
    best_val_loss: float | None
    best_epoch: float | None


class LoraFacts(BaseModel):
    """The adapter's shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int
    alpha: float
    target_modules: str | list[str]


class DatasetInfo(BaseModel):
    """What was learnt from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    train_examples: int
    val_examples: int


class TrainReport(BaseModel):
    """`training_report.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    training_completed: str
    duration_hours: float
    final_metrics: FinalMetrics
    stop_reason: StopReason
    lora_config: LoraFacts
    dataset_info: DatasetInfo
    steps: int
    planned_steps: int = 0
    train_seconds: float
    """Of the steps alone."""
    tokens_per_second: float
    supervised_tokens_per_second: float
    unit: str = "tokens"
    """What is learnt, where it is not tokens: rows, words, pixels."""
    predicted_seconds: float
    """Of all planned steps and their evaluations, as the rehearsal foretold."""
    course_seconds: float = 0.0
    """What those that were done took, with their checkpoints."""
    energy_joules: float | None = None
    """By the machine's own counters, from the first step to the last; None where they cannot be read."""
    energy_of: str = ""
    """What was counted: `CPU`, `GPU`, `GPU and CPU`."""
    predicted_peak_bytes: int
    peak_memory_bytes: int
    method: str
    variant: str
    objective: str = "sft"
    lesson: str = ""
    """For models that learn from more than tokens: the format of the data."""
    answers_cut: int = 0
    """Rows to learn from whose answer lost its end to the length limit."""
    comparison: dict[str, Any] | None
    evaluations: list[Evaluation]
    decisions: list[DecisionMade]
    samples: list[dict[str, str]]
    curve: Curve = Curve()

    @property
    def expected_seconds(self) -> float:
        """What the steps that were done should have taken, as the rehearsal foretold."""
        return self.predicted_seconds * min(1.0, self.steps / max(1, self.planned_steps))


def peak_memory_bytes(device: str) -> int:
    """The most memory that this process has held so far: on the GPU where it trains there, else resident
    without the pages of libraries."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return hardware.resident_peak_bytes()


def write(spec: WorkerSpec, facts: DataFacts, outcome: Outcome) -> dict[str, Any]:
    """Write every file of the run beside its adapter and return the report as plain values."""
    run, plan = spec.run_folder, spec.plan
    leader = best(outcome.history) if outcome.history else None
    report = TrainReport(
        model_id=spec.model_id,
        training_completed=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        duration_hours=round(outcome.seconds / 3600, 4),
        final_metrics=FinalMetrics(
            train_loss=outcome.last_train_loss,
            val_loss=outcome.history[-1].val_loss if outcome.history else None,
            best_val_loss=leader.val_loss if leader else None,
            best_epoch=round(plan.epochs * leader.step / plan.steps, 2) if leader else None,
        ),
        stop_reason=outcome.stop_reason,
        lora_config=LoraFacts(r=plan.rank, alpha=plan.alpha, target_modules=plan.target_modules),
        dataset_info=DatasetInfo(
            format=facts.format, train_examples=facts.num_train, val_examples=facts.num_validation
        ),
        steps=outcome.steps_done,
        train_seconds=round(outcome.train_seconds, 2),
        tokens_per_second=round(outcome.tokens / max(1e-9, outcome.train_seconds), 1),
        supervised_tokens_per_second=round(outcome.supervised_tokens / max(1e-9, outcome.train_seconds), 1),
        unit=outcome.unit,
        planned_steps=plan.steps,
        predicted_seconds=round(outcome.predicted_seconds, 2),
        course_seconds=round(outcome.course_seconds, 2),
        energy_joules=None if outcome.energy_joules is None else round(outcome.energy_joules, 1),
        energy_of=outcome.energy_of,
        objective=plan.objective,
        lesson=spec.lesson,
        answers_cut=outcome.answers_cut,
        method=plan.method,
        variant=plan.variant,
        decisions=outcome.decisions,
        predicted_peak_bytes=plan.predicted_peak_bytes,
        peak_memory_bytes=outcome.peak_memory_bytes,
        comparison=outcome.comparison,
        evaluations=outcome.history,
        samples=outcome.samples,
        curve=read_curve(run / EVENTS_FILE, outcome.steps_done),
    )
    values = report.model_dump(mode="json")
    result = run / result_folder(plan.method)
    made = Made(
        hardware.observe(), {"lorasmith": version("lorasmith"), "python": platform.python_version(), **outcome.versions}
    )
    paths.write_json(result / "manifest.json", _manifest(spec, facts, report, made))
    paths.write_json(
        result / "training_state.json",
        {"stop_reason": outcome.stop_reason, "step": outcome.steps_done, "metrics": values["evaluations"]},
    )
    paths.write_text(run / "training_report.html", page(spec, facts, report, made))
    paths.write_json(run / "training_report.json", values)
    _remember(
        run.parent / HISTORY_FILE,
        {"run": run.name, **values, **dict.fromkeys(_NOT_REMEMBERED)},
    )
    return values


def _manifest(spec: WorkerSpec, facts: DataFacts, report: TrainReport, made: Made) -> dict[str, Any]:
    """All that is needed to make this adapter again, and what it was made on. No path, no secret."""
    plan = spec.plan.model_dump(mode="json")
    reasons = plan.pop("reasons")
    return {
        "schema": 1,
        "base": {
            "id": spec.model_id,
            "revision": spec.model_revision,
            "family": spec.family,
            "fingerprint": spec.model_fingerprint,
            "quantization": spec.model_quantization,
        },
        "dataset": facts.model_dump(mode="json"),
        "parameters": {name: {"value": value, "reason": reasons.get(name, "")} for name, value in plan.items()},
        "asked": spec.spec.model_dump(mode="json", exclude_defaults=True, exclude={"model", "data", "output"}),
        "seed": spec.spec.seed,
        "versions": made.versions,
        "hardware": made.machine.model_dump(mode="json", exclude=_OF_THE_MOMENT),
        "peak_memory_bytes": {"predicted": report.predicted_peak_bytes, "measured": report.peak_memory_bytes},
        "seconds": {
            "predicted": report.predicted_seconds,
            "measured": report.course_seconds,
            "steps_alone": report.train_seconds,
        },
        "energy_joules": report.energy_joules,
        "energy_of": report.energy_of,
        "tokens_per_second": {"all": report.tokens_per_second, "supervised": report.supervised_tokens_per_second},
        "stop_reason": report.stop_reason,
        "final_metrics": report.final_metrics.model_dump(mode="json"),
        "comparison": report.comparison,
    }


def _remember(path: Path, entry: dict[str, Any]) -> None:
    """Append to the history of all runs in this folder; runs may end at the same moment."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries: list[dict[str, Any]] = []
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except ValueError:  # somebody's hand; what it holds may still be worth something to them
            path.replace(path.with_suffix(".damaged.json"))
        kept = [old for old in entries if old.get("run") != entry["run"]]
        paths.write_json(path, [*kept, {key: value for key, value in entry.items() if value is not None}])
