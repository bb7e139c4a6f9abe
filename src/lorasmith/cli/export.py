"""`lorasmith export`: a model taken elsewhere, and the table that says whether it is still the same."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch
from lorasmith.core.progress import amount, duration
from lorasmith.evaluation.page import interval, shown
from lorasmith.exports.spec import ExportReport, ExportSpec


@click.command()
@click.argument("model")
@options_of(ExportSpec, without=("model",))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def command(model: str, as_json: bool, **options: Any) -> None:
    """Take MODEL elsewhere, with an adapter or without: merged safetensors, GGUF, Ollama, the Hub.

    The same prompts then go through the trained model and the exported one. What answers otherwise is not kept.
    """
    if as_json:
        click.echo(flow.export(model, **given(options)).model_dump_json(indent=2))
        return
    out = console()
    with Watch(out) as watch:
        report = flow.export(model, on_event=watch, **given(options))
    show_report(out, report)


def show_report(out: Console, report: ExportReport) -> None:
    """What was compared, and where it lies."""
    if report.parity:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("compared", "result", "passes at"):
            table.add_column(column)
        parity, total = report.parity, len(report.parity.rows)
        wanted = f"{total} of {total}"
        if parity.rows:
            table.add_row("prompts as tokens", f"{parity.same_ids} of {total} equal", wanted)
            answers = wanted if parity.needs_same_answers else "as it comes"
            table.add_row("greedy answers", f"{parity.same_answers} of {total} equal", answers)
            table.add_row(
                "distributions along them",
                f"at most {parity.largest_distance:.4f} apart",
                f"≤ {parity.limit:g} for {parity.form}",
            )
        if parity.texts:
            table.add_row(
                "answers in words",
                f"{parity.same_texts} of {len(parity.texts)} equal",
                f"{len(parity.texts)}, as far as it was sure",
            )
        for one in parity.scores:
            change = f"{shown(one.trained, one)} → {shown(one.exported, one)}"
            table.add_row(one.title, change, f"95 %: {interval(one.low, one.high, one)}")
        if report.num_bytes:
            table.add_row("size", f"{amount(report.bytes_before)} → {amount(report.num_bytes)}", "")
        out.print(table)
        out.print(f"[dim]read back by {parity.reader}[/]")
    if report.target == "hub":
        for name, size in report.files.items():
            out.print(f"  {name}  {amount(size)}", markup=False, highlight=False)
    for note in report.notes:
        out.print(note, style="yellow", markup=False, soft_wrap=True)
    size = f", {amount(report.num_bytes)}" if report.num_bytes else ""
    out.print(f"{report.place}{size}, written in {duration(report.seconds)}", markup=False, soft_wrap=True)
