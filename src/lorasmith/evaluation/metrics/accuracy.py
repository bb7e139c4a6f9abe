"""Accuracy and macro F1 of answers that are labels: blanks at the ends and the case of letters aside."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio


class Accuracy(Metric):
    """Macro F1 is the mean of F1 over the labels that are wanted somewhere; an answer that is none of them is wrong for all."""

    name = "accuracy"
    title = "Accuracy"

    def parts(self, row: Answered) -> Parts:
        return _number(row.wanted), _number(row.answer)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        wanted = Counter(first for first, _ in parts)
        given = Counter(second for _, second in parts)
        right = Counter(first for first, second in parts if first == second)
        f1 = [2 * right[label] / (wanted[label] + given[label]) for label in wanted]
        return {self.name: ratio(right.total(), len(parts)), "macro_f1": sum(f1) / len(f1)}


def _number(label: str) -> float:
    """A number for a label, so that rows stay numbers."""
    return float(zlib.crc32(" ".join(label.casefold().split()).encode()))


plugin = Accuracy()
