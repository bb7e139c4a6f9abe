"""A table of questions and answers (CSV, TSV, Parquet, JSON), under the names that such columns often have."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, pair, text_of

PAIRS = (
    ("question", "answer"), ("query", "response"), ("question", "response"), ("query", "answer"), ("query", "reply"),
    ("question", "reply"), ("input", "output"), ("input", "target"), ("input_text", "target_text"),
    ("input_text", "output_text"), ("source", "target"), ("src", "tgt"), ("problem", "solution"),
)  # fmt: skip
_OTHERS = frozenset({"instruction", "messages", "conversations", "chosen", "prompt"})


class QuestionAnswer(Format):
    name = "question-answer"
    title = "CSV, TSV, Parquet or JSON with question and answer columns; others by --columns prompt=…,completion=…"
    example = "question,answer"

    def claims(self, row: dict[str, Any]) -> bool:
        names = {str(name).strip().lower() for name in row}
        return names.isdisjoint(_OTHERS) and ("question" in names or any(names.issuperset(pair) for pair in PAIRS))

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        lower = {str(name).strip().lower(): value for name, value in row.items()}
        names = next((names for names in PAIRS if set(names) <= lower.keys()), PAIRS[0])
        question, answer = text_of(lower, names[0]), text_of(lower, names[1])
        return [Example(line, pair(question, answer, system=text_of(lower, "system", required=False)))]


plugin = QuestionAnswer()
