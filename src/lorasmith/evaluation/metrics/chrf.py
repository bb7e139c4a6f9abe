"""chrF: character n-grams over all rows together (Popović 2015), by sacrebleu."""

from __future__ import annotations

from lorasmith.evaluation._sacrebleu import CorpusMetric


class Chrf(CorpusMetric):
    name = "chrf"
    title = "chrF"
    kind = "CHRF"


plugin = Chrf()
