"""ANLS: average normalised Levenshtein similarity, nothing below a half (Biten et al. 2019, arXiv 1907.00490, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts
from lorasmith.evaluation._libraries import need

_LEAST = 0.5


class Anls(Metric):
    name = "anls"
    title = "ANLS"

    def parts(self, row: Answered) -> Parts:
        wanted, answer = (" ".join(text.casefold().split()) for text in (row.wanted, row.answer))
        alike = float(need("rapidfuzz.distance").Levenshtein.normalized_similarity(wanted, answer))
        return (alike if alike > _LEAST else 0.0,)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        return {self.name: sum(value for (value,) in parts) / len(parts)}


plugin = Anls()
