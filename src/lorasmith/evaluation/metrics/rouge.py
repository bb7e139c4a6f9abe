"""ROUGE-1, -2 and -L, F-measure (Lin 2004), by rouge-score; words of every alphabet count, Chinese and Japanese by characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts, sums
from lorasmith.evaluation._libraries import need

_KINDS = ("rouge1", "rouge2", "rougeL")
# A word in letters or digits, or one character of a writing system that puts no blanks between words.
_TOKEN = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W_぀-ヿ㐀-鿿豈-﫿]+")


class _Words:
    """rouge-score's own tokenizer drops every letter that is not a to z."""

    def tokenize(self, text: str) -> list[str]:
        return _TOKEN.findall(text.lower())


class Rouge(Metric):
    name = "rouge"
    title = "ROUGE"
    figure = "rouge_l"

    @cached_property
    def _scorer(self) -> Any:
        return need("rouge_score.rouge_scorer").RougeScorer(_KINDS, tokenizer=_Words())

    def parts(self, row: Answered) -> Parts:
        found = self._scorer.score(row.wanted, row.answer)
        return tuple(float(found[kind].fmeasure) for kind in _KINDS)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        one, two, longest = (value / len(parts) for value in sums(parts))
        return {"rouge_l": longest, "rouge_1": one, "rouge_2": two}


plugin = Rouge()
