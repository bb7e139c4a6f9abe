"""`lorasmith check`: what a model is, and whether it fits."""

from __future__ import annotations

from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.core.specs import make_spec
from lorasmith.plan.page import show
from lorasmith.plan.report import Question


@click.command()
@click.argument("model")
@options_of(Question)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
@click.option("--refresh", is_flag=True, help="Ask again, though there is a check of the last 24 hours")
@click.option("--trace", is_flag=True, help="A second opinion on memory by the model's own code: takes a minute")
def command(model: str, as_json: bool, refresh: bool, trace: bool, **options: Any) -> None:
    """Say what MODEL is and whether it runs and trains here, without fetching a weight."""
    report = flow.check(model, make_spec(Question, **given(options)), refresh=refresh, trace=trace)
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        show(console(), report)
