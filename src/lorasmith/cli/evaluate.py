"""`lorasmith evaluate`: the base and its adapters on the same rows."""

from __future__ import annotations

from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch, evaluation_table
from lorasmith.evaluation.spec import EvaluateSpec


@click.command()
@click.argument("model")
@options_of(EvaluateSpec, without=("model",))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def command(model: str, as_json: bool, **options: Any) -> None:
    """Measure MODEL with and without adapters on a file of examples: greedy answers, paired intervals."""
    if as_json:
        click.echo(flow.evaluate(model, **given(options)).model_dump_json(indent=2))
        return
    out = console()
    with Watch(out) as watch:
        report = flow.evaluate(model, on_event=watch, **given(options))
    evaluation_table(out, report)
    out.print(f"details  {report.folder}/report.html", soft_wrap=True)
