"""What would spoil a training, judged in one place for `data inspect` and for training itself (DAT-2).

`Tally` counts, cheaply enough for every row; the functions judge counts. Nothing here reads files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lorasmith.data.examples import Example
from lorasmith.data.render import TokenRow, truncate
from lorasmith.data.tokenizer import Tokenizer

CUT_SHARE = 0.2
"""The share of rows that may lose the end of an answer (DAT-2)."""
_BROKEN_SHARE = 0.01  # a template that forgets a token forgets it everywhere; what single rows hold is their own matter
_FEW = 5
_UNKNOWN_ROLE = re.compile(r"unknown role '([^']*)'")

Level = Literal["fatal", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something to be told about a dataset. `code` is for programs and stays the same; `places` are the first few rows."""

    code: str
    level: Level
    what: str
    fix: str = ""
    count: int = 0
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.what + shown_places(self.places, self.count)


def place_of(example: Example) -> str:
    """Where a row stands: its line, after the file's name where there are several."""
    return place(example.file, example.line)


def place(file: str, line: int) -> str:
    return f"{file}:{line}" if file and line else file or str(line)


def shown_places(places: Sequence[str], count: int) -> str:
    """` (lines 3, 7 …)`, or nothing."""
    if not places:
        return ""
    more = " …" if count > len(places) else ""
    noun = "" if any(not name.isdigit() for name in places) else "line " if len(places) == 1 else "lines "
    return f" ({noun}{', '.join(places)}{more})"


@dataclass
class Tally:
    """What is counted of rows as the model would see them. `max_length` (tokens) is where rows are cut; 0 for nowhere."""

    tokenizer: Tokenizer
    max_length: int = 0
    num_rows: int = 0
    num_tokens: int = 0
    num_supervised: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    """By what: unlearnt, unended, doubled, truncated, cut, system."""
    places: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def __post_init__(self) -> None:
        self._bos = self.tokenizer.encoder.token_to_id(self.tokenizer.bos) if self.tokenizer.bos else None
        self._ends = self.tokenizer.special_ids | {self.tokenizer.eos_id}

    def add(self, example: Example, row: TokenRow) -> None:
        """Count a rendered row."""
        ids, spans = row.ids, row.spans
        supervised = row.num_supervised
        self.num_rows += 1
        self.num_tokens += len(ids)
        self.num_supervised += supervised
        if not supervised:
            self._note("unlearnt", example)
        elif ids[spans[-1][1] - 1] not in self._ends and not example.is_text:
            self._note("unended", example)
        if example.messages and example.messages[0]["role"] == "system":
            self.counts["system"] += 1
        if self._bos is not None and len(ids) > 1 and ids[0] == ids[1] == self._bos:
            self._note("doubled", example)
        if self.max_length and len(ids) > self.max_length:
            self._note("truncated", example)
            if truncate(row, self.max_length).num_supervised < supervised:
                self._note("cut", example)

    def _note(self, what: str, example: Example) -> None:
        self.counts[what] += 1
        if self.counts[what] <= _FEW:
            self.places.setdefault(what, []).append(place_of(example))

    def finding(self, code: str, level: Level, what: str, fix: str = "") -> Finding:
        return Finding(code, level, what, fix, self.counts[code], tuple(self.places.get(code, ())))


def findings(tally: Tally, *, allow_truncation: bool = False) -> list[Finding]:
    """What the rows as the model sees them give to tell, what stops a training first."""
    found = [
        *_unlearnt(tally), *_marks(tally),
        *truncation(
            tally.num_rows, tally.counts["cut"], tally.max_length, allowed=allow_truncation,
            places=tally.places.get("cut", ()),
        ),
    ]  # fmt: skip
    if tally.counts["truncated"] > tally.counts["cut"]:
        found.append(
            tally.finding(
                "truncated", "warning",
                f"{rows_are(tally.counts['truncated'])} longer than {tally.max_length:,} tokens, and would be cut in the middle",
                "Shorten the questions, or raise --max-length where the model reads more.",
            )
        )  # fmt: skip
    if (count := tally.counts["system"]) and tally.tokenizer.drops_system:
        found.append(
            Finding(
                "system", "warning", f"the chat template leaves out the system message of {rows(count)}",
                "It is put before the first question; give another --template if the model has a place for it.", count,
            )
        )  # fmt: skip
    return sorted(found, key=lambda finding: finding.level != "fatal")


def fatal_findings(tally: Tally, *, allow_truncation: bool = False) -> list[Finding]:
    """Those of `findings` that stop a training before it starts."""
    return [finding for finding in findings(tally, allow_truncation=allow_truncation) if finding.level == "fatal"]


@dataclass
class UnknownRoles:
    """Roles that no chat template knows, found in the reasons why rows cannot be used."""

    count: int = 0
    places: dict[str, str] = field(default_factory=dict[str, str])
    """Of each role, where it was first met."""

    def add(self, where: str, reason: str) -> None:
        if found := _UNKNOWN_ROLE.search(reason):
            self.count += 1
            if len(self.places) < _FEW:
                self.places.setdefault(found[1], where)

    def findings(self) -> list[Finding]:
        """One, which is fatal, or none."""
        if not self.count:
            return []
        names = ", ".join(
            f"'{name}' ({'line ' if where.isdigit() else ''}{where})" for name, where in self.places.items()
        )
        return [
            Finding(
                "role", "fatal", f"{rows_are(self.count)} of an unknown role: {names}",
                "Rename the roles to system, user, assistant or tool; --skip-bad-rows leaves such rows out.", self.count,
            )
        ]  # fmt: skip


def truncation(
    num_rows: int, num_cut: int, max_length: int, *, allowed: bool = False, places: Sequence[str] = ()
) -> list[Finding]:
    """`num_cut` of `num_rows` rows lose the end of an answer at `max_length` tokens. Fatal over `CUT_SHARE`."""
    if not num_cut:
        return []
    share = num_cut / num_rows
    return [
        Finding(
            "cut", "fatal" if share > CUT_SHARE and not allowed else "warning",
            f"{num_cut:,} rows ({_percent(share)}) lose the end of their answer at {max_length:,} tokens",
            "Raise --max-length, shorten the answers, or go on with --allow-truncation.", num_cut, tuple(places),
        )
    ]  # fmt: skip


def _unlearnt(tally: Tally) -> list[Finding]:
    count = tally.counts["unlearnt"]
    if not count:
        return []
    if count == tally.num_rows:
        return [
            tally.finding("unlearnt", "fatal", "no token of any row would be learnt", "Check that rows have answers.")
        ]
    return [tally.finding("unlearnt", "warning", f"{rows_are(count)} without a token to learn")]


def _marks(tally: Tally) -> list[Finding]:
    """End and begin tokens."""
    found: list[Finding] = []
    for code, what, fix in (
        (
            "unended", "{} not closed by an end token: the model would never learn to stop",
            "Give a template that ends answers: --template chatml, or a file.",
        ),
        (
            "doubled", "{} begun by two begin tokens",
            "Take the begin token out of the template, or out of the texts where they hold it.",
        ),
    ):  # fmt: skip
        if count := tally.counts[code]:
            level: Level = "fatal" if count > _BROKEN_SHARE * tally.num_rows else "warning"
            found.append(tally.finding(code, level, what.format(rows_are(count)), fix))
    return found


def rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def rows_are(count: int) -> str:
    """`1 row is`, `2,000 rows are`: so that what follows can be said of either."""
    return f"{rows(count)} {'is' if count == 1 else 'are'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
