"""`lorasmith profiles`: the shapes of adapters by name, and which suits a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith import flow, profiles
from lorasmith.cli.console import console
from lorasmith.cli.options import given
from lorasmith.core.progress import amount
from lorasmith.plan.recommend import Recommendations
from lorasmith.profiles import Profile

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output and nothing else")


@click.group()
def command() -> None:
    """LoRA profiles: show them, find the one for a model, make your own."""


@command.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """All profiles: your own, then the built-in ones."""
    found = profiles.all_profiles()
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2, ensure_ascii=False))
        return
    table = _table("profile", "r", "weights", "memory", "for")
    own = profiles.custom()
    for one in found:
        name = Text.assemble((one.name, "bold"), (" (yours)", "dim") if one.name in own else "")
        weights = "as stored" if one.quantization == "none" else one.quantization
        table.add_row(name, str(one.r), weights, one.memory_usage, one.title or ", ".join(one.model_types))
    console().print(table)


@command.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """All of one profile."""
    profile = profiles.get(name)
    if as_json:
        click.echo(profile.model_dump_json(indent=2))
        return
    table = _table("key", "value", header=False)
    for key, value in profile.model_dump(mode="json").items():
        if value not in (None, [], "", False):
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            table.add_row(Text(key.replace("_", " "), style="dim"), Text(shown))
    note = profiles.VARIANTS[profile.variant]
    table.add_row(Text("that is", style="dim"), Text(f"{note.title}. {note.note}".strip()))
    console().print(table)


@command.command()
@click.argument("model")
@click.option("--memory", default="", help="Memory that may be used, such as 6GB [what is free]")
@click.option("--hardware", default="", help="Another machine: rtx3060-6gb, or ram=16,vram=8 (GB)")
@_JSON
def recommend(model: str, memory: str, hardware: str, as_json: bool) -> None:
    """Rank the profiles for MODEL by what training it takes; no weight is fetched."""
    found = flow.recommend(model, memory=memory, hardware=hardware)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        _show_recommendations(console(), found, model)


def _show_recommendations(out: Console, found: Recommendations, model: str) -> None:
    where = "GPU" if found.device == "cuda" else "CPU"
    facts = f"  {found.model_type} · one row of {found.length} tokens in {found.precision} on the {where} · "
    out.print(Text.assemble((found.model_id, "bold"), facts, f"{amount(found.free)} may be used"), soft_wrap=True)
    table = _table("profile", "r", "layers", "needs", "fits", "why")
    for one in found.profiles:
        fits = Text("yes", style="green") if one.fits else Text("no", style="red")
        table.add_row(
            Text(one.profile, style="bold"),
            str(one.rank),
            str(one.layers or "?"),
            amount(one.memory),
            fits,
            Text(one.why),
        )
    out.print(table)
    for name, reason in found.left_out.items():
        out.print(f"left out: {name}: {reason}", style="dim", markup=False, soft_wrap=True)
    if not found.can_be_trained:
        out.print(
            "lorasmith cannot train this kind of model yet; lorasmith.lora.apply_lora puts a profile on it.",
            style="yellow",
        )
    elif found.best:
        out.print(f"lorasmith train {model} --data FILE --profile {found.best.profile}", markup=False, soft_wrap=True)
    else:
        out.print("None fits. A smaller model, shorter rows or more memory would.", style="yellow")


@command.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--force", is_flag=True, help="Write over a file that is there")
def export(name: str, file: Path | None, force: bool) -> None:
    """Write a profile to FILE, which ends in .yaml or .json [NAME.yaml]."""
    place = file or Path(f"{name}.yaml")
    profile = profiles.get(name)
    if place.exists() and not force:
        raise click.UsageError(f"There is a file '{place}' already. Write over it with --force.")
    profiles.write(profile, place)
    click.echo(f"{profile.name} is written to {place}")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Call it so [as the file says]")
@click.option("--replace", is_flag=True, help="Take the place of one of yours with that name")
def import_(file: Path, name: str | None, replace: bool) -> None:
    """Take the profile in FILE (YAML or JSON) into your own."""
    profile = profiles.read(file)
    if name:
        profile = profiles.make(profile.model_dump() | {"name": name})
    click.echo(f"{profile.name} is kept in {profiles.add(profile, replace=replace)}")


@command.command()
@click.argument("name")
@click.option("--like", "base", help="Start from this profile [universal]")
@click.option("--r", "rank", type=click.IntRange(1, 1024), help="Rank of the adapter")
@click.option("--alpha", type=float, help="Scaling of the adapter")
@click.option("--dropout", type=float, help="Dropout before the adapter")
@click.option("--target-modules", help="Layers to adapt: all-linear, or names with commas")
@click.option("--modules-to-save", help="Modules to train in full, names with commas")
@click.option("--variant", type=click.Choice(profiles.VARIANT_NAMES), metavar="NAME", help="Kind of adapter")
@click.option("--quantization", type=click.Choice(["none", "4bit", "8bit"]), help="How the base is loaded")
@click.option("--model-types", help="model_type of the models that it is for, with commas; empty: all")
@click.option("--title", help="What it is, in a few words")
@click.option("--recommended-for", help="When to take it")
@click.option("--replace", is_flag=True, help="Take the place of one of yours with that name")
def create(name: str, base: str | None, rank: int | None, replace: bool, **options: Any) -> None:
    """Make a profile of your own, called NAME."""
    start = profiles.get(base or "universal")
    changes: dict[str, Any] = given(options | {"r": rank})
    for key in ("modules_to_save", "model_types"):
        if options[key] is not None:
            changes[key] = [part.strip() for part in options[key].split(",") if part.strip()]
    profile = _derived(start, name, changes)
    click.echo(f"{profile.name} is kept in {profiles.add(profile, replace=replace)}")


def _derived(start: Profile, name: str, changes: dict[str, Any]) -> Profile:
    """`start` with changes under a new name; what praised the old one is not said of the new."""
    values = start.model_dump() | {"title": f"Like {start.name}", "recommended_for": "", "description": ""}
    if changes.get("variant") == "qlora":
        values["quantization"] = "4bit"
    elif start.variant == "qlora" and changes.get("quantization", "4bit") != "4bit":
        values["variant"] = "lora"
    return profiles.make(values | changes | {"name": name})


@command.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask")
def remove(name: str, yes: bool) -> None:
    """Take a profile of your own away."""
    if not yes and name in profiles.custom():
        click.confirm(f"Remove the profile {name}?", abort=True)
    click.echo(f"Removed {profiles.remove(name).stem}.")


@command.command()
@_JSON
def variants(as_json: bool) -> None:
    """The kinds of adapter that a profile, or `train --variant`, can name."""
    if as_json:
        click.echo(
            json.dumps({name: one._asdict() for name, one in profiles.VARIANTS.items()}, indent=2, ensure_ascii=False)
        )
        return
    table = _table("variant", "4 bit", "what it does")
    for name, one in profiles.VARIANTS.items():
        text = Text(f"{one.title}. " if one.note else one.title)
        table.add_row(Text(name, style="bold"), "yes" if one.on_quantized else "no", text.append(one.note, style="dim"))
    console().print(table)


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=header)
    for column in columns:
        is_number = column in {"r", "layers", "needs"}
        table.add_column(
            column, justify="right" if is_number else "left", no_wrap=column in {"profile", "variant", "needs"}
        )
    return table
