"""How a search's result looks in a terminal. It computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith.core.progress import duration

if TYPE_CHECKING:
    from lorasmith.tuning.report import TuneReport


def tune_summary(out: Console, report: TuneReport) -> None:
    """The trials that were measured beside the base, the verdict, and what to do with the result."""
    from lorasmith.evaluation.page import interval, shown
    from lorasmith.tuning.page import described

    kind = report.kind
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in (f"{report.rows} rows", kind.title, "interval", "parameters"):
        table.add_column(column, justify="right" if column == kind.title else "left")
    if report.base:
        table.add_row("base", shown(report.base.value, kind), interval(report.base.low, report.base.high, kind), "")
    rows = {row.number: row for row in report.trials}
    automatic = next((row.params for row in report.trials if row.is_automatic), {})
    for number, one in sorted(report.scores.items(), key=lambda pair: pair[0] != report.best):
        name = "automatic" if rows[number].is_automatic else f"trial {number}"
        table.add_row(
            Text(name, style="bold" if number == report.best else ""), shown(one.value, kind),
            interval(one.low, one.high, kind), described(rows[number].params, automatic),
        )  # fmt: skip
    if report.scores:
        out.print(table)
    out.print(report.verdict, style="bold", soft_wrap=True, markup=False)
    for note in report.notes:
        out.print(note, soft_wrap=True, markup=False)
    out.print(f"\n[dim]{len(report.trials)} trials, {duration(report.seconds)} of training[/]")
    adapter = f"\nadapter  {report.folder}/lora" if (Path(report.folder) / "lora").exists() else ""
    out.print(f"details  {report.folder}/tune.html{adapter}", soft_wrap=True)
