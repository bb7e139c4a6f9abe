"""Prompt and completion, as strings or as lists of messages."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, messages_of, text_of


class PromptCompletion(Format):
    name = "prompt-completion"
    title = "JSON or JSONL with prompt and completion"
    example = '{"prompt": "2 + 2 =", "completion": "4"}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "prompt" in row and "chosen" not in row

    def read(self, line: int, row: dict[str, Any]) -> Example:
        prompt, completion = row["prompt"], row.get("completion")
        if isinstance(prompt, list) or isinstance(completion, list):
            before = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            after = completion if isinstance(completion, list) else [{"role": "assistant", "content": completion}]
            return Example(line, messages_of(before + after, "role", "content"))
        question, answer = text_of(row, "prompt"), text_of(row, "completion")
        return Example(line, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


plugin = PromptCompletion()
