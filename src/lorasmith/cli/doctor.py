"""`lorasmith doctor`: whether this machine and this installation are in order."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.text import Text

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.plan.doctor import DoctorReport

_MARKS = {"ok": ("✓", "green"), "note": ("–", "dim"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def command(as_json: bool) -> None:
    """Say whether this machine and this installation are in order, and what to do where they are not."""
    report = flow.doctor()
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        show(console(), report)
    if not report.ok:
        sys.exit(1)


def show(out: Console, report: DoctorReport) -> None:
    """One line for each finding; beneath it why and what to do, where something is wrong."""
    for finding in report.findings:
        mark, colour = _MARKS[finding.level]
        style = colour if finding.level in {"warning", "problem"} else ""
        out.print(
            Text.assemble((f"{mark} ", colour), (f"{finding.topic:<11}", "bold"), (finding.what, style)), soft_wrap=True
        )
        for text, colour in ((finding.why, "dim"), (finding.fix and f"→ {finding.fix}", "cyan")):
            if text:
                out.print(Text(f"{'':<13}{text}", style=colour), soft_wrap=True)
    counts = [_times(report.count("problem"), "problem"), _times(report.count("warning"), "warning")]
    told = " and ".join(count for count in counts if count)
    out.print(f"\n[bold]{f'Found {told}.' if told else 'Everything is in order.'}[/]")


def _times(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""
