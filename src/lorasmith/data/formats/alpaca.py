"""Alpaca: an instruction, perhaps an input, and the wanted output."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, Message, RowProblem, as_text, kind_of, pair, text_of
from lorasmith.data.turns import tools_of


class Alpaca(Format):
    name = "alpaca"
    title = "JSON or JSONL with instruction, output and optional input, system, history"
    example = '{"instruction": "Translate to French.", "input": "cheese", "output": "fromage"}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "instruction" in row and not {"instances", "chosen"} & row.keys()

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        instruction = text_of(row, "instruction")
        extra = text_of(row, "input", "context", required=False)
        question = f"{instruction}\n\n{extra}" if extra else instruction
        system = text_of(row, "system", required=False)
        first: list[Message] = [{"role": "system", "content": system}] if system else []
        turns = pair(question, text_of(row, "output", "response"))
        return [Example(line, [*first, *_history(row.get("history")), *turns], tools=tools_of(row))]


def _history(value: Any) -> list[Message]:
    if not isinstance(value or [], list):
        raise RowProblem(f"'history' must be a list of [question, answer] pairs, found {kind_of(value)}")
    messages: list[Message] = []
    for turn in value or []:
        if not isinstance(turn, (list, tuple)) or len(turn) != 2:
            raise RowProblem("'history' must be a list of [question, answer] pairs")
        messages += pair(as_text(turn[0], "history"), as_text(turn[1], "history"))
    return messages


plugin = Alpaca()
