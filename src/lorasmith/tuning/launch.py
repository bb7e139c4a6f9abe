"""From a search as asked for to its best adapter: read the data, find the study, let trials be trained, measure the finalists."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from lorasmith.core import errors, paths, settings
from lorasmith.core.events import Event, Listener, Step, Warn
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.core.specs import make_spec
from lorasmith.env.folder import python_for
from lorasmith.evaluation.report import BASE, EvaluationReport, Figure, measure
from lorasmith.hub.recognise import know_model
from lorasmith.plan import hardware
from lorasmith.store.database import url_of
from lorasmith.tracking.track import Track, choose_trackers, tracking
from lorasmith.training.launch import needed_packages
from lorasmith.training.planning import planned
from lorasmith.training.spec import DATA_FILE, WorkerSpec
from lorasmith.tuning import space, variables
from lorasmith.tuning.bench import Seat, at_work, seats
from lorasmith.tuning.ledger import Entry, Ledger, study_folder
from lorasmith.tuning.report import REPORT_FILE, TrialRow, TuneReport
from lorasmith.tuning.score import Score, choose_score, measuring, told
from lorasmith.tuning.search import Search
from lorasmith.tuning.spec import TuneJob, TuneSpec
from lorasmith.tuning.tracked import OUTCOMES, Tracked
from lorasmith.tuning.trial import Trials

LOG_FILE = "tune.log"
STUDIES_FILE = "studies.db"
START_FILE = "search.json"
"""The automatic choice, as a training is given it."""
_RATES = (2.0, 0.5)
"""Times the automatic learning rate: what most often is better, tried before anything is drawn."""


def tune(
    model: str | TuneSpec, data: str | Path = "", *, on_event: Listener = lambda _: None, **options: Any
) -> TuneReport:
    """Search for parameters that do better on held-out rows than the automatic choice; blocks until it is done.

    `options` are the fields of `TuneSpec`. The same call goes on with a search that was broken off. Raises LorasmithError with
    what to do; InterruptedRun where it was stopped.
    """
    spec = model if isinstance(model, TuneSpec) else _asked(model, data, options)
    facts = know_model(spec.model)
    known = settings.load()
    ranges = space.ranges(known.search_space, variables.ranges(), space.given_ranges(spec.space))
    name = spec.name or paths.safe_name(f"{facts.id}-{Path(spec.data).name.split('.')[0]}")
    folder = study_folder(spec.output, name, known.adapters_dir)
    existed = folder.exists()
    paths.make_folder(folder / "logs")
    log = _Log(folder / LOG_FILE, on_event)
    try:
        python_for(facts.local_folder)  # what is missing is told before the data is read
        start = _start(spec, facts, folder, log)
        score = choose_score(spec, start)
        trackers = choose_trackers(spec.tracker)
        if score.note:
            log(Warn(message=score.note))
        ledger, first = _study(spec, name, facts, start, score, ranges)
    except errors.LorasmithError:
        _leave_nothing(folder, existed)
        raise
    log(Step(title="search", note=f"{spec.trials} trials; {score.title} decides; {folder}"))
    with (
        contextlib.closing(ledger),
        tracking(name, trackers, log) as track,
        _watched(track, ledger, name, start) as tracked,
    ):
        trials = Trials(start, facts, hardware.observe(), first["epochs"], together=spec.together)
        if trials.together < spec.together:
            log(Warn(message=f"There is memory for {trials.together} of {spec.together} trials at the same time."))
        found = _searched(spec, trials, score, ledger, tracked, folder, log)
        report = _report(spec, name, score, ledger, start, found, folder)
        report.write()
        if found.report:
            tracked.found(report, ledger.entries())
    return report


@contextlib.contextmanager
def _watched(track: Track, ledger: Ledger, name: str, start: WorkerSpec) -> Generator[Tracked]:
    """The search as trackers are told of it, whatever becomes of it."""
    tracked = Tracked(track, ledger.key, name, start)
    try:
        yield tracked
    except BaseException as error:
        tracked.broke_off(str(error), is_stopped=isinstance(error, errors.InterruptedRun | KeyboardInterrupt))
        raise


def _study(
    spec: TuneSpec, name: str, facts: ModelFacts, start: WorkerSpec, score: Score, ranges: Mapping[str, space.Range]
) -> tuple[Ledger, dict[str, Any]]:
    """The study, and the parameters of its first trial: the automatic choice within the ranges."""
    automatic = space.automatic(start.plan)
    around = {key: one.around(automatic[key]) for key, one in ranges.items()}
    first = {key: value for key, (_, value) in around.items()}
    ledger = Ledger.open(
        url_of(spec.storage, STUDIES_FILE), name, _belongs(facts, start, score, ranges),
        {key: one for key, (one, _) in around.items()}, trials=spec.trials, first=[first, *_likely(first, around)],
        maximize=score.higher_is_better, seed=spec.seed,
    )  # fmt: skip
    return ledger, first


def _searched(
    spec: TuneSpec, trials: Trials, score: Score, ledger: Ledger, tracked: Tracked, folder: Path, log: Listener
) -> _Found:
    """Train what there is to train, and measure what came to its end."""
    until = time.monotonic() + 60 * spec.timeout if spec.timeout else float("inf")
    search = Search(ledger, trials, tracked, folder, finalists=spec.finalists, listener=log, until=until)
    start, facts = trials.start, trials.facts
    python, needs = python_for(facts.local_folder), needed_packages(start, facts)
    with search.heard_of():
        job = TuneJob(start=start, seats=trials.together)
        with seats(job, spec.jobs, folder, python=python, needs=needs) as made:
            at_work(
                made, search.work, search.stopped, what="The search was stopped", fix="Go on with the same command."
            )
            found = _measured(spec, score, start, search, made[0], log)
        search.wait_for_others()
    return found


def _leave_nothing(folder: Path, existed: bool) -> None:
    """A search that was refused before its first trial leaves no trace."""
    if (folder / "trials").exists():
        return
    for name in (START_FILE, DATA_FILE, LOG_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "logs", ignore_errors=True)
    if not existed:
        folder.rmdir()


def _asked(model: str, data: str | Path, options: dict[str, Any]) -> TuneSpec:
    """What is given, what the environment says, the defaults: in this order."""
    trials = variables.trials() if options.get("trials") is None else options["trials"]
    more = {} if trials is None else {"trials": trials}
    return make_spec(TuneSpec, model=model or variables.model(), data=str(data), **(options | more))


def _start(spec: TuneSpec, facts: ModelFacts, folder: Path, log: Listener) -> WorkerSpec:
    """The automatic choice with its prepared rows: what is in the folder already, where the search goes on."""
    file = folder / START_FILE
    asked = spec.training()
    if file.exists() and (folder / DATA_FILE).exists():
        kept = WorkerSpec.model_validate_json(file.read_text(encoding="utf-8"))
        if kept.spec == asked and kept.model_folder == facts.local_folder:
            return kept
        raise errors.UsageProblem(
            f"There is another search in '{folder}'", why=_what_differs(kept.spec.model_dump(), asked.model_dump()),
            fix="Name another folder with --output, and another study with --name.",
        )  # fmt: skip
    start = planned(asked, facts, folder, log, _unheard)
    if not DataFacts(**start.data_facts).num_validation:
        raise errors.DataProblem(
            "No row is held out, so that nothing can be compared", why=f"The file has {start.data_facts['num_rows']} rows.",
            fix="Give more rows, or hold more of them out: --eval-fraction 0.3.",
        )  # fmt: skip
    paths.write_text(file, start.model_dump_json(indent=2) + "\n")
    return start


def _unheard(*_: Any) -> None:
    """Nobody asks for the plan of the automatic choice by itself."""


def _what_differs(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    name = next((name for name in ours if ours[name] != theirs.get(name)), "model")
    return f"Its {name} is {theirs.get(name)!r}, and here it is {ours.get(name)!r}."


def _belongs(facts: ModelFacts, start: WorkerSpec, score: Score, asked: Mapping[str, space.Range]) -> dict[str, Any]:
    """What must be the same for all who share a study."""
    data = DataFacts(**start.data_facts)
    varied = json.dumps({name: [*one.values, *one.factors, one.low, one.high] for name, one in sorted(asked.items())})
    return {
        "model": f"{facts.id}@{facts.revision}" if facts.revision else facts.id,
        "data": data.sha256,
        "held-out part": data.threshold,
        "score": score.figure,
        "space": varied,
    }


def _likely(first: Mapping[str, Any], around: Mapping[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """What is tried before anything is drawn: the automatic choice at other rates, where they lie within their range."""
    rate = around["learning_rate"][0]
    low, high = getattr(rate, "low", 0.0), getattr(rate, "high", 0.0)
    rates = [first["learning_rate"] * factor for factor in _RATES]
    return [{**first, "learning_rate": value} for value in rates if low <= value <= high]


class _Found:
    """What was measured in this folder, this time."""

    def __init__(self, report: EvaluationReport | None = None, gain: Mapping[int, Figure] | None = None):
        self.report, self.gain = report, dict(gain or {})


def _measured(spec: TuneSpec, score: Score, start: WorkerSpec, search: Search, seat: Seat, log: Listener) -> _Found:
    """Let finalists answer held-out rows, once they all are trained, and write down what they are worth."""
    entries = search.ledger.entries()
    new = list(search.finalists_here())
    old = [entry for entry in entries if entry.value is not None and (search.place(entry) / "lora").exists()]
    if not new and (not old or (search.folder / REPORT_FILE).exists()):
        return _Found()
    folder = paths.make_folder(search.folder / "evaluation")
    chosen = {_name(entry): entry for entry in (*old, *new)}
    adapters = {name: search.place(entry) / "lora" for name, entry in chosen.items()}
    job = measuring(spec, score, start, adapters, folder)
    seat.answer(job, DataFacts(**start.data_facts).threshold, log)
    measured = measure(job, folder, log)
    report = measured.report(folder)
    automatic = next((name for name, entry in chosen.items() if entry.is_automatic), None)
    gain: dict[int, Figure] = {}
    for name, entry in chosen.items():
        own = report.scores[name]
        for line in told(entry.number, entry.params, name, report, min(spec.judge_rows, report.rows)):
            log(Step(title="", note=line))
        if automatic and name != automatic and (apart := measured.between(score.figure, automatic, name)):
            gain[entry.number] = Figure(value=apart.value, low=apart.low, high=apart.high)
        if entry.is_open:
            if score.figure not in own:
                raise errors.EnvironmentProblem(
                    f"No trial could be measured by {score.title}", why="; ".join(report.notes) or "No row has a figure.",
                    fix="What was trained is kept: start it again with the same command, or with another --name and --metric.",
                )  # fmt: skip
            notes = {figure: own[figure].value for figure in own}
            search.tracked.measured(entry, notes, adapters[name])
            search.ledger.end(entry, TrialState.COMPLETE, value=own[score.figure].value, figures=notes)
            search.tracked.ended(entry, TrialState.COMPLETE)
    return _Found(report, gain)


def _name(entry: Entry) -> str:
    return "automatic" if entry.is_automatic else f"trial_{entry.number}"


def _report(
    spec: TuneSpec, name: str, score: Score, ledger: Ledger, start: WorkerSpec, found: _Found, folder: Path
) -> TuneReport:
    entries = ledger.entries()
    complete = [entry for entry in entries if entry.value is not None]
    if not complete:
        why = _why_none(entries)
        raise errors.DataProblem(
            "No trial came to its end", why=why, fix="Give it more time: the same command goes on."
        )
    report = found.report
    if report is None and (folder / REPORT_FILE).exists():
        return TuneReport(**json.loads((folder / REPORT_FILE).read_text(encoding="utf-8")), folder=str(folder))
    sign = -1 if score.higher_is_better else 1
    leader = min(complete, key=lambda entry: (sign * (entry.value or 0.0), not entry.is_automatic, entry.number))
    _keep(folder / "trials" / f"{leader.number:03d}" / "lora", folder / "lora")
    numbers = {_name(entry): entry.number for entry in complete}
    left = sum(entry.state in (TrialState.WAITING, TrialState.RUNNING) for entry in entries)
    scores = report.scores if report else {}
    notes = [note for note in report.notes if note.partition(":")[0] not in scores] if report else []
    if not report:
        notes.append(
            f"The best is trial {leader.number}, which lies on the machine that trained it; none of those here were measured."
        )
    if left:
        notes.append(f"{left} of {len(entries)} trials are left: the same command goes on.")
    return TuneReport(
        study=name, model_id=start.model_id, data=spec.data, figure=score.figure,
        kind=report.kinds[score.figure] if report else score.kind, note=score.note, best=leader.number,
        best_params=leader.params, base=scores[BASE].get(score.figure) if report else None,
        scores={numbers[one]: figures[score.figure] for one, figures in scores.items() if one in numbers},
        gain=None if leader.is_automatic else found.gain.get(leader.number), rows=report.rows if report else 0,
        trials=[row_of(entry) for entry in entries], importances=ledger.importances(),
        seconds=sum(entry.notes.get("seconds", 0.0) for entry in entries), notes=notes, folder=str(folder),
    )  # fmt: skip


def _keep(adapter: Path, target: Path) -> None:
    def fill(folder: Path) -> None:
        shutil.copytree(adapter, folder, dirs_exist_ok=True)

    if adapter.exists():
        paths.write_folder(target, fill)


def _why_none(entries: list[Entry]) -> str:
    reasons = [f"trial {entry.number}: {entry.notes['reason']}" for entry in entries if entry.notes.get("reason")]
    return "; ".join(reasons[:3]) or "The time was up."


def row_of(entry: Entry) -> TrialRow:
    """The trial as a report has it."""
    return TrialRow(
        number=entry.number, is_automatic=entry.is_automatic, outcome=OUTCOMES.get(entry.state, "under way"),
        reason=entry.notes.get("reason", ""), params=entry.params, losses=entry.losses, value=entry.value,
        seconds=entry.notes.get("seconds"), resident_bytes=entry.notes.get("resident_bytes"),
    )  # fmt: skip


class _Log:
    """Keeps what is told in a file, a line each with its time, and passes it on; called from several threads."""

    def __init__(self, path: Path, listener: Listener):
        self._path, self._listener, self._lock = path, listener, threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Step | Warn):
                said = event.message if isinstance(event, Warn) else ": ".join(filter(None, (event.title, event.note)))
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {said}\n")
            self._listener(event)
