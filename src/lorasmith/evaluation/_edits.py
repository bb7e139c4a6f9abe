"""Error rates: edits that make the answer the wanted text, over the wanted text's length, counted by jiwer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums
from lorasmith.evaluation._libraries import need


class ErrorRate(Metric):
    """`counted` is jiwer's function; `length` is what an answer to an empty wanted text is counted in."""

    higher_is_better = False
    counted: str

    def length(self, text: str) -> int:
        raise NotImplementedError

    def parts(self, row: Answered) -> Parts:
        wanted, answer = row.wanted.strip(), row.answer.strip()
        if not wanted:  # of which jiwer makes an error
            return float(self.length(answer)), 0.0
        found: Any = getattr(need("jiwer"), self.counted)(wanted, answer)
        edits = found.substitutions + found.deletions + found.insertions
        return float(edits), float(found.substitutions + found.deletions + found.hits)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        edits, length = sums(parts)
        return {self.name: ratio(edits, length or len(parts))}
