"""When a training should stop or turn back, decided from its metrics alone (TRN-3, TRN-4, TRN-5). Pure: no clock, no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

StopReason = Literal[
    "completed",
    "early_stopping_patience",
    "moderate_overfitting",
    "severe_overfitting",
    "diverged",
    "stopped_by_user",
    "time_limit",
    "paused",
    "outdone",
]

SLOPE_EVALUATIONS = 5
RISING_SLOPE = 0.001
SEVERE_GAP = 0.5
MIN_GAIN = 1e-4  # a validation loss lower by less than this is no gain
NEGLIGIBLE_LOSS = 0.02  # below it, ratios between losses are noise
CIRCULAR_TOLERANCE = 2.0
CIRCULAR_PATIENCE_PASSES = 3
MAX_TURNS = 3
"""How often a training may turn back with half the learning rate."""
_DIVERGENCE_STEPS = 5
_RISEN_TIMES = 1.5
_RISEN_BY = 0.5  # nats: a small loss may rise by half by chance, but not by as much as this besides


class Evaluation(BaseModel):
    """What was measured at one evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    step: int
    train_loss: float
    """Mean over the steps since the evaluation before."""
    val_loss: float
    token_accuracy: float
    exact_match: float
    """Share of held-out answers that greedy decoding would give to the letter; for preferences see `meaning_of_exact`."""
    score: float | None = None
    """The family's own metric of generated answers, higher is better, where the training is judged by it (EnhancedDonut)."""

    @property
    def right(self) -> float:
        """How well held-out rows are answered."""
        return self.exact_match if self.score is None else self.score


class Thresholds(NamedTuple):
    """The user's settings for stopping early. With `passes_per_evaluation` the training is circular: it goes round and round
    over few rows, is judged more tolerantly, and ends after passes, not evaluations, without gain."""

    patience: int = 3
    overfitting: float = 0.1
    min_evaluations: int = 5
    passes_per_evaluation: float = 0.0

    @property
    def tolerance(self) -> float:
        return CIRCULAR_TOLERANCE if self.passes_per_evaluation else 1.0

    @property
    def evaluations_without_gain(self) -> int:
        """After how many it ends."""
        if not self.passes_per_evaluation:
            return self.patience
        return max(1, math.ceil(CIRCULAR_PATIENCE_PASSES / self.passes_per_evaluation))


class Verdict(NamedTuple):
    """What the history says. `stop` is None to go on."""

    is_best: bool
    gap: float
    slope: float
    stop: StopReason | None
    reason: str


def slope(values: list[float]) -> float:
    """Least-squares slope per evaluation over the last `SLOPE_EVALUATIONS` values; 0 for fewer than two."""
    recent = values[-SLOPE_EVALUATIONS:]
    count = len(recent)
    if count < 2:
        return 0.0
    mean_x, mean_y = (count - 1) / 2, sum(recent) / count
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(recent))
    return covariance / sum((x - mean_x) ** 2 for x in range(count))


def gap(evaluation: Evaluation) -> float:
    """How much higher the validation loss is, as a share of the training loss."""
    return (evaluation.val_loss - evaluation.train_loss) / max(evaluation.train_loss, NEGLIGIBLE_LOSS)


def best(history: list[Evaluation]) -> Evaluation:
    """The evaluation whose adapter is kept: the lowest validation loss, or the highest score where there is one; the earliest
    where gains are negligible."""
    leader = history[0]
    for evaluation in history[1:]:
        if _is_better(evaluation, leader):
            leader = evaluation
    return leader


def _is_better(one: Evaluation, other: Evaluation) -> bool:
    if one.score is not None and other.score is not None and one.score != other.score:
        return one.score > other.score
    return one.val_loss < other.val_loss - MIN_GAIN


def judge(history: list[Evaluation], thresholds: Thresholds) -> Verdict:
    """Whether to go on after the last evaluation of `history` (which has at least one)."""
    last, leader = history[-1], best(history)
    trend = slope([evaluation.val_loss for evaluation in history])
    distance = gap(last)
    stop, reason = _decide(history, leader, trend, distance, thresholds)
    return Verdict(leader is last, distance, trend, stop, reason)


def _decide(
    history: list[Evaluation], leader: Evaluation, trend: float, distance: float, thresholds: Thresholds
) -> tuple[StopReason | None, str]:
    since_best = history[-1].number - leader.number
    if len(history) < thresholds.min_evaluations:
        return None, "continue"
    patience, tolerance = thresholds.evaluations_without_gain, thresholds.tolerance
    rising = trend > RISING_SLOPE * tolerance
    if rising and distance > SEVERE_GAP * tolerance and since_best:
        return "severe_overfitting", f"stop: validation rises and is {distance:.0%} above training"
    moderate = rising and distance > thresholds.overfitting * tolerance
    if not moderate and since_best < patience:
        return None, "continue"
    # The loss of a few over-confident tokens may rise while answers still get better: they have a say.
    if _answers_improve(history, patience):
        return None, "continue: held-out answers still get better"
    if moderate:
        return "moderate_overfitting", f"stop: validation rises and is {distance:.0%} above training"
    passes = thresholds.passes_per_evaluation
    gainless = f"{since_best * passes:.0f} passes over the rows" if passes else f"{since_best} evaluations"
    return "early_stopping_patience", f"stop: no gain in {gainless}"


def _answers_improve(history: list[Evaluation], patience: int) -> bool:
    recent = max(evaluation.right for evaluation in history[-patience:])
    before = max(evaluation.right for evaluation in history[:-patience])
    return recent > before


def has_risen(loss: float, before: float) -> bool:
    """Whether a loss is so far above another that it is no noise."""
    return loss > _RISEN_TIMES * before + _RISEN_BY


class LossWatch:
    """Tells from the losses of one step after another when the training has left the path.

    A loss that is no number counts at once; a rise only when the mean of some steps is far above the lowest such mean, or above
    what the untouched model does: the first step's loss, or that on the held-out rows where it is higher. One batch alone may be
    an easy one.
    """

    def __init__(self, recent: Sequence[float] = (), lowest: float = math.inf):
        self.recent = list(recent)
        self.lowest = lowest

    def add(self, loss: float, base: float | None = None) -> str:
        """Why this loss means that the training diverges; empty where it does not. `base` is the untouched model's on held-out
        rows, where it is known."""
        if not math.isfinite(loss):
            return "the loss is no finite number"
        if not self.recent:  # nothing has moved yet
            self.lowest = min(self.lowest, loss if base is None else max(loss, base))
        self.recent = [*self.recent[-_DIVERGENCE_STEPS + 1 :], loss]
        if len(self.recent) < _DIVERGENCE_STEPS:
            return ""
        now = sum(self.recent) / _DIVERGENCE_STEPS
        self.lowest = min(self.lowest, now)
        return f"the loss rose from {self.lowest:.3g} to {now:.3g}" if has_risen(now, self.lowest) else ""


def meaning_of_exact(objective: str) -> tuple[str, str]:
    """What `exact_match` counts, as a name and as what it is a share of."""
    named = {
        "dpo": ("preferred", "held-out pairs: the chosen answer gained more"),
        "orpo": ("preferred", "held-out pairs: the chosen answer is likelier"),
        "kto": ("told apart", "held-out answers: liked ones gained, disliked ones lost"),
    }
    return named.get(objective, ("exact", "held-out answers"))


def tells_right(history: list[Evaluation], objective: str) -> bool:
    """Whether the share of right answers says anything: of what is drawn or found in pictures no answer is right to the letter,
    and of long ones none may ever be."""
    return objective != "sft" or any(one.exact_match for one in history)


def describe(history: list[Evaluation], verdict: Verdict, total_steps: int, objective: str = "sft") -> list[str]:
    """The evaluation as a terminal shows it."""
    name, of = meaning_of_exact(objective)
    last = history[-1]
    previous = history[-2] if len(history) > 1 else None
    trend = "↓ improving" if verdict.slope < -RISING_SLOPE else "↑ rising" if verdict.slope > RISING_SLOPE else "→ flat"
    return [
        f"Evaluation #{last.number}  steps {last.step}/{total_steps}",
        f"├─ train loss  {last.train_loss:.4f}{_change(last.train_loss, previous and previous.train_loss)}",
        f"├─ val loss    {last.val_loss:.4f}{_change(last.val_loss, previous and previous.val_loss)}",
        *([f"├─ {name:<12}{last.exact_match:.0%} of {of}"] if tells_right(history, objective) else []),
        *([] if last.score is None else [f"├─ score       {last.score:.0%}, by which the best is kept"]),
        f"├─ trend       {trend}",
        f"├─ gap         {last.val_loss - last.train_loss:.3f} ({verdict.gap:.0%})",
        f"└─ decision    {verdict.reason}{' (best so far)' if verdict.is_best else ''}",
    ]


def _change(now: float, before: float | None) -> str:
    if before is None:
        return ""
    arrow = "↓" if now < before else "↑"
    return f" ({arrow} {abs(now - before):.4f})"
