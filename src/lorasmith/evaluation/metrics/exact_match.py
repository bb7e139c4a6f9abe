"""Exact match: the share of answers that are the wanted ones to the letter, blanks at the ends aside."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts


class ExactMatch(Metric):
    name = "exact_match"
    title = "Exact match"

    def parts(self, row: Answered) -> Parts:
        return (float(row.answer.strip() == row.wanted.strip()),)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        return {self.name: sum(hit for (hit,) in parts) / len(parts)}


plugin = ExactMatch()
