"""How high what was to be found stands among all that could be: nDCG@10, recall and mean reciprocal rank."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, sums

_AT = 10


class Retrieval(Metric):
    """One text is right for each question. An answer is JSON with the `rank` that it was given; others say nothing.

    With one right text nDCG@10 is 1 / log2(1 + rank), or 0 below the tenth (Järvelin & Kekäläinen 2002).
    """

    name = "retrieval"
    title = "Retrieval nDCG@10"
    figure = "ndcg_at_10"

    def parts(self, row: Answered) -> Parts | None:
        try:
            rank = json.loads(row.answer)["rank"]
        except (ValueError, TypeError, KeyError):
            return None
        gain = 1 / math.log2(1 + rank) if rank <= _AT else 0.0
        return gain, float(rank == 1), float(rank <= _AT), 1 / rank

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        gain, first, ten, reciprocal = (total / len(parts) for total in sums(parts))
        return {"ndcg_at_10": gain, "recall_at_1": first, "recall_at_10": ten, "mrr": reciprocal}


plugin = Retrieval()
