"""Preferences: what was chosen and what was rejected, after a prompt or as two whole conversations."""

from __future__ import annotations

import re
from typing import Any

from lorasmith.data.examples import Example, Format, Message, RowProblem, kind_of, names_of, text_of
from lorasmith.data.turns import messages_of, tools_of

# Anthropic's hh-rlhf writes whole dialogues into a string.
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


class Preference(Format):
    name = "preference"
    title = "JSON, JSONL or Parquet with prompt, chosen and rejected (text or turns)"
    example = '{"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}'
    objectives = ("dpo", "orpo", "sft")

    def claims(self, row: dict[str, Any]) -> bool:
        return "chosen" in row or "rejected" in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        chosen, rejected = _turns(row, "chosen"), _turns(row, "rejected")
        shared = _shared(chosen, rejected)
        prompt = _prompt(row, chosen[:shared])
        chosen, rejected = chosen[shared:], rejected[shared:]
        if not prompt:
            raise RowProblem(f"'prompt' is {'null' if 'prompt' in row else 'missing'}, and there is none in 'chosen'")
        if chosen == rejected:
            raise RowProblem("'chosen' and 'rejected' are the same")
        for name, answer in (("chosen", chosen), ("rejected", rejected)):
            if not any(message["role"] == "assistant" for message in answer):
                raise RowProblem(f"there is no answer in '{name}' after what both have in common")
            if not any(message["content"].strip() or message.get("tool_calls") for message in answer):
                raise RowProblem(f"'{name}' is empty")
        return [Example(line, prompt + chosen, rejected=rejected, prompt_turns=len(prompt), tools=tools_of(row))]


def _turns(row: dict[str, Any], key: str) -> list[Message]:
    value = row.get(key)
    if key not in row:
        raise RowProblem(f"'{key}' is missing; the row has: {names_of(row)}")
    if isinstance(value, str) and "prompt" not in row and len(pieces := _SPEAKER.split(value)) > 3:
        pairs = zip(pieces[1::2], pieces[2::2], strict=True)
        return [{"role": "user" if who == "Human" else "assistant", "content": said.strip()} for who, said in pairs]
    if isinstance(value, (dict, list)):
        return messages_of(value if isinstance(value, list) else [value])
    if value is None:
        raise RowProblem(f"'{key}' must be text or a list of turns, found {kind_of(value)}")
    return [{"role": "assistant", "content": text_of(row, key)}]


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """How many turns both begin with; an answer that ends one of them is never taken for the prompt."""
    count = 0
    for ours, theirs in zip(chosen[:-1], rejected[:-1], strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _prompt(row: dict[str, Any], shared: list[Message]) -> list[Message]:
    """The turns before the answers: the row's own, unless the conversations repeat them."""
    key = next((key for key in ("prompt", "messages", "conversations", "instruction", "question") if row.get(key)), "")
    system = text_of(row, "system", required=False)
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    if not key:
        return first + shared if shared else []
    own: list[Message]
    if isinstance(row[key], list):
        own = messages_of(row[key], need_answer=False)
    else:
        own = [{"role": "user", "content": _question(row, key)}]
    is_repeated = any(message["content"].strip() == own[-1]["content"].strip() for message in shared)
    return first + (shared if is_repeated else own + shared)


def _question(row: dict[str, Any], key: str) -> str:
    extra = text_of(row, "input", required=False) if key == "instruction" else ""
    return f"{text_of(row, key)}\n\n{extra}" if extra else text_of(row, key)


plugin = Preference()
