"""BLEU over all rows together (Papineni et al. 2002), by sacrebleu with its own tokenizer."""

from __future__ import annotations

from lorasmith.evaluation._sacrebleu import CorpusMetric


class Bleu(CorpusMetric):
    name = "bleu"
    title = "BLEU"
    kind = "BLEU"


plugin = Bleu()
