"""How an inspection looks in a terminal: facts, lengths, rows token by token, findings. It computes nothing.

Whatever stands in the data is printed as text; nothing of it reaches the terminal as a command.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:  # what reads data is slow to import, and not every verb reads some
    from lorasmith.data.duplicates import Repeats
    from lorasmith.data.inspection import Inspection
    from lorasmith.data.sample import Piece, SampleRow

Shades = tuple[str, str]
_BAR = 30
_CHARS = 2000
# Two shades of each, in turn, so that one sees where a token ends.
_LEARNT = ("#0b3d24 on #c9efd8", "#0b3d24 on #a9e3c1")
_LEARNT_IN_16_COLOURS = ("black on green", "black on bright_green")
_PROMPT = ("", "dim")
_SPECIAL = ("magenta", "magenta")
_CUT = "strike red"
_OPEN, _CLOSE = "⟦", "⟧"


def inspection(out: Console, found: Inspection, *, num_rows: int = 1) -> None:
    """What is in a dataset. `num_rows` of its samples are shown."""
    from lorasmith.data.sample import visible

    head = f"{found.num_rows:,} {'row' if found.num_rows == 1 else 'rows'} · fields: {', '.join(found.fields)}" + (
        f" · {found.num_bad_rows:,} unusable" if found.num_bad_rows else ""
    )
    out.print(Text.assemble((found.format, "bold"), " · ", visible(head)), soft_wrap=True)
    for line, reason in found.bad_rows[:5]:
        out.print(Text(visible(f"  line {line}: {reason}"), style="yellow"), soft_wrap=True)
    if found.num_rows:
        _facts(out, found)
        _lengths(out, found)
        _samples(out, found.samples[:num_rows], has_tokens=found.unit == "tokens", max_length=found.max_length)
    _findings(out, found)


def _facts(out: Console, found: Inspection) -> None:
    compared = "" if found.num_compared == found.num_rows else f" among the first {found.num_compared:,}"
    same = [
        f"copies {_repeated(found.copies)}", f"near copies{compared} {_repeated(found.near_copies)}",
        f"contradictions {_repeated(found.conflicts)}", f"empty answers {found.num_empty_answers:,}",
    ]  # fmt: skip
    lines = [("same", " · ".join(same))]
    if found.leaks.num_rows:
        lines.append(
            ("split", f"{found.leaks.num_rows:,} rows held out, {found.leaks.most:,} of them known from the rest")
        )
    if found.against:
        other = found.against
        lines.append((found.against_name, f"{other.num_rows:,} rows, {other.most:,} of them in this file, too"))
    if found.languages:
        asked = (
            "" if found.question_languages in ({}, found.languages) else f", asked in {mix(found.question_languages)}"
        )
        lines.append(("language", mix(found.languages) + asked))
    if found.holds:
        lines.append(("holds", " · ".join(f"{name} in {count:,} rows" for name, count in found.holds.items())))
    from lorasmith.data.sample import visible

    for name, value in lines:
        out.print(Text.assemble((f"{visible(name):<9} ", "dim"), visible(value)), soft_wrap=True)


def _repeated(repeats: Repeats) -> str:
    """`3 (lines 12 = 40, 13 = 41 …)`."""
    pairs = [" = ".join(pair) for pair in repeats.pairs[:2]]
    more = " …" if repeats.count > len(pairs) else ""
    return f"{repeats.count:,}" + (f" (lines {', '.join(pairs)}{more})" if pairs else "")


def mix(languages: dict[str, float]) -> str:
    """`English 90 %, German 10 %`."""
    return ", ".join(
        f"{name} {100 * share:.0f} %" if share >= 0.01 else f"{name} < 1 %" for name, share in languages.items()
    )


def _lengths(out: Console, found: Inspection) -> None:
    if not found.length_max:
        return
    unit = found.unit
    learnt = f" · {found.num_supervised_tokens:,} of {found.num_tokens:,} tokens to learn" if found.num_tokens else ""
    middle = (
        f"{found.length_p50:,} {unit} in the middle, {found.length_p95:,} at 95 %, {found.length_max:,} at most{learnt}"
    )
    out.print(Text.assemble((f"{'length':<10}", "dim"), middle), soft_wrap=True)
    most = max(count for _, count in found.histogram)
    is_told = not found.max_length
    for edge, count in itertools.dropwhile(lambda bin_: not bin_[1], found.histogram):
        bar = "█" * max(1 if count else 0, round(_BAR * count / most))
        mark = ""
        if not is_told and edge >= found.max_length:
            is_told, mark = True, f"  ← cut at {found.max_length:,}"
        out.print(Text.assemble(f"  ≤ {edge:>7,} ", (f"{bar:<{_BAR}}", "blue"), f" {count:>7,}", (mark, "yellow")))


def _samples(out: Console, samples: list[SampleRow], *, has_tokens: bool, max_length: int) -> None:
    if not samples:
        return
    is_plain = out.no_color or out.color_system is None
    out.print()
    learnt = _LEARNT_IN_16_COLOURS if out.color_system == "standard" else _LEARNT
    if has_tokens:
        out.print(_legend(is_plain, learnt), soft_wrap=is_plain)
    for row in samples:
        _sample(out, row, None if is_plain else learnt, max_length)


def _legend(is_plain: bool, learnt: Shades) -> Text:
    if is_plain:
        return Text(f"As the model sees it. {_OPEN}This is learnt{_CLOSE}, the rest is only read; ✂ this falls away ✂.")
    return Text.assemble(
        ("As the model sees it: ", "bold"), *_shades(("what", " is", " learnt"), learnt), "  ",
        *_shades(("what", " is", " only", " read"), _PROMPT), "  ", ("special", _SPECIAL[0]), "  ", ("cut away", _CUT),
        "  · blank  ↵ line break; shades change from token to token",
    )  # fmt: skip


def _shades(words: Iterable[str], styles: Shades) -> list[tuple[str, str]]:
    return [(word, styles[number % 2]) for number, word in enumerate(words)]


def _sample(out: Console, row: SampleRow, learnt: Shades | None, max_length: int) -> None:
    from lorasmith.data.sample import visible

    where = f"line {row.place}" if row.place.isdigit() else row.place
    facts = f" · {row.num_tokens:,} tokens, {row.num_learnt:,} learnt" if row.num_tokens else ""
    facts += f", {row.num_cut:,} cut away at {max_length:,}" if row.num_cut else ""
    out.print(Text.assemble((visible(where), "bold"), visible(facts + (f" · {row.about}" if row.about else ""))))
    if row.rejected:
        out.print(Text("chosen:", style="green"))
    out.print(_body(row, learnt), soft_wrap=not learnt)
    if row.rejected:
        out.print(Text("rejected:", style="red"))
        out.print(_body(row.rejected, learnt), soft_wrap=not learnt)
    out.print()


def _body(row: SampleRow, learnt: Shades | None) -> Text:
    from lorasmith.data.sample import visible

    if row.pieces:
        return _coloured(row, learnt) if learnt else _plain(row)
    text = Text()
    for message in row.messages:
        text.append(f"{message['role']}: ", style="bold")
        text.append(visible(message["content"])[:_CHARS] + "\n")
    text.append(visible(row.text)[:_CHARS])
    text.rstrip()
    return text


def _coloured(row: SampleRow, learnt: Shades) -> Text:
    text = Text()
    for number, piece in enumerate(row.pieces):
        if row.num_hidden and number == row.hidden_after:
            text.append(_hidden(row), style="italic")
        styles = _SPECIAL if piece.special and not piece.learnt else learnt if piece.learnt else _PROMPT
        style = _CUT if piece.cut else styles[number % 2]
        if piece.special and piece.learnt and not piece.cut:
            style += " bold"
        shown = _shown(piece).replace("\t", "→").replace(" ", "·") or "∅"
        for part in shown.split("\n")[:-1]:
            text.append(f"{part}↵", style=style)
            text.append("\n")
        text.append(shown.rsplit("\n", 1)[-1], style=style)
    return text


def _plain(row: SampleRow) -> Text:
    """Without colour: the text as it is, brackets around what is learnt. Borders between tokens would make it unreadable."""
    text = Text()
    for kind, pieces in _runs(row):
        words = "".join(map(_shown, pieces))
        if kind == "hidden":
            text.append(_hidden(row))
        elif kind == "cut":
            text.append(f" ✂ {len(pieces)} tokens ✂ ")
        else:
            text.append(f"{_OPEN}{words}{_CLOSE}" if kind == "learnt" else words)
    return text


def _runs(row: SampleRow) -> list[tuple[str, list[Piece]]]:
    def kind(piece: Piece) -> str:
        return "cut" if piece.cut else "learnt" if piece.learnt else "read"

    parts = [row.pieces[: row.hidden_after], row.pieces[row.hidden_after :]]
    runs: list[tuple[str, list[Piece]]] = []
    for number, part in enumerate(parts):
        if number and row.num_hidden:
            runs.append(("hidden", []))
        runs += [(name, list(group)) for name, group in itertools.groupby(part, kind)]
    return runs


def _shown(piece: Piece) -> str:
    from lorasmith.data.sample import visible

    return visible(piece.text)


def _hidden(row: SampleRow) -> str:
    return f"\n… {row.num_hidden:,} tokens more …\n"


def _findings(out: Console, found: Inspection) -> None:
    from lorasmith.data.sample import visible

    for finding in sorted(found.findings, key=lambda finding: finding.level == "fatal"):
        name, style = ("Fatal:", "red bold") if finding.level == "fatal" else ("Warning:", "yellow")
        out.print(Text.assemble((name, style), f" {visible(str(finding))}"), soft_wrap=True)
        if finding.fix:
            out.print(Text(f"  {visible(finding.fix)}", style="dim"), soft_wrap=True)
