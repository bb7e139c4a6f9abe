"""`lorasmith adapters`: what was trained, and what can be made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from lorasmith import flow
from lorasmith.adapters.facts import AdapterFacts
from lorasmith.adapters.scan import FoundModel
from lorasmith.adapters.spec import CombineSpec, ResizeSpec
from lorasmith.cli.console import console
from lorasmith.cli.export import show_report
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch, evaluation_table
from lorasmith.core.progress import amount

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output and nothing else")


@click.group()
def command() -> None:
    """Adapters in home: show and rename them, take in those of other tools, combine several, make one smaller."""


@command.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """All adapters, the newest first."""
    found = flow.adapters()
    if as_json:
        _json(found)
    elif found:
        _table(found)
    else:
        click.echo("There is no adapter yet. Make one:  lorasmith train MODEL --data FILE")


@command.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """All that is known of an adapter."""
    one = flow.adapter_named(name)
    if as_json:
        _json(one)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for key, value in _shown(one).items():
        if value:
            table.add_row(Text(key, style="dim"), Text(value))
    console().print(table)


def _shown(one: AdapterFacts) -> dict[str, str]:
    rank = f"{one.kind} of rank {one.rank}, alpha {one.alpha:g}" if one.rank and one.alpha else one.kind
    return {
        "adapter": one.name,
        "base": f"{one.base} {one.revision[:10]}".strip(),
        "kind": f"{rank}, {one.num_parameters:,} parameters",
        "layers": ", ".join(one.targets),
        "came": f"{one.origin} {'from ' + ', '.join(one.parents) if one.parents else ''}, {one.created:%Y-%m-%d %H:%M}".replace(
            " ,", ","
        ),
        "scores": ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in one.scores.items()),
        "size": f"{amount(one.num_bytes)} in {one.folder}",
        "wrong": "; ".join(one.troubles),
    }


@command.command()
@click.argument("name")
@click.argument("new")
def rename(name: str, new: str) -> None:
    """Call the adapter NAME otherwise."""
    click.echo(f"{name} is called {flow.rename(name, new).name} now.")


@command.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask")
def remove(name: str, yes: bool) -> None:
    """Take the adapter NAME away, with its training's checkpoints and reports."""
    one = flow.adapter_named(name)
    if not yes:
        click.confirm(f"Remove {one.folder.parent}?", abort=True)
    flow.remove_adapter(name)
    click.echo(f"Removed {name}.")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_JSON
def scan(folder: Path, as_json: bool) -> None:
    """Look for adapters and models of any tool in FOLDER and below it. Nothing is changed."""
    found = flow.scan(folder)
    if as_json:
        _json(found)
        return
    if found.adapters:
        _table(found.adapters)
        click.echo("Take one in:  lorasmith adapters import FOLDER")
    if found.models:
        _models(found.models)
        click.echo("Look at one:  lorasmith check FOLDER")
    if not (found.adapters or found.models):
        click.echo(f"There is no adapter and no model in {folder}.")
    if found.is_cut:
        click.echo("There is more: only its first part was looked at. Name a folder below it.")


@command.command("import")
@click.argument("source")
@click.option("--base", default="", help="The model that it belongs to [what its configuration names]")
@click.option("--name", default="", help="What it is called here [its own name]")
def import_(source: str, base: str, name: str) -> None:
    """Take in an adapter of another tool: a PEFT folder, or a safetensors file in kohya's or diffusers' form."""
    with Watch(console()) as watch:
        one = flow.import_adapter(source, base=base, name=name, on_event=watch)
    click.echo(f"{one.name}: {_shown(one)['kind']}, for {one.base}")


@command.command()
@click.argument("adapters", nargs=-1, required=True)
@options_of(CombineSpec, without=("adapters",))
def combine(adapters: tuple[str, ...], **options: Any) -> None:
    """Make one adapter of several of the same base."""
    with Watch(console()) as watch:
        one = flow.combine(adapters=adapters, on_event=watch, **given(options))
    click.echo(f"{one.name}: {_shown(one)['kind']}, {amount(one.num_bytes)}")


@command.command()
@click.argument("adapter")
@click.option("--base", default="", help="The model that it belongs to [what the adapter names]")
@click.option("--out", default=None, help="Folder for it [home's exports]")
def merge(adapter: str, base: str, out: str | None) -> None:
    """Write ADAPTER and its base as one model. `lorasmith export` says more, and takes it to other forms."""
    printer = console()
    with Watch(printer) as watch:
        report = flow.merge(adapter, base=base, out=out, on_event=watch)
    show_report(printer, report)


@command.command()
@click.argument("adapter")
@options_of(ResizeSpec, without=("adapter",))
@click.option("--data", default="", help="File of examples to measure both on")
@click.option("--base", default="", help="The model to measure them with [what the adapter names]")
def resize(adapter: str, data: str, base: str, **options: Any) -> None:
    """Make a smaller adapter of ADAPTER, of a lower rank, and measure what that costs."""
    out = console()
    with Watch(out) as watch:
        found = flow.resize(adapter, on_event=watch, **given(options))
    sizes = f"{amount(found.bytes_before)} → {amount(found.bytes_after)}"
    kept = f"{found.energy:.1%} of the change is kept"
    click.echo(f"{found.name}: rank {found.rank_before} → {found.rank_after}, {sizes}, {kept}")
    if not data:
        click.echo(f"What it costs:  lorasmith adapters resize {adapter} … --data FILE measures both")
        return
    with Watch(out) as watch:
        report = flow.evaluate(
            base or flow.adapter_named(found.name).base, data, adapter=(adapter, str(found.folder)), on_event=watch
        )
    evaluation_table(out, report)


def _json(found: BaseModel | list[AdapterFacts]) -> None:
    value: Any = (
        [one.model_dump(mode="json") for one in found] if isinstance(found, list) else found.model_dump(mode="json")
    )
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _models(found: list[FoundModel]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("model", "family", "size", "wrong"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for one in found:
        name = Text(one.name, style="red" if one.trouble else "bold")
        table.add_row(name, one.family, amount(one.num_bytes) if one.num_bytes else "", one.trouble)
    console().print(table)


def _table(found: list[AdapterFacts]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("adapter", "base", "kind", "rank", "size", "came", "made"):
        table.add_column(column, justify="right" if column in {"rank", "size"} else "left", overflow="fold")
    for one in found:
        name = Text(one.name, style="red" if one.troubles else "bold")
        table.add_row(
            name, one.base, one.method or one.kind, str(one.rank or ""), amount(one.num_bytes), one.origin,
            f"{one.created:%Y-%m-%d}",
        )  # fmt: skip
    console().print(table)
