"""`--columns`: which of a file's columns stand for ours, and a guess at them for files whose names are unknown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lorasmith.core.errors import UsageProblem
from lorasmith.data.examples import RowProblem, names_of

# What may be named together, and the format that then reads the rows.
_SETS: dict[frozenset[str], str] = {
    frozenset({"prompt", "completion"}): "prompt-completion",
    frozenset({"prompt", "chosen", "rejected"}): "preference",
    frozenset({"prompt", "completion", "label"}): "kto",
    frozenset({"text"}): "text",
}
_NAMES = frozenset().union(*_SETS, {"system"})
_NEXT = re.compile(r",(?=\s*\w+\s*=)")  # a comma may stand in a column's name
_QUESTIONS = re.compile(
    r"quest|prompt|input|query|user|human|instruct|source|src|problem|frage|title|before", re.IGNORECASE
)
_ANSWERS = re.compile(
    r"answ|output|respon|complet|target|tgt|reply|solution|assist|summar|label|antwort|after", re.IGNORECASE
)
_NO_TEXT = re.compile(r"(^|[_.])(id|uuid|url|hash|date|time|lang|name|split|source_id|model)$", re.IGNORECASE)
_MAX_DEPTH = 4


def parse_columns(text: str) -> dict[str, str]:
    """`prompt=a,completion=b` as a mapping from our names to the file's. Raises UsageProblem."""
    if not text:
        return {}
    pairs = [[side.strip() for side in part.split("=", 1)] for part in _NEXT.split(text)]
    columns = {part[0]: part[-1] for part in pairs}
    if any(len(part) != 2 or not part[1] for part in pairs) or len(columns) < len(pairs) or not format_for(columns):
        raise UsageProblem(
            f"--columns {text!r} cannot be read",
            why=f"What can be named: {', '.join(sorted(_NAMES))}.",
            fix="Name two columns of your file: --columns prompt=…,completion=… (and system=…, if there is one).\n"
            "Or: --columns prompt=…,chosen=…,rejected=…  --columns prompt=…,completion=…,label=…  --columns text=…",
        )
    return columns


def format_for(columns: dict[str, str]) -> str:
    """The name of the format that reads rows of these columns; empty where they do not go together."""
    named = frozenset(columns)
    return _SETS.get(named, "" if named == frozenset({"text", "system"}) else _SETS.get(named - {"system"}, ""))


def renamed(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The row under our names. Raises RowProblem for a column that is not there."""
    return {wanted: _at(row, path) for wanted, path in columns.items()}


def _at(row: dict[str, Any], path: str) -> Any:
    """The value of a column, or of a place inside it: `instances.0.output`."""
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            raise RowProblem(f"there is no column '{path}'; the row has: {names_of(row)}")
    return value


def suggestion(rows: Sequence[dict[str, Any]]) -> str:
    """`--columns prompt=…,completion=…` with the likeliest two texts of these rows filled in; dots where there are no two."""
    lengths: dict[str, list[int]] = {}
    for row in rows:
        for path, size in _texts(row):
            lengths.setdefault(path, []).append(size)
    often = [path for path, sizes in lengths.items() if 2 * len(sizes) >= len(rows) and not _NO_TEXT.search(path)]
    often = [path for path in often if "," not in path and "=" not in path]
    by_length = sorted(often, key=lambda path: -sum(lengths[path]) / len(lengths[path]))
    completion = next((path for path in by_length if _ANSWERS.search(_last(path))), "")
    prompt = next((path for path in by_length if path != completion and _QUESTIONS.search(_last(path))), "")
    rest = [path for path in by_length if path not in (prompt, completion)]
    missing = 2 - bool(prompt) - bool(completion)
    # Without a word to go by, a question is taken to stand before its answer.
    chosen = sorted(rest[:missing], key=often.index)
    prompt = prompt or (chosen.pop(0) if chosen else "…")
    completion = completion or (chosen.pop(0) if chosen else "…")
    return f"--columns {_quoted(f'prompt={prompt},completion={completion}')}"


def _last(path: str) -> str:
    return next((step for step in reversed(path.split(".")) if not step.isdigit()), path)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.,=…-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _texts(value: Any, path: str = "", depth: int = 0) -> list[tuple[str, int]]:
    """Paths to strings inside a row with their lengths; of a list, the first entry."""
    if isinstance(value, str):
        return [(path, len(value))] if value.strip() else []
    if depth == _MAX_DEPTH:
        return []
    entries = list(value.items())[:50] if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        entries = [("0", value[0])]
    start = f"{path}." if path else ""
    return [found for key, entry in entries for found in _texts(entry, f"{start}{key}", depth + 1)]
