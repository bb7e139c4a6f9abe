"""`lorasmith list`: the installed models."""

from __future__ import annotations

import json

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.render import models_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list on standard output and nothing else")
def command(as_json: bool) -> None:
    """Show the installed models: what they are, their size, when they were last used, whether they are sound."""
    models = flow.installed_models()
    if as_json:
        click.echo(json.dumps([model.model_dump(mode="json") for model in models], indent=2, ensure_ascii=False))
    elif models:
        models_table(console(), models)
    else:
        click.echo("No model is installed. Try:  lorasmith install demo")
