"""`lorasmith data inspect`: what is in a file of examples."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.render import Watch
from lorasmith.cli.render_data import inspection
from lorasmith.core import paths
from lorasmith.core.events import Progress

FATAL_EXIT = 6


@click.group()
def command() -> None:
    """Look into a file of examples."""


@command.command()
@click.argument("path")
@click.option("--model", default="", help="Count tokens and show rows as this model sees them")
@click.option("--max-length", type=int, default=0, help="Tokens at which rows would be cut [what the model reads]")
@click.option("--format", "format_name", default="", help="Read it as this format instead of recognising it")
@click.option("--columns", default="", help="Your columns: prompt=NAME,completion=NAME")
@click.option("--template", default="", help="Chat template: chatml, alpaca or a jinja file")
@click.option("--rows", "num_rows", type=click.IntRange(0, 20), default=1, help="How many rows to show [1]")
@click.option(
    "--row", "lines", multiple=True, metavar="LINE", help="Show the row of this line (in a folder: FILE:LINE)"
)
@click.option("--against", default="", metavar="FILE", help="Rows to be tested on, of which none should be in PATH")
@click.option("--eval-fraction", type=click.FloatRange(0, 0.9), default=0.1, help="Share that training holds out [0.1]")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of that split [0]")
@click.option("--html", "page", default="", metavar="FILE", help="Write it all as one page to look at")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def inspect(path: str, num_rows: int, lines: tuple[str, ...], page: str, as_json: bool, **options: object) -> None:
    """Format, rows, lengths, copies, languages, leaks, problems, and rows as the model sees them."""
    out = console()
    if page:
        paths.make_folder(Path(page).absolute().parent)
    with Watch(console(to_stderr=True) if as_json else out) as watch:
        found, _ = flow.inspect_data(
            path, lines=lines,
            on_rows=lambda rows: watch(Progress(stage="read", done=rows, total=0, unit="rows")), **options,  # type: ignore[arg-type]
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))  # in ASCII: no sign of the data steers the terminal
    else:
        inspection(out, found, num_rows=len(lines) or num_rows)
    if page:
        from lorasmith.data.page import page_of

        paths.write_text(Path(page), page_of(found, Path(path).name))
        if not as_json:
            out.print(f"page  {page}", markup=False, soft_wrap=True)
    if found.fatal:
        sys.exit(FATAL_EXIT)
