"""Entity F1 of answers that are one BIO tag a word ("O B-PER I-PER"): an entity counts where its label, its beginning and its end
are right (CoNLL-2000's evaluation, Tjong Kim Sang & Buchholz 2000).

The figures are those of the library seqeval in its default mode, which is not used: it brings scikit-learn and SciPy, which
transformers then loads into every worker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums

_TAG = re.compile(r"O|[BI]-\S+")


class EntityF1(Metric):
    """Rows whose wanted answer is no list of tags say nothing; what is no tag in an answer counts as O."""

    name = "seqeval"
    title = "Entity F1"
    figure = "entity_f1"

    def parts(self, row: Answered) -> Parts | None:
        tags = row.wanted.split()
        if not tags or not all(map(_TAG.fullmatch, tags)):
            return None
        wanted, given = _entities(tags), _entities(row.answer.split()[: len(tags)])
        return float(len(wanted & given)), float(len(wanted)), float(len(given))

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        right, wanted, given = sums(parts)
        return {
            "entity_f1": ratio(2 * right, wanted + given),
            "entity_precision": ratio(right, given),
            "entity_recall": ratio(right, wanted),
        }


def _entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(label, first word, word behind the last). An I- that continues nothing begins an entity."""
    found: set[tuple[str, int, int]] = set()
    label, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        kind, _, name = tag.partition("-") if _TAG.fullmatch(tag) else ("O", "", "")
        if label and (kind != "I" or name != label):
            found.add((label, start, place))
            label = ""
        if kind != "O" and not label:
            label, start = name, place
    return found


plugin = EntityF1()
