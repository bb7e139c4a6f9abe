"""Exact match: the share of answers that are the wanted ones to the letter, blanks at the ends aside."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric


class ExactMatch(Metric):
    name = "exact_match"
    title = "Exact match"
    higher_is_better = True
    needs_answers = True

    def parts(self, row: Answered) -> tuple[float, float]:
        return float(row.answer.strip() == row.wanted.strip()), 1.0

    def total(self, parts: Sequence[tuple[float, float]]) -> float:
        return sum(hit for hit, _ in parts) / len(parts)


plugin = ExactMatch()
