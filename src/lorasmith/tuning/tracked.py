"""A search as remote trackers are told of it: a run for it, one within it for each trial, one for what was found (TRK-1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import TrialState

from lorasmith.core.events import Metric
from lorasmith.plan.choose import TrainPlan
from lorasmith.tracking.track import Track
from lorasmith.training.spec import WorkerSpec
from lorasmith.training.tracked import EVENTS_FILE, about, params_of
from lorasmith.tuning.ledger import Entry
from lorasmith.tuning.report import REPORT_FILE, TuneReport

OUTCOMES = {
    TrialState.COMPLETE: "measured",
    TrialState.PRUNED: "ended early",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}
_FIGURES = {"bertscore": "bert_score", "judge": "llm_judge_score", "combined": "combined_score"}
"""What figures are called there; others keep their names."""


class Tracked:
    """The search with that `key`, which all who share its study know it by."""

    def __init__(self, track: Track, key: str, name: str, start: WorkerSpec):
        self._track, self._key, self._start = track, key, start
        self._tags = {"model_type": start.family, "optimization_type": "optuna"}
        self._seen: set[int] = set()
        """Trials that this process has been at."""
        track.begin(key, name, tags=self._tags, params=about(start))

    def trial(self, entry: Entry, plan: TrainPlan, folder: Path) -> None:
        """It is begun in `folder`, or goes on there."""
        name = "automatic" if entry.is_automatic else f"trial {entry.number}"
        self._track.begin(
            self._of(entry), name, parent=self._key, tags=self._tags | {"trial_number": str(entry.number)},
            params=about(self._start) | params_of(plan),
        )  # fmt: skip
        if entry.number not in self._seen:
            self._track.again(self._of(entry), folder / EVENTS_FILE)
            self._seen.add(entry.number)

    def metric(self, entry: Entry, event: Metric) -> None:
        """Numbers of one of its steps."""
        self._track.metric(self._of(entry), event)

    def measured(self, entry: Entry, figures: Mapping[str, float], adapter: Path) -> None:
        """What it is worth, and what it has learnt."""
        self._track.figures(self._of(entry), _named(figures))
        self._track.artifact(self._of(entry), adapter, "adapter")

    def ended(self, entry: Entry, state: TrialState, reason: str = "") -> None:
        self._track.tags(self._of(entry), outcome=OUTCOMES[state], **({"reason": reason} if reason else {}))
        self._track.end(self._of(entry), "failed" if state == TrialState.FAIL else "finished")

    def found(self, report: TuneReport, entries: Sequence[Entry]) -> None:
        """What the search has come to, in a run of its own; and of trials that ended when nobody could say so, that they did."""
        for entry in entries:
            if entry.state.is_finished():
                self.ended(entry, entry.state, entry.notes.get("reason", ""))
        figures = next(entry.notes.get("figures", {}) for entry in entries if entry.number == report.best)
        best, folder = f"{self._key}.best", Path(report.folder)
        params = {**about(self._start), **report.best_params, "n_trials": len(report.trials), "best_trial": report.best}
        self._track.begin(best, "best", parent=self._key, tags=self._tags | {"verdict": report.verdict}, params=params)
        self._track.figures(best, _named(figures) | ({"gain": report.gain.value} if report.gain else {}))
        self._track.artifact(best, folder / "lora", "model")
        for key in (best, self._key):
            self._track.artifact(key, folder / REPORT_FILE)
            self._track.end(key, "finished")

    def broke_off(self, reason: str, *, is_stopped: bool) -> None:
        """The search has ended before its time."""
        self._track.tags(self._key, reason=reason)
        self._track.end(self._key, "stopped" if is_stopped else "failed")

    def _of(self, entry: Entry) -> str:
        return f"{self._key}.{entry.number}"


def _named(figures: Mapping[str, float]) -> dict[str, float]:
    return {_FIGURES.get(name, name): value for name, value in figures.items()}
