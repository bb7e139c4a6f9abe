"""Several trainings as asked for, side by side over one base in one process: one copy of its weights, and where their adapters
allow it their steps computed at once (TRN-10). Each is the training that it would be alone."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lorasmith.core import errors, paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.events import Event, Warn
from lorasmith.core.facts import PREFERENCES, ModelFacts
from lorasmith.core.registry import nearest
from lorasmith.core.specs import make_spec
from lorasmith.env.folder import python_for
from lorasmith.hub.recognise import know_model
from lorasmith.plan import hardware
from lorasmith.tracking.track import choose_trackers
from lorasmith.training import launch, tracked
from lorasmith.training.planning import planned
from lorasmith.training.report import TrainReport
from lorasmith.training.spec import SPEC_FILE, TrainSpec, WorkerSpec
from lorasmith.tuning.bench import Seat, at_work, seats
from lorasmith.tuning.sharing import fitting
from lorasmith.tuning.spec import Trouble, TuneJob

Told = Callable[[str, Event], None]
"""Hears of a run by its name."""


class Run(NamedTuple):
    """One of the trainings, as it was planned."""

    name: str
    spec: WorkerSpec


def _unheard(*_: Any) -> None:
    """Nobody is told."""


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a YAML file for `--together`: a list, each entry the options that are its own. Raises UsageProblem by entry."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageProblem(f"The file of runs '{path}' cannot be read", why=f"{error}.") from error
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise UsageProblem(
            f"'{path}' must be a list of runs", fix="Such as:\n- {lora_r: 8, learning_rate: 0.001}\n- {lora_r: 32}"
        )
    runs = [{str(key).replace("-", "_"): value for key, value in one.items()} for one in found]
    for number, one in enumerate(runs, start=1):
        for key in one:
            if key not in TrainSpec.model_fields:
                raise UsageProblem(
                    f"Unknown key '{key}' in run {number} of '{path}'", fix=nearest(key, TrainSpec.model_fields)
                )
    return runs


def train_together(
    model: str, runs: Iterable[Mapping[str, Any]], data: str | Path = "", *, on_event: Told = _unheard,
    on_plans: Callable[[Sequence[Run], int], None] = _unheard, **common: Any,
) -> dict[str, launch.TrainResult]:  # fmt: skip
    """Fine-tune `model` several times at once; the results by the names of their folders, in the order of `runs`.

    Each of `runs` holds fields of `TrainSpec` that are its own, over those that all have in `common`. As many train at a time as
    there is memory for; `on_plans` hears what was planned, and that number. A run that fails in company (memory, a loss that
    leaves its path) is carried on alone, where it can step down. Raises LorasmithError with what to do.
    """
    specs = [make_spec(TrainSpec, **({"data": str(data)} | common | dict(one) | {"model": model})) for one in runs]
    if not specs:
        raise UsageProblem("There is no run to train", fix="Name at least one.")
    facts = know_model(model)
    if facts.family != "language":
        raise UsageProblem(
            f"Models of the family {facts.family} are not trained side by side", why="Only language models can share a step.",
            fix="Train one after the other.",
        )  # fmt: skip
    python = python_for(facts.local_folder)
    for spec in specs:
        choose_trackers(spec.tracker)
    made = _planned(specs, facts, on_event)
    together = fitting([run.spec.plan for run in made], facts, hardware.observe())
    on_plans(made, together)
    if together < len(made):
        said = f"There is memory for {together} of {len(made)} trainings at the same time; the others follow."
        on_event("", Warn(message=said))
    company = made[0].spec.run_folder
    needs = tuple({package for run in made for package in launch.needed_packages(run.spec, facts)})
    left: queue.SimpleQueue[Run] = queue.SimpleQueue()
    for run in made:
        left.put(run)
    alone: list[str] = []
    stopped = threading.Event()
    with seats(TuneJob(start=made[0].spec, seats=together), 1, company, python=python, needs=needs) as taken:
        at_work(
            taken, lambda seat: _work(seat, left, alone, stopped, on_event), stopped, what="The trainings were stopped",
            fix=f"Go on with each by itself: lorasmith train --resume-from {made[0].spec.run_folder}",
        )  # fmt: skip
    for run in made:
        if run.name in alone:
            launch.train("", resume_from=run.spec.run_folder, on_event=lambda event, run=run: on_event(run.name, event))
    return {
        run.name: _result(run.spec.run_folder) for run in made if (run.spec.run_folder / tracked.REPORT_FILE).exists()
    }


def _planned(specs: Sequence[TrainSpec], facts: ModelFacts, on_event: Told) -> list[Run]:
    """A folder with data and plan for each. Raises what a training raises before it begins, and leaves nothing then."""
    made: list[Run] = []
    begun: list[tuple[Path, bool]] = []
    try:
        for spec in specs:
            folder = launch.new_run_folder(spec, facts)
            begun.append((folder, folder.exists()))
            paths.make_folder(folder / "logs")
            name = folder.name
            one = planned(spec, facts, folder, lambda event, name=name: on_event(name, event), _unheard)
            paths.write_text(folder / SPEC_FILE, one.model_dump_json(indent=2) + "\n")
            made.append(Run(name, one))
        _require_alike(made)
    except errors.LorasmithError:
        for folder, existed in begun:
            launch.leave_nothing(folder, existed)
        raise
    return made


def _require_alike(runs: Sequence[Run]) -> None:
    """Raises UsageProblem where one of the runs cannot be over the same base in memory as the first."""
    first = runs[0].spec.plan
    for run in runs:
        plan = run.spec.plan
        if plan.method == "full" or plan.objective in PREFERENCES:
            raise UsageProblem(
                f"'{run.name}' cannot be trained side by side with others", fix="Train it by itself.",
                why="All weights would change under the others." if plan.method == "full" else "Preferences are learnt alone.",
            )  # fmt: skip
        for name in ("method", "precision", "device"):
            if getattr(plan, name) != getattr(first, name):
                raise UsageProblem(
                    f"'{run.name}' has the {name} {getattr(plan, name)}, and '{runs[0].name}' {getattr(first, name)}",
                    why="One base serves them all.", fix=f"Give all of them the same --{name}.",
                )  # fmt: skip


def _work(seat: Seat, left: queue.SimpleQueue[Run], alone: list[str], stopped: threading.Event, on_event: Told) -> None:
    """Train what is left, one run after the other, until nothing is."""
    while not stopped.is_set():
        try:
            run = left.get_nowait()
        except queue.Empty:
            return

        def listen(event: Event, run: Run = run) -> None:
            on_event(run.name, event)

        with tracked.tracked(run.spec, listen) as told:
            found = seat.train(run.spec, told)
            if isinstance(found, Trouble):
                said = f"It goes on alone when the others have ended: {found.reason}"
                listen(Warn(message=said))
                alone.append(run.name)
            else:
                told.finished(_result(run.spec.run_folder).report)


def _result(folder: Path) -> launch.TrainResult:
    report = json.loads((folder / tracked.REPORT_FILE).read_text(encoding="utf-8"))
    return launch.TrainResult(folder, TrainReport(**report))
