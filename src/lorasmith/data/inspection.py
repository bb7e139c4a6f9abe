"""What an inspection found, and what of it is to be told (DAT-2). It reads no file and renders no row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lorasmith.data.duplicates import Repeats
from lorasmith.data.findings import Finding, rows, rows_are
from lorasmith.data.leaks import Leaks
from lorasmith.data.sample import SampleRow

FEW_ROWS = 50
_MANY_COPIES = 0.05


@dataclass
class Inspection:
    """Facts about a dataset. Lengths are tokens where a tokenizer was given, else characters. Shares are of 1."""

    format: str
    fields: list[str]
    unit: str
    num_rows: int = 0
    num_bad_rows: int = 0
    bad_rows: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    num_turns: int = 0
    num_empty_answers: int = 0
    copies: Repeats = field(default_factory=Repeats)
    near_copies: Repeats = field(default_factory=Repeats)
    conflicts: Repeats = field(default_factory=Repeats)
    num_compared: int = 0
    """Rows that were looked at for near copies: the first ones."""
    leaks: Leaks = field(default_factory=Leaks)
    """Rows for validation that the training part knows."""
    against: Leaks | None = None
    """Rows of another file that this one holds."""
    against_name: str = ""
    languages: dict[str, float] = field(default_factory=dict[str, float])
    """Of answers, or of texts; among rows taken evenly from the whole."""
    question_languages: dict[str, float] = field(default_factory=dict[str, float])
    holds: dict[str, int] = field(default_factory=dict[str, int])
    """Rows with a system message, tools, pictures, recordings, preferences."""
    length_p50: int = 0
    length_p95: int = 0
    length_p995: int = 0
    length_max: int = 0
    histogram: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """`(upper edge, rows)` of equal bins; the last one reaches to the longest row."""
    num_tokens: int = 0
    num_supervised_tokens: int = 0
    max_length: int = 0
    num_truncated: int = 0
    num_answers_cut: int = 0
    samples: list[SampleRow] = field(default_factory=list[SampleRow])
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def fatal(self) -> list[str]:
        """What stops a training before it starts."""
        return [str(finding) for finding in self.findings if finding.level == "fatal"]

    @property
    def warnings(self) -> list[str]:
        return [str(finding) for finding in self.findings if finding.level == "warning"]

    @property
    def sample(self) -> SampleRow | None:
        """The first row, or what is shown in its place."""
        return self.samples[0] if self.samples else None

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return asdict(self)


def judged(found: Inspection) -> list[Finding]:
    """What is to be told of its counts: too few rows, bad rows, rows that say the same."""
    if not found.num_rows:
        return [Finding("unusable", "fatal", "no row can be used", count=found.num_bad_rows)]
    few = [
        Finding(
            "few", "warning", f"only {rows_are(found.num_rows)} there", "A few hundred rows teach a task, fifty a tone.",
            found.num_rows,
        )
    ] if found.num_rows < FEW_ROWS else []  # fmt: skip
    bad = [
        Finding(
            "bad", "warning", f"{rows(found.num_bad_rows)} cannot be used",
            "Repair them; training stops at such a row unless --skip-bad-rows is given.", found.num_bad_rows,
            tuple(str(line) for line, _ in found.bad_rows[:5]),
        )
    ] if found.num_bad_rows else []  # fmt: skip
    return bad + few + _repeats(found) + _leaks(found)


def _repeats(found: Inspection) -> list[Finding]:
    told: list[Finding] = []
    for code, repeats, least, what in (
        ("copies", found.copies, _MANY_COPIES, "exactly like an earlier one"),
        ("near-copies", found.near_copies, _MANY_COPIES, "nearly like an earlier one"),
        ("conflicts", found.conflicts, 0, "asking what an earlier one asks and answering differently"),
    ):
        if repeats.count > least * found.num_rows:
            places = tuple(" = ".join(pair) for pair in repeats.pairs)
            fix = "Keep one of each; a model learns repeated rows by heart." if least else "Keep the right answer only."
            told.append(Finding(code, "warning", f"{rows_are(repeats.count)} {what}", fix, repeats.count, places))
    return told


def _leaks(found: Inspection) -> list[Finding]:
    told: list[Finding] = []
    leaks = found.leaks
    if leaks.most:
        told.append(
            Finding(
                "leaks", "warning", f"{leaks.most:,} of {leaks.num_rows:,} rows held out for validation are known from the rest: "
                f"{leaks.num_same_question:,} by their question, {leaks.num_near_copies:,} as near copies",
                "Their loss looks better than it is; leave near copies out.", leaks.most, tuple(leaks.places),
            )
        )  # fmt: skip
    if (same := found.against) and same.most:
        told.append(
            Finding(
                "against", "warning", f"{same.most:,} of {same.num_rows:,} rows of '{found.against_name}' are in this file, too: "
                f"{same.num_copies:,} as they are, {same.num_same_question:,} by their question, "
                f"{same.num_near_copies:,} as near copies",
                "A test on them says nothing; take them out of either file.", same.most, tuple(same.places),
            )
        )  # fmt: skip
    return told
