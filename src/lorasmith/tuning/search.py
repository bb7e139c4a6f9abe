"""The search itself: take a trial, train it to the next rung, write down what came of it, until all are decided (TUN-4)."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import TrialState

from lorasmith.core import errors, paths
from lorasmith.core.events import Event, Listener, Metric, Progress, Step
from lorasmith.plan.choose import TrainPlan
from lorasmith.tuning.bench import Seat
from lorasmith.tuning.ledger import BEAT_SECONDS, Entry, Ledger
from lorasmith.tuning.page import described
from lorasmith.tuning.rungs import RUNGS, UNITS, Far, kept, medians, units_left, verdict
from lorasmith.tuning.spec import Trained, Trouble
from lorasmith.tuning.tracked import Tracked
from lorasmith.tuning.trial import Trials

_TAKEN_FILE = ".taken"  # held by the process that is at a trial
_WAIT_SECONDS = 0.5
_CRASHES = 3
"""So many trials in a row whose worker died end the search: the fault is not theirs."""


class _Task(NamedTuple):
    """A trial, and up to which unit it is to be trained now."""

    entry: Entry
    units: int


class Search:
    """A study's trials as this process works at them, in `folder`; other processes may work at the same study."""

    def __init__(
        self,
        ledger: Ledger,
        trials: Trials,
        tracked: Tracked,
        folder: Path,
        *,
        finalists: int,
        listener: Listener,
        until: float,
    ):
        self.ledger, self.trials, self.tracked, self.folder = ledger, trials, tracked, folder
        self.finalists, self.until = finalists, until
        self.stopped = threading.Event()
        self.listener, self._lock = listener, threading.Lock()
        self._crashes = 0
        self._known: list[Entry] = []
        """The trials as they were when the last task was taken."""
        self._seconds_a_unit: float | None = None

    def work(self, seat: Seat) -> None:
        """Train until nothing is left to be trained here. Raises what ends the search: a lost database, a fault that every trial
        would have, or InterruptedRun."""
        while not self.stopped.is_set():
            with contextlib.ExitStack() as held:
                task = self._take(held)
                if task is None:
                    return
                if task.units:
                    self._train(task, seat)
            if not task.units:
                time.sleep(_WAIT_SECONDS)

    def wait_for_others(self) -> None:
        """Until the trials that came to their end on other machines have been measured there."""
        while not self.stopped.is_set() and self._has_time():
            if not any(entry.is_open and not self.place(entry).exists() for entry in self.ledger.entries()):
                return
            time.sleep(_WAIT_SECONDS)

    @contextlib.contextmanager
    def heard_of(self) -> Generator[None]:
        """Meanwhile the study is told that the trials here are looked after, however long one of them takes."""
        over = threading.Event()

        def beat() -> None:
            while not over.is_set():
                with contextlib.suppress(
                    errors.EnvironmentProblem
                ):  # whoever needs the database will say that it has gone
                    here = [entry for entry in self.ledger.entries() if self.place(entry).exists()]
                    self.ledger.beat([entry for entry in here if entry.is_open])
                over.wait(BEAT_SECONDS)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # What is next.

    def _take(self, held: contextlib.ExitStack) -> _Task | None:
        """The next task with its trial's lock held; one of no units to wait for others; None where nothing is left."""
        with self._lock:
            entries = self._known = self.ledger.entries()
            here = [entry for entry in entries if self.place(entry).exists()]
            waits = False
            for entry in here:
                if not entry.is_open or entry.is_trained:
                    continue
                lock = held.enter_context(contextlib.ExitStack())
                if not self._hold(entry, lock):
                    waits = True
                    continue
                units = self._next_units(entry, entries)
                if units:
                    return _Task(entry, units)
                lock.close()
                waits = waits or units is not None
            waiting = next((entry for entry in entries if entry.state == TrialState.WAITING), None)
            if waiting and self._has_time_for_more(entries):
                return self._begin(waiting, held)
            elsewhere = any(entry.is_open and not entry.is_trained for entry in entries if entry not in here)
            return _Task(entries[0], 0) if waits or (elsewhere and self._has_time()) else None

    def _begin(self, waiting: Entry, held: contextlib.ExitStack) -> _Task:
        """Claim a waiting trial: its folder and lock come first, so that it can be found again whatever happens."""
        lock = held.enter_context(contextlib.ExitStack())
        place = self.place(waiting)
        is_new = not place.exists()
        paths.make_folder(place)
        if not self._hold(waiting, lock) or not self.ledger.claim(waiting):
            lock.close()
            if is_new:
                shutil.rmtree(place, ignore_errors=True)
            return _Task(waiting, 0)
        return _Task(waiting, self._first_units(waiting))

    def _first_units(self, entry: Entry) -> int:
        return UNITS if entry.is_automatic else RUNGS[0]

    def _next_units(self, entry: Entry, entries: list[Entry]) -> int | None:
        """Up to where an open trial is to be trained now: 0 to wait; None where it has just ended."""
        target = int(entry.notes.get("target", 0)) or self._first_units(entry)
        if max(entry.losses, default=0) < target or target == UNITS:
            return target  # never begun, or broken off
        if not self._has_time():
            return None
        rung = RUNGS.index(target)
        waiting = [one for one in entries if one.state == TrialState.WAITING]
        known = [one for one in entries if one.state != TrialState.WAITING]
        rivals = [one.standing for one in known if one.number != entry.number]
        if waiting and self._has_time_for_more(entries):
            rivals += [one.standing for one in waiting]
        places = kept(len(rivals) + 1, rung, self.finalists)
        decided = verdict(entry.standing, rivals, rung, places)
        if decided == "out":
            self._end(entry, f"not among the best {places} at {RUNGS[rung]}/{UNITS}")
            return None
        return ([*RUNGS, UNITS][rung + 1]) if decided == "on" else 0

    def _has_time(self) -> bool:
        return time.monotonic() < self.until

    def _has_time_for_more(self, entries: list[Entry]) -> bool:
        """Whether a new trial may be begun: what is left has to do for those that are to go on, too."""
        begun = [entry for entry in entries if entry.state != TrialState.WAITING]
        if self._seconds_a_unit is None or not begun:
            return self._has_time()
        steps = [*RUNGS, UNITS]
        further = kept(len(begun), 0, self.finalists) * (steps[1] - steps[0]) + self.finalists * (steps[2] - steps[1])
        return time.monotonic() + (further + RUNGS[0]) * self._seconds_a_unit < self.until

    # What comes of it.

    def _train(self, task: _Task, seat: Seat) -> None:
        entry = task.entry
        params = self.ledger.params(entry)
        self.ledger.report(entry, {}, target=task.units)
        entry = entry._replace(params=params)
        try:
            plan = self.trials.plan(params)
        except errors.DoesNotFitProblem as problem:
            self._end(entry, problem.what)
            return
        rivals = [one.standing for one in self.ledger.entries() if one.number != entry.number]
        limits = medians(rivals) if task.units == UNITS and not entry.is_automatic else {}
        # A finalist's rate is often high, and its loss rises before it falls: what ends it are others. Its best state is kept.
        spec = self.trials.spec(
            plan, self.place(entry), units=task.units, stop_above=limits, stops_itself=entry.is_automatic
        )
        shown = _Shown(self, entry, plan)
        self.tracked.trial(entry, plan, spec.run_folder)
        try:
            result = seat.train(spec, shown)
        except errors.WorkerCrash as crash:
            self._crashed(entry, crash)
            return
        self._crashes = 0
        if isinstance(result, Trouble):
            self._troubled(entry, result)
        else:
            self._trained(entry, result, self.trials.units(plan, result.losses))

    def _trained(self, entry: Entry, result: Trained, losses: dict[int, float]) -> None:
        if result.stop_reason == "stopped_by_user":
            self.ledger.report(entry, losses)
            raise errors.InterruptedRun("The search was stopped", fix="Go on with the same command.")
        notes = {"seconds": round(result.seconds, 2), "resident_bytes": result.resident_bytes}
        if losses:
            self._seconds_a_unit = result.seconds / max(losses)
        is_over = result.stop_reason not in ("paused", "outdone")
        self.ledger.report(entry, losses, **notes, **({"trained": result.stop_reason} if is_over else {}))
        entry = entry._replace(losses=entry.losses | losses)
        self._tell(entry, "" if is_over else result.stop_reason)
        if result.stop_reason == "outdone":
            self._end(entry, "others were better by then")

    def _troubled(self, entry: Entry, trouble: Trouble) -> None:
        if trouble.kind == "failed":
            problem = errors.from_dict(trouble.error) if trouble.error else None
            if entry.is_automatic and problem:
                raise problem  # so would be all others
            self._fail(entry, trouble.reason)
            return
        words = {"diverged": "diverged", "out_of_memory": "memory ran out"}
        self._end(entry, f"{words[trouble.kind]}: {trouble.reason}")

    def _crashed(self, entry: Entry, crash: errors.WorkerCrash) -> None:
        if self.stopped.is_set():
            raise errors.InterruptedRun("The search was stopped", fix="Go on with the same command.") from None
        self._crashes += 1
        if crash.details.get("out_of_memory"):
            self._end(entry, f"memory ran out: {crash.why}")
        else:
            self._fail(entry, str(crash))
        if self._crashes >= _CRASHES:
            raise crash

    def _end(self, entry: Entry, reason: str) -> None:
        """It goes no further; nothing of it but figures is kept."""
        self._close(entry, TrialState.PRUNED, reason)
        if not entry.losses:
            self._say(entry, reason)

    def _fail(self, entry: Entry, reason: str) -> None:
        self._close(entry, TrialState.FAIL, reason)
        self._say(entry, f"failed: {reason}")

    def _close(self, entry: Entry, state: TrialState, reason: str) -> None:
        self.ledger.end(entry, state, reason=reason)
        self.tracked.ended(entry, state, reason)
        shutil.rmtree(self.place(entry) / "checkpoints", ignore_errors=True)

    def _tell(self, entry: Entry, how: str) -> None:
        units = max(entry.losses, default=0)
        loss = min(entry.losses.values(), default=float("nan"))
        far = f"{units}/{UNITS}" if how else f"its end ({units}/{UNITS})"
        self._say(entry, f"loss {loss:.4g} at {far}  {described(entry.params, self._automatic)}")

    @property
    def _automatic(self) -> dict[str, Any]:
        return next((one.params for one in self._known if one.is_automatic), {})

    def _say(self, entry: Entry, text: str) -> None:
        title = "automatic" if entry.is_automatic else f"trial {entry.number}"
        self.listener(Step(title=title, note=text))

    def tell_progress(self, entry: Entry, units: float, note: str) -> None:
        """How far the search is while `entry` is at so many units. What others do meanwhile is not counted."""
        reached = {one.number: float(max(one.losses, default=0)) for one in self._known} | {entry.number: units}
        drawn = [
            Far(reached[one.number], one.state.is_finished() or one.is_trained)
            for one in self._known
            if not one.is_automatic
        ]
        left = units_left(drawn, len(reached), self.finalists) + (UNITS - units if entry.is_automatic else 0)
        done = sum(reached.values())
        seconds = left * self._seconds_a_unit if self._seconds_a_unit else None
        name = "automatic choice" if entry.is_automatic else f"trial {entry.number}"
        self.listener(
            Progress(
                stage="search", done=round(done), total=max(round(done + left), round(done) + 1), unit="rounds",
                seconds_left=seconds, note=" · ".join(filter(None, (name, note))),
            )
        )  # fmt: skip

    # Where trials lie, and whose they are.

    def place(self, entry: Entry) -> Path:
        """The trial's folder: a training's, once it is trained."""
        return self.folder / "trials" / f"{entry.number:03d}"

    def _hold(self, entry: Entry, lock: contextlib.ExitStack) -> bool:
        try:
            lock.enter_context(paths.only_one(self.place(entry) / _TAKEN_FILE))
        except errors.UsageProblem:
            return False
        return True

    def finalists_here(self) -> Iterator[Entry]:
        """The trials that have come to their end in this folder and have not been measured."""
        for entry in self.ledger.entries():
            if entry.is_open and entry.is_trained and self.place(entry).exists():
                yield entry


class _Shown:
    """Makes the progress of a trial's steps the progress of the search: in units, of those that it will take altogether."""

    def __init__(self, search: Search, entry: Entry, plan: TrainPlan):
        self._search, self._entry, self._plan = search, entry, plan

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "train":
            now = event.done / self._plan.eval_every
            self._search.tell_progress(self._entry, now, event.note.split(" · ")[0])
        elif isinstance(event, Metric):
            self._search.tracked.metric(self._entry, event)
        else:
            self._search.listener(event)
