"""Single judgements (KTO): a prompt, an answer, and whether it was liked."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, kind_of
from lorasmith.data.formats.prompt_completion import prompt_and_answer
from lorasmith.data.turns import tools_of

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class Judgement(Format):
    name = "kto"
    title = "JSON, JSONL or a table with prompt, completion and label (true: liked, false: disliked)"
    example = '{"prompt": "2 + 2 =", "completion": "5", "label": false}'
    objectives = ("kto", "sft")

    def claims(self, row: dict[str, Any]) -> bool:
        return "prompt" in row and "label" in row and "chosen" not in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        before, after = prompt_and_answer(row, "completion", "response")
        is_good = _liked(row.get("label"))
        return [Example(line, before + after, is_good=is_good, prompt_turns=len(before), tools=tools_of(row))]


def _liked(value: Any) -> bool:
    found = _WORDS.get(str(value).strip().lower()) if isinstance(value, (bool, int, str)) else None
    if found is None:
        shown = f"'{value[:60]}'" if isinstance(value, str) else kind_of(value)
        raise RowProblem(f"'label' must be true or false, found {shown}")
    return found


plugin = Judgement()
