"""Kinds of tasks: what each is asked with, which verb does it, and what of its result a list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from lorasmith import flow
from lorasmith.core import paths, settings
from lorasmith.core.events import Listener
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.env.spec import InstallSpec
from lorasmith.evaluation.spec import EvaluateSpec
from lorasmith.exports.spec import ExportSpec
from lorasmith.plan.choose import TrainPlan
from lorasmith.serve.launch import Address
from lorasmith.serve.spec import ServeSpec
from lorasmith.studio.datasets import named
from lorasmith.training.spec import TrainSpec
from lorasmith.tuning.spec import TuneSpec
from lorasmith.tuning.watch import options_of

OnPlan = Callable[[Mapping[str, Any]], None]


class Work(NamedTuple):
    """What a task's process is given: the spec as it was asked for, where its result goes, whether it goes on there."""

    params: Mapping[str, Any]
    folder: Path
    goes_on: bool
    on_event: Listener
    on_plan: OnPlan


class Done(NamedTuple):
    """What came of it."""

    measured: Mapping[str, Any]
    is_stopped: bool = False
    """It was asked to end, has saved, and can go on."""


class Kind(NamedTuple):
    """A kind of task."""

    name: str
    spec: type[BaseModel]
    do: Callable[[Work], Done]
    """Blocks. Raises LorasmithError, InterruptedRun where it was stopped before there was anything."""
    folder: Callable[[str], Path] | None
    """Where the result of a task of that name goes; None where it leaves none in a folder of its own."""
    computes: bool
    """Whether it takes the device: such tasks wait for each other."""


def _train(work: Work) -> Done:
    def on_plan(model: ModelFacts, data: DataFacts, plan: TrainPlan, folder: Path) -> None:  # noqa: ARG001
        work.on_plan({"peak_bytes": plan.predicted_peak_bytes, "steps": plan.steps, "epochs": plan.epochs})

    if work.goes_on:
        result = flow.train("", resume_from=work.folder, on_event=work.on_event, on_plan=on_plan)
    else:
        spec = TrainSpec.model_validate({**work.params, "output": str(work.folder)})
        result = flow.train(spec, on_event=work.on_event, on_plan=on_plan)
    report = result.report
    measured = {
        "peak_bytes": report.peak_memory_bytes, "seconds": report.train_seconds, "steps": report.steps,
        "stop_reason": report.stop_reason, "adapter": str(result.adapter.path), **report.final_metrics.model_dump(),
        "comparison": report.comparison,
    }  # fmt: skip
    return Done(measured, is_stopped=report.stop_reason == "stopped_by_user")


def _tune(work: Work) -> Done:
    spec = {"name": work.folder.name, **work.params, "output": str(work.folder)}
    report = flow.tune(TuneSpec.model_validate(spec), on_event=work.on_event)
    measured = {
        "verdict": report.verdict, "best": report.best, "best_params": report.best_params, "seconds": report.seconds,
        "best_options": options_of(work.folder, report.best_params), "adapter": str(work.folder / "lora"),
    }  # fmt: skip
    return Done(measured)


def _evaluate(work: Work) -> Done:
    spec = EvaluateSpec.model_validate({**work.params, "output": str(work.folder)})
    report = flow.evaluate(spec, on_event=work.on_event)
    return Done({"scores": report.model_dump(mode="json", include={"scores"})["scores"], "rows": report.rows})


def _export(work: Work) -> Done:
    report = flow.export(ExportSpec.model_validate(dict(work.params)), on_event=work.on_event)
    return Done(report.model_dump(mode="json"))


def _install(work: Work) -> Done:
    spec = InstallSpec.model_validate(dict(work.params))
    result = flow.install(spec, on_event=work.on_event)
    return Done({"folder": str(result.folder)})


def _serve(work: Work) -> Done:
    """Ends when it is stopped, which is its only end."""
    address: dict[str, str] = {}

    def on_start(where: Address, model: ModelFacts) -> None:  # noqa: ARG001
        address["url"] = where.url
        work.on_plan(address)

    flow.serve(ServeSpec.model_validate({**work.params, "port": 0, "no_browser": True}), on_start=on_start)
    return Done({}, is_stopped=True)


def _adapter_folder(name: str) -> Path:
    return paths.free_folder(settings.load().adapters_dir / named(name, "run"))


def _evaluation_folder(name: str) -> Path:
    return paths.free_folder(settings.load().logs_dir / "evaluations" / named(name, "run"))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("train", TrainSpec, _train, _adapter_folder, computes=True),
        Kind("tune", TuneSpec, _tune, _adapter_folder, computes=True),
        Kind("evaluate", EvaluateSpec, _evaluate, _evaluation_folder, computes=True),
        Kind("export", ExportSpec, _export, None, computes=True),
        Kind("install", InstallSpec, _install, None, computes=False),
        Kind("serve", ServeSpec, _serve, None, computes=False),
    )
}
