"""Words of a text with their classes: names, places, dates (CoNLL's form)."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, as_text
from lorasmith.data.formats.layout import BOXES, TAGS, WORDS, key_of, list_of, tag_of


class Tagged(Format):
    name = "tagged"
    title = "JSON, JSONL or Parquet with tokens (words) and ner_tags, one for each"
    example = '{"tokens": ["Anna", "sleeps"], "ner_tags": ["B-PER", "O"]}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        return key_of(row, WORDS) in row and key_of(row, TAGS) in row and key_of(row, BOXES) not in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        words = tuple(as_text(word, key_of(row, WORDS)) for word in list_of(row, WORDS))
        tags = tuple(tag_of(tag) for tag in list_of(row, TAGS))
        if not words:
            raise RowProblem("there are no words")
        if len(words) != len(tags):
            raise RowProblem(f"{len(words)} words and {len(tags)} tags: there must be one for each")
        return [Example(line, words=words, tags=tags)]


plugin = Tagged()
