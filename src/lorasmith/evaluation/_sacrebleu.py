"""Metrics of sacrebleu: what each row adds is what sacrebleu itself adds up over a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts, sums
from lorasmith.evaluation._libraries import need


class CorpusMetric(Metric):
    """`kind` is sacrebleu's class. Figures lie between 0 and 1, where sacrebleu tells them from 0 to 100."""

    kind: str

    @cached_property
    def _metric(self) -> Any:
        return getattr(need("sacrebleu.metrics"), self.kind)()

    def parts(self, row: Answered) -> Parts:
        found = self._metric._extract_corpus_statistics([row.answer], [[row.wanted]])
        return tuple(map(float, found[0]))

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        counts = [int(value) for value in sums(parts)]
        return {self.name: self._metric._compute_score_from_stats(counts).score / 100}
