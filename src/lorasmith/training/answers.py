"""Answers of held-out rows before and after, as HTML with what equals the wanted answer told apart. Everything is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

from lorasmith.data.sample import visible

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_LONGEST_PROMPT = 1200


def text(value: str) -> str:
    """Any text as a page may hold it: escaped, and with signs in place of what would steer it."""
    return escape(visible(value))


def is_as_wanted(sample: dict[str, str], side: str) -> bool:
    return sample[side].strip() == sample["wanted"].strip()


def answers_html(samples: Sequence[dict[str, str]], sides: Sequence[str] = ("before", "after")) -> str:
    """Every sample's prompt, and beneath it the wanted answer and the model's, one of each of `sides`."""
    return "".join(_sample(sample, sides) for sample in samples)


def _sample(sample: dict[str, str], sides: Sequence[str]) -> str:
    wanted = f'<div class="side"><span class="tag">wanted</span><pre>{text(sample["wanted"])}</pre></div>'
    return (
        f'<article><pre class="prompt">{text(_middle_left_out(sample["prompt"]))}</pre>'
        f'<div class="sides">{wanted}{"".join(_side(sample, side) for side in sides)}</div></article>'
    )


def _side(sample: dict[str, str], side: str) -> str:
    answer = sample[side]
    verdict = "differs"
    if is_as_wanted(sample, side):
        verdict = '<b class="good">✓ as wanted</b>'
    shown = marked(answer, sample["wanted"]) if answer.strip() else '<span class="tag">(nothing)</span>'
    return f'<div class="side"><span class="tag">{text(side)} · {verdict}</span><pre>{shown}</pre></div>'


def marked(answer: str, wanted: str) -> str:
    """`answer` with what is not in the wanted answer underlined, and a sign where something of that is missing."""
    words, targets = _WORDS.findall(answer.strip()), _WORDS.findall(wanted.strip())
    out: list[str] = []
    for kind, start, end, first, last in SequenceMatcher(None, words, targets, autojunk=False).get_opcodes():
        part = text("".join(words[start:end]))
        if kind == "equal":
            out.append(f"<ins>{part}</ins>")
        elif kind in {"delete", "replace"}:
            out.append(f"<mark>{part}</mark>")
        else:
            missing = text("".join(targets[first:last]))
            out.append(f'<del title="missing: {missing}">‸</del>')
    return "".join(out)


def _middle_left_out(prompt: str) -> str:
    if len(prompt) <= _LONGEST_PROMPT:
        return prompt
    half = _LONGEST_PROMPT // 2
    return f"{prompt[:half]}\n… {len(prompt) - 2 * half:,} characters …\n{prompt[-half:]}"
