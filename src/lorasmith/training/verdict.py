"""How a training went, in sentences: for the terminal and for the report. It measures nothing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lorasmith.core.facts import PREFERENCES
from lorasmith.training.spec import TrainSpec, result_folder

if TYPE_CHECKING:
    from lorasmith.training.report import TrainReport

STOP_SENTENCES = {
    "completed": "It ran to its planned end.",
    "early_stopping_patience": "It stopped early: the validation loss no longer fell.",
    "moderate_overfitting": "It stopped early: it began to learn the training rows by heart.",
    "severe_overfitting": "It stopped early: it was learning the training rows by heart.",
    "diverged": "It stopped because the loss rose out of bounds.",
    "stopped_by_user": "It was stopped by hand.",
    "time_limit": "It stopped at its time limit.",
    "paused": "It waits until it is known whether it is worth going on.",
    "outdone": "It stopped early: other trials were better by then.",
}
_MIN_GAIN = 0.01  # of the loss: less is no difference
# What says nothing of what is learnt, and what another run must not have: its folder is taken.
_NOT_REPEATED = {"model", "data", "output", "tensorboard_port"}


def right_answers(objective: str) -> str:
    """What the share of right answers is a share of; empty where there is no right answer."""
    if objective == "pretrain":
        return ""
    return "right choices" if objective in PREFERENCES else "exact answers"


def verdict(report: TrainReport) -> str:
    """Whether it was worth it, by rows that it has not seen."""
    if report.stop_reason != "diverged":
        return _gain(report)
    kept = "what is kept is its last good state" if report.evaluations else "nothing was learnt"
    return f"The loss rose however often the learning rate was halved: {kept}. {_gain(report)}"


def _gain(report: TrainReport) -> str:
    compared = report.comparison
    if not compared:
        return "No row was held out, so nothing says how it does on rows that it has not seen."
    base, tuned = compared["base"], compared["tuned"]
    rows = f"{compared['rows']:,} held-out row{'' if compared['rows'] == 1 else 's'}"
    if report.objective in PREFERENCES:
        return _preference_verdict(report, rows)
    before, after = base["val_loss"], tuned["val_loss"]
    if after > before * (1 - _MIN_GAIN):
        what = "rose" if after > before * (1 + _MIN_GAIN) else "hardly changed"
        return f"It is no better than the base: on {rows} the loss {what}, {before:.3f} → {after:.3f}."
    said = f"On {rows} the loss fell from {before:.3f} to {after:.3f}"
    for name, old, new in compared_shares(report)[:1]:
        if old or new:
            said += f", {name} went from {percent(old)} to {percent(new)}"
    return f"{said}."


def compared_shares(report: TrainReport) -> list[tuple[str, float, float]]:
    """Shares of the held-out rows' answers that were right, before and after: by the family's own metrics where it has some."""
    if not report.comparison:
        return []
    base, tuned = report.comparison["base"], report.comparison["tuned"]
    kinds: dict[str, str] = report.comparison.get("kinds") or {}
    if not report.lesson:
        kinds = {"exact_match": right_answers(report.objective)}
    return [(name, base[key], tuned[key]) for key, name in kinds.items() if name and key in base and key in tuned]


def preference_figures(report: TrainReport) -> list[tuple[str, str]]:
    """What a comparison of preferences says, each as a value and what it is; empty where it could not be measured."""
    if not report.comparison:
        return []
    base, tuned = report.comparison["base"], report.comparison["tuned"]
    liked = "liked answers likelier than disliked ones" if report.objective == "kto" else "chosen answers likelier"
    figures: list[tuple[str, str]] = []
    if "preferred" in base and "preferred" in tuned:
        figures.append(
            (f"{percent(base['preferred'])} → {percent(tuned['preferred'])}", f"found {liked}, before → after")
        )
    if report.objective != "orpo":
        gained = (
            "liked ones gained, disliked ones lost" if report.objective == "kto" else "chosen gained on rejected ones"
        )
        figures.append((f"{percent(tuned['exact_match'])}", f"{gained}, against the base"))
    return figures


def _preference_verdict(report: TrainReport, rows: str) -> str:
    """A model compared with itself prefers nothing: what counts is which answers have become likelier."""
    base, tuned = report.comparison["base"], report.comparison["tuned"]  # type: ignore[index]
    said = "; ".join(f"{what}: {value}" for value, what in preference_figures(report))
    is_better = tuned.get("preferred", 0) > base.get("preferred", 0)
    if not is_better and (report.objective == "orpo" or tuned["exact_match"] <= 0.5):
        return f"It prefers no better than the base: on {rows} {said}."
    return f"On {rows}: {said}."


def percent(share: float) -> str:
    """`46 %`, not to be parted."""
    return f"{100 * share:.0f}\u00a0%"


def off(predicted: float, measured: float) -> str:
    """How far a prediction was off: `+12 %` where more was measured than predicted."""
    return f"{100 * (measured / predicted - 1):+.0f}\u00a0%" if predicted > 0 and measured > 0 else ""


def command_again(spec: TrainSpec) -> str:
    """The command that trains the same once more, into a new folder."""
    words = ["lorasmith", "train", spec.model, "--data", spec.data]
    for name, value in spec.model_dump(exclude_defaults=True).items():
        if name in _NOT_REPEATED or value is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)


def command_to_use(model: str, report: TrainReport, folder: str) -> str:
    """The command that talks to what was trained in `folder`: an adapter needs its base, a whole model nothing."""
    verb = "serve" if report.lesson else "chat"
    if report.method == "full":
        return shlex.join(["lorasmith", verb, f"{folder}/{result_folder(report.method)}"])
    return shlex.join(["lorasmith", verb, model, "--adapter", folder])


def shown(value: object) -> str:
    """A parameter as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)  # type: ignore[reportUnknownVariableType]
    return f"{value:g}" if isinstance(value, float) else str(value)
