"""`lorasmith remove`: take an installed model away."""

from __future__ import annotations

import click

from lorasmith import flow
from lorasmith.core.progress import amount


@click.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask")
def command(name: str, yes: bool) -> None:
    """Remove the installed model NAME with its environment. Adapters that were trained on it stay."""
    folder = flow.find_installed(name)
    model = next(one for one in flow.installed_models() if one.folder == folder)
    size = amount(model.model_bytes + model.environment_bytes)
    kept = f" Its adapters stay: {', '.join(model.adapters)}." if model.adapters else ""
    if not yes:
        click.confirm(f"Remove {folder} ({size})?{kept}", abort=True)
    flow.remove(name)
    click.echo(f"Removed {folder.name}, {size}.{kept}")
