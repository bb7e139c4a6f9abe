"""Preferences as token rows: the answer that was judged, and beside it the one that it is weighed against (DAT-1).

Only the judged answer carries loss, not the turns before it. How a conversation becomes tokens is render's matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lorasmith.data.examples import Example, Message
from lorasmith.data.render import Span, TokenRow, render_rows
from lorasmith.data.tokenizer import Tokenizer


class Pairs:
    """Renders examples whose answers were judged, in the order of their file.

    What an answer is weighed against is the rejected one; for `mismatched` rows (KTO) the answer to the question before it, from
    which is estimated how far the model has moved: https://arxiv.org/abs/2402.01306, section 4.1.
    """

    def __init__(self, tokenizer: Tokenizer, *, mismatched: bool):
        self._tokenizer, self._mismatched = tokenizer, mismatched
        self._before: Example | None = None

    def render(self, examples: Sequence[Example]) -> list[TokenRow]:
        """One row for each example. Raises DataProblem where a conversation cannot be rendered."""
        befores = [self._before or examples[-1], *examples[:-1]]
        against = [
            before.messages[before.prompt_turns :] if self._mismatched else example.rejected
            for example, before in zip(examples, befores, strict=True)
        ]
        others = [
            Example(example.line, example.messages[: example.prompt_turns] + answer, tools=example.tools)
            for example, answer in zip(examples, against, strict=True)
        ]
        rows = zip(render_rows(examples, self._tokenizer), render_rows(others, self._tokenizer), strict=True)
        self._before = examples[-1]
        return [
            dataclasses.replace(
                row,
                spans=_of_answer(row.spans, example.messages[example.prompt_turns :]),
                rejected=other.ids,
                rejected_spans=_of_answer(other.spans, answer),
                is_good=example.is_good is not False,
            )
            for (row, other), example, answer in zip(rows, examples, against, strict=True)
        ]


def _of_answer(spans: list[Span], answer: list[Message]) -> list[Span]:
    """Those of a conversation's spans that belong to the turns it ends with."""
    return spans[-sum(message["role"] == "assistant" for message in answer) :]


def truncate_pair(row: TokenRow, max_length: int) -> TokenRow:
    """At most `max_length` tokens of either answer with what comes before it: the same tokens are cut out of the middle of what
    both have in common, so that they still answer the same. Only where an answer alone is too long is its end lost."""
    excess = max(len(row.ids), len(row.rejected)) - max_length
    if excess <= 0:
        return row
    shared = _num_shared(row)
    cut = min(excess, max(0, shared - 2))
    middle = (shared - cut) // 2

    def shortened(ids: list[int], spans: list[Span]) -> tuple[list[int], list[Span]]:
        left = [(start - cut, min(stop - cut, max_length)) for start, stop in spans if start - cut < max_length]
        return (ids[:middle] + ids[middle + cut :])[:max_length], left

    ids, spans = shortened(row.ids, row.spans)
    rejected, rejected_spans = shortened(row.rejected, row.rejected_spans)
    return dataclasses.replace(row, ids=ids, spans=spans, rejected=rejected, rejected_spans=rejected_spans)


def _num_shared(row: TokenRow) -> int:
    """How many tokens both begin with, before either answer."""
    most = min(start for start, _ in (*row.spans, *row.rejected_spans, (len(row.ids), 0), (len(row.rejected), 0)))
    for index in range(most):
        if row.ids[index] != row.rejected[index]:
            return index
    return most
