"""When a training should stop, decided from its metric history alone (TRN-3). Pure: no clock, no files, no model."""

from __future__ import annotations

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
]

SLOPE_EVALUATIONS = 5
RISING_SLOPE = 0.001
SEVERE_GAP = 0.5
MIN_GAIN = 1e-4  # a validation loss lower by less than this is no gain
NEGLIGIBLE_LOSS = 0.02  # below it, ratios between losses are noise


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
    """Share of held-out answers that greedy decoding would give to the letter."""


class Thresholds(NamedTuple):
    """The user's settings for stopping early."""

    patience: int = 3
    overfitting: float = 0.1
    min_evaluations: int = 5


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
    """The evaluation whose adapter is kept: the lowest validation loss, the earliest where gains are negligible."""
    leader = history[0]
    for evaluation in history[1:]:
        if evaluation.val_loss < leader.val_loss - MIN_GAIN:
            leader = evaluation
    return leader


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
    rising = trend > RISING_SLOPE
    if rising and distance > SEVERE_GAP and since_best:
        return "severe_overfitting", f"stop: validation rises and is {distance:.0%} above training"
    moderate = rising and distance > thresholds.overfitting
    if not moderate and since_best < thresholds.patience:
        return None, "continue"
    # The loss of a few over-confident tokens may rise while answers still get better: they have a say.
    if _answers_improve(history, thresholds.patience):
        return None, "continue: held-out answers still get better"
    if moderate:
        return "moderate_overfitting", f"stop: validation rises and is {distance:.0%} above training"
    return "early_stopping_patience", f"stop: no gain in {since_best} evaluations"


def _answers_improve(history: list[Evaluation], patience: int) -> bool:
    recent = max(evaluation.exact_match for evaluation in history[-patience:])
    before = max(evaluation.exact_match for evaluation in history[:-patience])
    return recent > before


def describe(history: list[Evaluation], verdict: Verdict, total_steps: int) -> list[str]:
    """The evaluation as a terminal shows it."""
    last = history[-1]
    previous = history[-2] if len(history) > 1 else None
    trend = "↓ improving" if verdict.slope < -RISING_SLOPE else "↑ rising" if verdict.slope > RISING_SLOPE else "→ flat"
    return [
        f"Evaluation #{last.number}  steps {last.step}/{total_steps}",
        f"├─ train loss  {last.train_loss:.4f}{_change(last.train_loss, previous and previous.train_loss)}",
        f"├─ val loss    {last.val_loss:.4f}{_change(last.val_loss, previous and previous.val_loss)}",
        f"├─ exact       {last.exact_match:.0%} of held-out answers",
        f"├─ trend       {trend}",
        f"├─ gap         {last.val_loss - last.train_loss:.3f} ({verdict.gap:.0%})",
        f"└─ decision    {verdict.reason}{' (best so far)' if verdict.is_best else ''}",
    ]


def _change(now: float, before: float | None) -> str:
    if before is None:
        return ""
    arrow = "↓" if now < before else "↑"
    return f" ({arrow} {abs(now - before):.4f})"
