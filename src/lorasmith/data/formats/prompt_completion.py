"""Prompt and completion, as strings or as lists of messages."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, Message, text_of
from lorasmith.data.turns import messages_of, tools_of


class PromptCompletion(Format):
    name = "prompt-completion"
    title = "JSON or JSONL with prompt and completion, optional system"
    example = '{"prompt": "2 + 2 =", "completion": "4"}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "prompt" in row and not {"chosen", "rejected", "label", "instruction"} & row.keys()

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        before, after = prompt_and_answer(row, "completion", "response", "answer", "output")
        return [Example(line, before + after, tools=tools_of(row))]


def prompt_and_answer(row: dict[str, Any], *answer_keys: str) -> tuple[list[Message], list[Message]]:
    """The turns of `prompt`, with those of `system`, and the turns of the answer. Raises RowProblem."""
    prompt = row.get("prompt")
    answer = next((row[key] for key in answer_keys if isinstance(row.get(key), list)), None)
    before: list[Message] = []
    if system := text_of(row, "system", required=False):
        before.append({"role": "system", "content": system})
    if isinstance(prompt, list):
        before += messages_of(prompt, need_answer=False)
    else:
        before.append({"role": "user", "content": text_of(row, "prompt")})
    if answer is not None:
        return before, messages_of(answer)
    return before, [{"role": "assistant", "content": text_of(row, *answer_keys)}]


plugin = PromptCompletion()
