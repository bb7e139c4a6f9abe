"""A table of questions and answers (CSV, TSV, Parquet, JSON)."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, text_of

_PAIRS = (("question", "answer"), ("query", "response"), ("question", "response"), ("input", "output"))


class QuestionAnswer(Format):
    name = "question-answer"
    title = "CSV, TSV, Parquet or JSON with question and answer columns; others by --columns prompt=…,completion=…"
    example = "question,answer"

    def claims(self, row: dict[str, Any]) -> bool:
        names = {str(name).lower() for name in row}
        return ("instruction" not in names and any(names.issuperset(pair) for pair in _PAIRS)) or "question" in names

    def read(self, line: int, row: dict[str, Any]) -> Example:
        lower = {str(name).lower(): value for name, value in row.items()}
        pair = next((pair for pair in _PAIRS if set(pair) <= set(lower)), _PAIRS[0])
        question, answer = text_of(lower, pair[0]), text_of(lower, pair[1])
        return Example(line, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


plugin = QuestionAnswer()
