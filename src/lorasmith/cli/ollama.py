"""`lorasmith ollama`: the models that Ollama has."""

from __future__ import annotations

import json

import click
from rich.table import Table

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.core.progress import amount


@click.group()
def command() -> None:
    """The models in Ollama. One is put there by:  lorasmith export MODEL --adapter NAME --to ollama"""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output and nothing else")
def list_(as_json: bool) -> None:
    """What Ollama has."""
    found = flow.Ollama().models()
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("model", "family", "size", "changed"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for one in found:
        table.add_row(one.name, one.family, amount(one.num_bytes), one.changed[:16].replace("T", " "))
    console().print(table if found else "Ollama has no model yet.")


@command.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask")
def remove(name: str, yes: bool) -> None:
    """Take the model NAME out of Ollama."""
    if not yes:
        click.confirm(f"Remove {name} from Ollama?", abort=True)
    flow.Ollama().remove(name)
    click.echo(f"Removed {name} from Ollama.")
