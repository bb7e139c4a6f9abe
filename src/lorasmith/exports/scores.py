"""What an export costs in the task's own figures: both models' answers to a file's prompts, marked by its right ones (ADP-4)."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric
from lorasmith.evaluation.choose import suitable
from lorasmith.evaluation.metrics import METRICS
from lorasmith.evaluation.score import score
from lorasmith.exports.parity import Said, ScoreRow


def scores_of(wanted: Sequence[str], trained: Sequence[Said], exported: Sequence[Said]) -> list[ScoreRow]:
    """The main figures of the metrics that suit the right answers, for both models, with the exported one's interval."""
    metrics = [METRICS.get(name) for name in suitable(wanted)]
    return [_row(metric, wanted, trained, exported) for metric in metrics if metric.needs_answers]


def _row(metric: Metric, wanted: Sequence[str], trained: Sequence[Said], exported: Sequence[Said]) -> ScoreRow:
    before, after = (
        next(iter(score(metric, [metric.parts(_answered(*pair)) for pair in zip(wanted, said, strict=True)], seed=0).values()))
        for said in (trained, exported)
    )  # fmt: skip
    return ScoreRow(
        name=metric.name, title=metric.title, trained=before.value, exported=after.value, low=after.low, high=after.high,
        is_share=metric.is_share,
    )  # fmt: skip


def _answered(wanted: str, said: Said) -> Answered:
    return Answered(prompt=said.prompt, wanted=wanted, answer=said.text, nll=0.0, tokens=0)
