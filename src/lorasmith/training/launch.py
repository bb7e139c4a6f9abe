"""From a training as asked for to its result: read the data, choose the parameters, run the worker, or go on with a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorasmith.core import paths, settings
from lorasmith.core.errors import (
    DoesNotFitProblem,
    InterruptedRun,
    LorasmithError,
    NotFoundProblem,
    UsageProblem,
    WorkerCrash,
)
from lorasmith.core.events import Decision, Listener, Writer
from lorasmith.core.facts import PREFERENCES, DataFacts, ModelFacts
from lorasmith.core.specs import make_spec
from lorasmith.env.folder import python_for
from lorasmith.hub.recognise import know_model
from lorasmith.plan import hardware, learned
from lorasmith.plan.choose import ways_out
from lorasmith.profiles import VARIANTS
from lorasmith.runners.local import Worker, run
from lorasmith.runners.tensorboard import curves_shown
from lorasmith.tracking.track import choose_trackers
from lorasmith.training import tracked
from lorasmith.training.ladder import step_down
from lorasmith.training.planning import QUANTIZER, PlanListener, given_in, planned
from lorasmith.training.report import TrainReport
from lorasmith.training.spec import (
    BASE_FILE,
    DATA_FILE,
    LOCK_FILE,
    REFERENCE_FILE,
    SPEC_FILE,
    TrainSpec,
    WorkerSpec,
    checkpoint_step,
    result_folder,
    spec_of,
)

_EVENTS_FILE, _REPORT_FILE = tracked.EVENTS_FILE, tracked.REPORT_FILE
# Kinds of problems that mean "not like this", against those of a run that broke and whose logs are wanted.
_REFUSALS = {"usage", "not_found", "does_not_fit", "data"}


def _nothing(*_: Any) -> None:
    """A listener for callers that want to know nothing."""


@dataclass(frozen=True)
class Adapter:
    """A trained adapter on disk."""

    path: Path


@dataclass(frozen=True)
class TrainResult:
    """A finished training: its folder, its report and its adapter."""

    folder: Path
    report: TrainReport

    @property
    def adapter(self) -> Adapter:
        """What was trained: an adapter, or a whole model where all weights were."""
        return Adapter(self.folder / result_folder(self.report.method))


def train(
    model: str | TrainSpec, data: str | Path = "", *, resume: bool = False, resume_from: str | Path | None = None,
    on_event: Listener = _nothing, on_plan: PlanListener = _nothing, curves_port: int | None = None, **options: Any,
) -> TrainResult:  # fmt: skip
    """Fine-tune `model` on the examples in `data` and return the adapter with its report. Blocks until it is done.

    `options` are the fields of `TrainSpec`. `resume` goes on with the latest unfinished run of the same model and
    data, `resume_from` with the run or checkpoint in that folder. `curves_port` shows the curves in TensorBoard as the option
    `tensorboard_port` does, without becoming a part of the run. Raises LorasmithError with what to do.
    """
    if resume or resume_from:
        return _resume(model, data, resume_from, on_event, on_plan, curves_port, options)
    spec = model if isinstance(model, TrainSpec) else make_spec(TrainSpec, model=model, data=str(data), **options)
    facts = know_model(spec.model)
    python_for(facts.local_folder)  # what is missing is told before the data is read
    choose_trackers(spec.tracker)
    folder = new_run_folder(spec, facts)
    existed = folder.exists()
    paths.make_folder(folder)
    try:
        return _run_training(planned(spec, facts, folder, on_event, on_plan), on_event, curves_port)
    except LorasmithError as problem:
        if problem.kind in _REFUSALS:
            leave_nothing(folder, existed)
        raise


def new_run_folder(spec: TrainSpec, facts: ModelFacts) -> Path:
    """Where a new training goes. Raises UsageProblem where there is one already."""
    if spec.output:
        folder = Path(spec.output).expanduser().absolute()
        if folder.is_file():
            raise UsageProblem(f"--output '{spec.output}' is a file", fix="Name a folder.")
        if (folder / SPEC_FILE).exists():
            raise UsageProblem(
                f"There is a training in '{spec.output}' already",
                fix=f"Go on with it: --resume-from {spec.output}, or name another folder.",
            )
        return folder
    stem = Path(spec.data).name.split(".")[0]
    return paths.free_folder(settings.load().adapters_dir / paths.safe_name(f"{facts.id}-{stem}"))


def leave_nothing(folder: Path, existed: bool) -> None:
    """A training that was refused before its first checkpoint leaves no trace."""
    if (folder / "checkpoints" / "last").exists():
        return
    for name in (DATA_FILE, SPEC_FILE, _EVENTS_FILE, LOCK_FILE, BASE_FILE, REFERENCE_FILE, tracked.KEY_FILE):
        (folder / name).unlink(missing_ok=True)
    for name in ("logs", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
    if not existed:
        folder.rmdir()


def _run_training(spec: WorkerSpec, on_event: Listener, curves_port: int | None) -> TrainResult:
    folder = spec.run_folder
    (folder / "logs").mkdir(exist_ok=True)
    with paths.only_one(folder / LOCK_FILE):
        pass  # another worker's events would be mixed with ours; the worker takes the lock itself in a moment
    python = python_for(spec.model_folder)
    port = None if spec.spec.no_tensorboard else curves_port or spec.spec.tensorboard_port
    with tracked.tracked(spec, on_event) as told, curves_shown(folder / "logs" / "training", port, python, on_event):
        report = _worked(spec, python, told)
        told.finished(report)
    _remember(spec, report)
    return TrainResult(folder, report)


def _worked(spec: WorkerSpec, python: Path, on_event: Listener) -> TrainReport:
    """The report of the worker, started again with a smaller plan where it died of memory too suddenly to do that itself."""
    folder, model = spec.run_folder, know_model(spec.spec.model)
    while True:
        paths.write_text(folder / SPEC_FILE, spec.model_dump_json(indent=2) + "\n")
        worker = Worker(
            "train", folder / SPEC_FILE, folder / _EVENTS_FILE, folder / "logs" / "worker.log", python=python,
            needs=needed_packages(spec, model),
        )  # fmt: skip
        try:
            return TrainReport(**run(worker, on_event))
        except InterruptedRun as stopped:
            kept = _last_checkpoint(folder)
            stopped.fix = f"Go on with --resume-from {folder}" if kept else "It had not come to its first checkpoint."
            raise
        except WorkerCrash as crash:
            if not crash.details.get("out_of_memory"):
                raise
            wanted = crash.why
        except DoesNotFitProblem as problem:
            if not problem.details.get("at_the_foot"):
                raise
            wanted = problem.why
        spec = _smaller(folder, wanted)
        decision = Decision(**spec.made[-1].model_dump(), lines=[spec.made[-1].reason])
        with Writer(folder / _EVENTS_FILE) as events:
            events.send(decision)
        on_event(decision)


def _smaller(folder: Path, wanted: str) -> WorkerSpec:
    """The run in `folder` one rung down, as its worker left it. Raises DoesNotFitProblem with what takes less."""
    spec = spec_of(folder)
    start = _last_checkpoint(folder)
    step = checkpoint_step(start) if start else 0
    try:
        return step_down(spec, start, step, wanted, can_quantize=spec.can_quantize)
    except DoesNotFitProblem as problem:
        facts, data = know_model(spec.spec.model), DataFacts(**spec.data_facts)
        fix = ways_out(spec.plan, given_in(spec.spec), facts, data, hardware.observe())
        raise DoesNotFitProblem(problem.what, why=problem.why, fix=fix) from None


def needed_packages(spec: WorkerSpec, model: ModelFacts) -> tuple[str, ...]:
    """Packages that this training needs and others do not."""
    plan = spec.plan
    is_quantized = plan.method == "qlora" or "8bit" in plan.optimizer
    return (
        *model.seldom_needed,
        QUANTIZER if is_quantized else "",
        "datasets" if plan.objective in PREFERENCES else "",
        *spec.integrations,
    )


def _remember(spec: WorkerSpec, report: TrainReport) -> None:
    """What the plan said of the memory, and what it came to: the next plan is made with it."""
    on_disk = spec_of(spec.run_folder)
    plan = on_disk.plan
    if plan != spec.plan or not VARIANTS[plan.variant].is_plain:
        return  # memory ran out on the way, or it is a kind of adapter that plans know only roughly
    how = {
        "precision": plan.precision, "rows": plan.micro_batch, "length": plan.max_length, "rank": plan.rank,
        "tight_memory": plan.tight_memory, "method": plan.method, "variant": plan.variant, "checkpointing": plan.checkpointing,
    }  # fmt: skip
    measurement = learned.Measurement(
        work="train", device=plan.device, family=spec.family, model=spec.model_id,
        planned=plan.uncorrected_peak_bytes, measured=report.peak_memory_bytes, how=how,
    )  # fmt: skip
    learned.remember(measurement)


def _resume(
    model: str | TrainSpec, data: str | Path, resume_from: str | Path | None, on_event: Listener,
    on_plan: PlanListener, curves_port: int | None, options: dict[str, Any],
) -> TrainResult:  # fmt: skip
    """Go on with a run exactly as it was begun: its own spec, its own plan, its own prepared data."""
    given = sorted(name for name, value in options.items() if value not in (None, "", False))
    if given:
        raise UsageProblem(
            f"--{given[0].replace('_', '-')} cannot be changed in the middle of a run",
            fix="Resume without it, or start anew.",
        )
    folder = _run_to_resume(str(model), str(data), resume_from)
    spec = spec_of(folder)
    if is_finished(folder):
        return TrainResult(folder, TrainReport(**json.loads((folder / _REPORT_FILE).read_text(encoding="utf-8"))))
    chosen = Path(resume_from).absolute() if resume_from and Path(resume_from).name.startswith("checkpoint-") else None
    spec = spec.model_copy(update={"run_folder": folder, "resume_from": chosen or _last_checkpoint(folder)})
    on_plan(know_model(spec.spec.model), DataFacts(**spec.data_facts), spec.plan, folder)
    return _run_training(spec, on_event, curves_port)


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` has come to its own end; one that was stopped from outside can go on."""
    try:
        report = json.loads((folder / _REPORT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return report["stop_reason"] not in ("stopped_by_user", "time_limit")


def _last_checkpoint(folder: Path) -> Path | None:
    last = folder / "checkpoints" / "last"
    return last.resolve() if last.exists() else None


def _run_to_resume(model: str, data: str, resume_from: str | Path | None) -> Path:
    if resume_from:
        start = Path(resume_from).expanduser().absolute()
        for folder in (start, start.parent.parent):
            if (folder / SPEC_FILE).exists():
                return folder
        raise NotFoundProblem(f"There is no training in '{resume_from}'", fix="Name the folder that --output made.")
    for path in sorted(settings.load().adapters_dir.glob(f"*/{SPEC_FILE}"), key=lambda path: -path.stat().st_mtime):
        spec = json.loads(path.read_text(encoding="utf-8"))["spec"]
        if not is_finished(path.parent) and spec["model"] == model and spec["data"] == data:
            return path.parent
    raise NotFoundProblem(
        f"There is no unfinished training of '{model}' on '{data}'", fix="Name its folder with --resume-from."
    )
