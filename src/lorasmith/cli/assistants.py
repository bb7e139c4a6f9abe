"""`lorasmith assistants`: a base, an adapter, a prompt and a manner under one name."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table

from lorasmith.cli.chat import opened, talk
from lorasmith.cli.console import console
from lorasmith.cli.options import DEVICE
from lorasmith.core.specs import make_spec
from lorasmith.hub.locate import locate_adapter
from lorasmith.store.tables import Assistant
from lorasmith.studio.assistants import AssistantRequest, Assistants, sampling_of
from lorasmith.studio.running import database_of
from lorasmith.studio.state import Studio

_DATABASE = click.option("--database", default="", help="The studio's database [settings; SQLite in home]")


@click.group()
def command() -> None:
    """Assistants: a base with an adapter, a prompt and a manner under one name. The studio shows and serves the same ones."""


@command.command("list")
@_DATABASE
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output and nothing else")
def list_(database: str, as_json: bool) -> None:
    """All assistants."""
    found = _assistants(database).all()
    if as_json:
        click.echo(json.dumps([_shown(one) for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("There is no assistant yet. Make one:  lorasmith assistants add NAME --base MODEL --adapter NAME")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("assistant", "base", "adapter", "manner", "prompt", "started"):
        table.add_column(column)
    for one in found:
        manner = ", ".join(f"{name} {value:g}" for name, value in sampling_of(one).items())
        prompt = " ".join(one.system_prompt.split())
        begun = prompt[:40] + "…" * (len(prompt) > 40)
        table.add_row(one.name, one.base_model, one.adapter, manner, begun, "yes" if one.is_started else "no")
    console().print(table)


@command.command()
@click.argument("name")
@click.option("--base", required=True, help="'demo', a folder, an installed model, or owner/name on the Hub")
@click.option("--adapter", default="", help="The adapter: its name in home, or a folder [the base alone]")
@click.option("--system", default="", help="What it is told before every conversation")
@click.option("--temperature", type=float, help="0 is greedy; higher is more varied [the model's own]")
@click.option("--top-p", type=float, help="Share of the likeliest that is drawn from [the model's own]")
@click.option("--top-k", type=int, help="So many of the likeliest are drawn from [the model's own]")
@click.option("--repetition-penalty", type=float, help="Above 1 it repeats itself less [the model's own]")
@click.option("--max-tokens", type=int, help="Tokens an answer, at most [what the context leaves]")
@click.option("--seed", type=int, help="The same draws each time")
@click.option("--replace", is_flag=True, help="Change the one that has this name")
@_DATABASE
def add(name: str, base: str, adapter: str, system: str, replace: bool, database: str, **sampling: Any) -> None:
    """Make an assistant NAME, or change it."""
    asked = make_spec(
        AssistantRequest, name=name, base_model=base, adapter=adapter, system_prompt=system,
        sampling={key: value for key, value in sampling.items() if value is not None},
    )  # fmt: skip
    if adapter:
        locate_adapter(adapter)
    assistants = _assistants(database)
    known = {one.name: one for one in assistants.all()} if replace else {}
    one = assistants.keep(known.get(asked.name, Assistant()), asked)
    click.echo(
        f"'{one.name}' is kept. Talk to it:  lorasmith assistants chat {json.dumps(one.name, ensure_ascii=False)}"
    )


@command.command()
@click.argument("name")
@_DATABASE
def remove(name: str, database: str) -> None:
    """Take the assistant NAME away; its model and adapter stay."""
    assistants = _assistants(database)
    assistants.remove(assistants.named(name))
    click.echo(f"'{name}' is removed; its model and adapter are not.")


@command.command()
@click.argument("name")
@_DATABASE
def start(name: str, database: str) -> None:
    """Have NAME answer in the studio, and any OpenAI client that asks there."""
    assistants = _assistants(database)
    assistants.start(assistants.named(name))
    click.echo(f"'{name}' answers once a studio runs (lorasmith studio) and has loaded it, at /api/assistants/v1.")


@command.command()
@click.argument("name")
@_DATABASE
def stop(name: str, database: str) -> None:
    """Have NAME answer in the studio no more."""
    assistants = _assistants(database)
    assistants.stop(assistants.named(name))
    click.echo(f"'{name}' answers no more.")


@command.command()
@click.argument("name")
@DEVICE
@_DATABASE
def chat(name: str, device: str, database: str) -> None:
    """Talk to NAME here; no studio is needed."""
    one = _assistants(database).named(name)
    with opened(one.base_model, one.adapter, "", device) as conversation:
        talk(conversation, one.name, one.system_prompt, **sampling_of(one))


def _assistants(database: str) -> Assistants:
    return Studio(database_of(database)).assistants


def _shown(one: Assistant) -> dict[str, Any]:
    return {
        "name": one.name, "base_model": one.base_model, "adapter": one.adapter, "system_prompt": one.system_prompt,
        "sampling": sampling_of(one), "is_started": one.is_started,
    }  # fmt: skip
