"""`lorasmith tune`: search for better parameters."""

from __future__ import annotations

from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch
from lorasmith.cli.render_tune import tune_summary
from lorasmith.core.errors import UsageProblem
from lorasmith.tuning.spec import TuneSpec


@click.command()
@click.argument("model", required=False)
@options_of(TuneSpec, without=("model",))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def command(model: str | None, as_json: bool, **options: Any) -> None:
    """Search for parameters with which MODEL learns a file of examples better than with the automatic choice."""
    chosen = given(options)
    data = chosen.pop("data", "")
    if not data:
        raise UsageProblem("A search needs examples", fix="Try:  lorasmith tune demo --data FILE")
    if as_json:
        click.echo(flow.tune(model or "", data, **chosen).model_dump_json(indent=2))
        return
    out = console()
    with Watch(out) as watch:
        report = flow.tune(model or "", data, on_event=watch, **chosen)
    tune_summary(out, report)
