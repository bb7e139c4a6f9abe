"""The study in its database: which trials there are, what they have come to, and whose they are (TUN-4).

All trials of a search are written down as waiting when it begins, so that whoever shares the study takes from the same number.
"""

from __future__ import annotations

import contextlib
import random
import time
import uuid
import warnings
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import exc

from lorasmith.core.errors import UsageProblem
from lorasmith.store.database import reached
from lorasmith.tuning.rungs import Ended, Standing
from lorasmith.tuning.sample import LossSampler

BEAT_SECONDS, _GRACE_SECONDS = 60, 300
"""How often whoever has a trial says so, and after which silence it is given to others."""
_FILLING_SECONDS = 20.0
_TRIES = 8
_BELONGS = "belongs_to"
_READY = "is_ready"
_KEY = "key"
_FIX = "What the search has come to is kept there: start it again with the same command when it is back."
_AUTOMATIC = "automatic"


class Entry(NamedTuple):
    """A trial as the study has it."""

    number: int
    id: int
    state: TrialState
    params: dict[str, Any]
    losses: dict[int, float]
    """Validation loss by units."""
    notes: dict[str, Any]
    value: float | None

    @property
    def is_open(self) -> bool:
        """Begun, and not decided."""
        return self.state == TrialState.RUNNING

    @property
    def is_automatic(self) -> bool:
        """What would have been chosen without a search."""
        return bool(self.notes.get(_AUTOMATIC))

    @property
    def is_lost(self) -> bool:
        """Its machine was not heard of any more, and it is tried again under another number."""
        return self.state == TrialState.FAIL and "reason" not in self.notes

    @property
    def is_trained(self) -> bool:
        """It has come to its own end."""
        return bool(self.notes.get("trained"))

    @property
    def standing(self) -> Standing:
        ended: Ended = "done" if self.is_trained else "out" if self.state.is_finished() else ""
        return Standing(self.number, self.losses, ended)


class Ledger:
    """One study. Every call may raise EnvironmentProblem where the database has gone."""

    def __init__(self, storage: RDBStorage, study: optuna.Study, space: Mapping[str, BaseDistribution]):
        self._storage, self._study, self._space = storage, study, dict(space)

    @classmethod
    def open(
        cls, url: str, name: str, belongs: Mapping[str, Any], space: Mapping[str, BaseDistribution], *,
        trials: int, first: list[dict[str, Any]], maximize: bool, seed: int,
    ) -> Ledger:  # fmt: skip
        """The study `name` in the database at `url`, made where there is none, with `trials` trials of which the first have the
        parameters `first`.

        Raises EnvironmentProblem where the database cannot be reached, UsageProblem where the study is of another search.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        with _reached(url), contextlib.ExitStack() as refused:
            storage = _storage(url)
            refused.callback(_let_go, storage)
            sampler = LossSampler(space, seed)
            direction = "maximize" if maximize else "minimize"
            try:
                study = optuna.create_study(storage=storage, study_name=name, sampler=sampler, direction=direction)
                study.set_user_attr(_BELONGS, dict(belongs))
                study.set_user_attr(_KEY, uuid.uuid4().hex)
            except DuplicatedStudyError:
                study = optuna.load_study(storage=storage, study_name=name, sampler=sampler)
                _wait_until_ready(study)
                _require_same(name, study.user_attrs.get(_BELONGS, belongs), belongs)
            _fill(study, trials, first)
            study.set_user_attr(_READY, True)
            refused.pop_all()
        return cls(storage, study, space)

    @property
    def key(self) -> str:
        """The study's, unique in the world."""
        with _reached():
            return str(self._study.user_attrs[_KEY])

    def entries(self) -> list[Entry]:
        """All trials but those that were lost with a machine and are tried again."""
        with _reached():
            trials = self._study.get_trials(deepcopy=False)
        return [entry for entry in map(_entry, trials) if not entry.is_lost]

    def claim(self, entry: Entry) -> bool:
        """Take a waiting trial. False where somebody else was quicker."""
        with _reached():
            try:
                taken = self._storage.set_trial_state_values(entry.id, TrialState.RUNNING)
            except (RuntimeError, KeyError):  # it has ended already
                return False
            if taken:
                self._storage.record_heartbeat(entry.id)
        return taken

    def params(self, entry: Entry) -> dict[str, Any]:
        """The parameters of a claimed trial, drawn now if they have not been."""
        with _reached():
            trial = Trial(self._study, entry.id)
            return {name: _suggested(trial, name, one) for name, one in self._space.items()}

    def report(self, entry: Entry, losses: Mapping[int, float], **notes: Any) -> None:
        """Write down losses by units, and what else is known."""
        with _reached():
            trial = Trial(self._study, entry.id)
            for units, loss in losses.items():
                if units not in entry.losses:
                    trial.report(loss, units)
            for name, value in notes.items():
                trial.set_user_attr(name, value)

    def end(
        self, entry: Entry, state: TrialState, *, value: float | None = None, reason: str = "", **notes: Any
    ) -> None:
        """The trial's end, with its reason."""
        self.report(entry, {}, **notes, **({"reason": reason} if reason else {}))
        with _reached():
            self._study.tell(entry.number, value, state=state)

    def beat(self, mine: list[Entry]) -> None:
        """Say that these trials are looked after, and give free those of others of which that has long not been said."""
        with _reached():
            for entry in mine:
                self._storage.record_heartbeat(entry.id)
            fail_stale_trials(self._study)

    def importances(self) -> dict[str, float]:
        """By parameter, its share in how much the losses differ; empty where too few trials are known.

        PED-ANOVA (Watanabe et al., arXiv 2304.10255), which needs no further library.
        """
        known = [one for one in self.entries() if one.losses and set(one.params) == set(self._space)]
        varied = [name for name in self._space if len({one.params[name] for one in known}) > 1]
        if len(known) < 8 or not varied:
            return {}
        past = optuna.create_study(direction="minimize")
        for one in known:
            first = min(one.losses)
            past.add_trial(optuna.create_trial(params=one.params, distributions=self._space, value=one.losses[first]))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(past, evaluator=evaluator, params=varied)
        return {name: value for name, value in found.items() if value == value}  # noqa: PLR0124  not a number where it cannot be told

    def close(self) -> None:
        _let_go(self._storage)


def entries_of(url: str, name: str) -> list[Entry] | None:
    """The trials of a study, for who only looks on; None where there is no such study (yet). Raises EnvironmentProblem."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _reached(url):
        storage = _storage(url)
        try:
            study = optuna.load_study(storage=storage, study_name=name)
            found = [_entry(trial) for trial in study.get_trials(deepcopy=False)]
        except KeyError:
            return None
        finally:
            _let_go(storage)
    return [entry for entry in found if not entry.is_lost]


def _storage(url: str) -> RDBStorage:
    """Optuna's tables at `url`, made where there are none; others may be making them at the same moment."""
    for patience in range(_TRIES - 1, -1, -1):
        try:
            return RDBStorage(
                url,
                heartbeat_interval=BEAT_SECONDS,
                grace_period=_GRACE_SECONDS,
                heartbeat_stale_trial_callback=_again,
            )
        except (exc.ProgrammingError, exc.IntegrityError):
            if not patience:
                raise
            time.sleep(random.uniform(0.2, 1))
    raise AssertionError("unreachable")


def _let_go(storage: RDBStorage) -> None:
    """Close its connections."""
    storage.remove_session()
    storage.engine.dispose()


@contextlib.contextmanager
def _reached(url: str = "") -> Generator[None]:
    """What the database's trouble looks like to a user."""
    with reached(url, _FIX):
        try:
            yield
        except StorageInternalError as error:
            raise error.__cause__ or error from None


def _wait_until_ready(study: optuna.Study) -> None:
    """Whoever made the study may be about to write its trials down."""
    until = time.monotonic() + _FILLING_SECONDS
    while not study.user_attrs.get(_READY) and time.monotonic() < until:
        time.sleep(0.2)


def _require_same(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for what, value in ours.items():
        if theirs.get(what) != value:
            raise UsageProblem(
                f"The study '{name}' is of another search: its {what} is another",
                why=f"There: {theirs.get(what)}. Here: {value}.",
                fix="Begin another study: --name NAME, or go on with what it was begun with.",
            )


def _fill(study: optuna.Study, trials: int, first: list[dict[str, Any]]) -> None:
    """As many trials as are asked for, those that are missing written down as waiting."""
    there = len([one for one in study.get_trials(deepcopy=False) if not _entry(one).is_lost])
    for number in range(there, trials):
        notes = {} if number else {_AUTOMATIC: True}
        study.enqueue_trial(first[number] if number < len(first) else {}, user_attrs=notes)


def _again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Have a lost trial tried again, from its start."""
    entry = _entry(trial)
    study.enqueue_trial(entry.params, user_attrs={_AUTOMATIC: True} if entry.is_automatic else {})


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, list(distribution.choices))
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    raise TypeError(f"a space holds choices and ranges, not {type(distribution).__name__}")


def _entry(trial: FrozenTrial) -> Entry:
    return Entry(
        trial.number, trial._trial_id, trial.state, dict(trial.params), dict(trial.intermediate_values),
        dict(trial.user_attrs), trial.value if trial.state == TrialState.COMPLETE else None,
    )  # fmt: skip


def study_folder(asked: str | None, name: str, adapters: Path) -> Path:
    """Where a search's trials lie: always the same folder for the same study, so that it can be gone on with."""
    return Path(asked).expanduser().absolute() if asked else adapters / f"{name}-tuned"
