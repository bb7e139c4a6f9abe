"""Texts that belong together, for models that make vectors: an anchor, what is to be found for it, and perhaps what is not."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, pair, text_of

_ANCHOR = ("anchor", "query", "sentence1")
_POSITIVE = ("positive", "pos", "document", "passage", "sentence2")
_NEGATIVE = ("negative", "neg", "hard_negative")


class Pairs(Format):
    name = "pairs"
    title = "JSON, JSONL or a table with anchor (or query), positive (or document), and perhaps negative"
    example = '{"anchor": "capital of France", "positive": "Paris is the capital of France."}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return any(key in row for key in _ANCHOR) and any(key in row for key in _POSITIVE) and "label" not in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        anchor, positive = text_of(row, *_ANCHOR), _first(row, _POSITIVE)
        negative = _first(row, _NEGATIVE) if any(key in row for key in _NEGATIVE) else ""
        if not anchor.strip() or not positive.strip():
            raise RowProblem("one of the two texts is empty")
        rejected = [{"role": "assistant", "content": negative}] if negative.strip() else []
        return [Example(line, pair(anchor, positive), rejected=rejected, prompt_turns=1)]  # type: ignore[arg-type]


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The text under one of `keys`; of a list the first."""
    key = next((key for key in keys if row.get(key) is not None), keys[0])
    value: Any = row.get(key)
    return text_of({key: value[0] if isinstance(value, list) and value else value}, key)


plugin = Pairs()
