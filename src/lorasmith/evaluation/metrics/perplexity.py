"""Perplexity of the wanted answers: exp of the mean negative log-likelihood per answer token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums

_LARGEST_EXPONENT = 700.0  # beyond it, exp overflows a double


class Perplexity(Metric):
    name = "perplexity"
    title = "Perplexity"
    higher_is_better = False
    needs_answers = False
    is_share = False

    def parts(self, row: Answered) -> Parts:
        return row.nll, float(row.tokens)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        return {self.name: math.exp(min(_LARGEST_EXPONENT, ratio(*sums(parts))))}


plugin = Perplexity()
