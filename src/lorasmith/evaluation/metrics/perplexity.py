"""Perplexity of the wanted answers: exp of the mean negative log-likelihood per answer token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric

_LARGEST_EXPONENT = 700.0  # beyond it, exp overflows a double


class Perplexity(Metric):
    name = "perplexity"
    title = "Perplexity"
    higher_is_better = False
    needs_answers = False

    def parts(self, row: Answered) -> tuple[float, float]:
        return row.nll, float(row.tokens)

    def total(self, parts: Sequence[tuple[float, float]]) -> float:
        tokens = sum(weight for _, weight in parts)
        return math.exp(min(_LARGEST_EXPONENT, sum(nll for nll, _ in parts) / tokens))


plugin = Perplexity()
