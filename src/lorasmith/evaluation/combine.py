"""One figure for how good answers are: 0.4 of BERTScore's F1 and 0.6 of the judge's mean, or BERTScore alone (EVA-4)."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums

_FULL_MARKS = 100.0


class Combined(Metric):
    """Of the means of two metrics, whose rows need not be the same: a judge sees fewer, and may fail on some."""

    name = "combined"
    title = "Combined score"

    def __init__(self, bertscore_weight: float, judge_weight: float):
        self._bertscore, self._judge = bertscore_weight, judge_weight

    def parts(self, row: Answered) -> Parts | None:
        raise NotImplementedError("it is made of other metrics' parts")

    def joined(self, bertscore: Sequence[Parts | None], judge: Sequence[Parts | None]) -> list[Parts | None]:
        """By row: BERTScore's F1 and whether there is one, the judge's marks and whether there are any. `judge` may be empty."""
        marks = judge or [None] * len(bertscore)
        return [
            (
                first[2] if first else 0.0,
                float(first is not None),
                second[0] if second else 0.0,
                float(second is not None),
            )
            for first, second in zip(bertscore, marks, strict=True)
        ]

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        f1, compared, marks, judged = sums(parts)
        if not judged:
            return {self.name: ratio(f1, compared)}
        judge = ratio(marks, judged) / _FULL_MARKS
        return {
            self.name: (self._bertscore * ratio(f1, compared) + self._judge * judge) / (self._bertscore + self._judge)
        }
