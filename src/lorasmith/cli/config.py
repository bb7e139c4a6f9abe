"""`lorasmith config`: the settings in force, and how to change them."""

from __future__ import annotations

import json

import click

from lorasmith.core import settings
from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show and change settings."""
    if context.invoked_subcommand is None:
        context.invoke(show)


def _values() -> dict[str, object]:
    return json.loads(settings.load().model_dump_json())  # secrets come out as stars


@command.command()
def show() -> None:
    """All settings in force; secrets are hidden."""
    for name, value in _values().items():
        click.echo(f"{name}: {json.dumps(value, ensure_ascii=False)}")


@command.command()
@click.argument("key")
def get(key: str) -> None:
    """One setting."""
    values = _values()
    if key not in values:
        raise UsageProblem(f"Unknown setting '{key}'", fix=nearest(key, values))
    click.echo(values[key])


@command.command("set")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Change one setting in config.yaml."""
    settings.store(key, value)
    click.echo(f"{key} is set in {settings.config_path()}")


@command.command()
def init() -> None:
    """Make home's folders and, where there is none, a config.yaml with every setting explained."""
    place, is_new = settings.init()
    click.echo(f"Home     {place.parent}")
    click.echo(f"Settings {place}" + (" (new: every setting is explained in it)" if is_new else " (kept as it was)"))


@command.command()
def path() -> None:
    """Where config.yaml is."""
    click.echo(settings.config_path())
