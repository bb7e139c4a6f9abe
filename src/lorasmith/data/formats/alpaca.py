"""Alpaca: an instruction, perhaps an input, and the wanted output."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, Message, RowProblem, text_of


class Alpaca(Format):
    name = "alpaca"
    title = "JSON or JSONL with instruction, output and optional input, system, history"
    example = '{"instruction": "Translate to French.", "input": "cheese", "output": "fromage"}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "instruction" in row

    def read(self, line: int, row: dict[str, Any]) -> Example:
        instruction = text_of(row, "instruction")
        extra = text_of(row, "input", required=False)
        output = text_of(row, "output", "response")
        messages: list[Message] = []
        if system := text_of(row, "system", required=False):
            messages.append({"role": "system", "content": system})
        for turn in row.get("history") or []:
            if not isinstance(turn, (list, tuple)) or len(turn) != 2:
                raise RowProblem("'history' must be a list of [question, answer] pairs")
            messages.append({"role": "user", "content": str(turn[0])})
            messages.append({"role": "assistant", "content": str(turn[1])})
        question = f"{instruction}\n\n{extra}" if extra else instruction
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": output})
        return Example(line, messages)


plugin = Alpaca()
