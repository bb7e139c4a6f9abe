"""`lorasmith data inspect`: what is in a file of examples."""

from __future__ import annotations

import sys

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.render import Watch, inspection
from lorasmith.core.events import Progress

FATAL_EXIT = 6


@click.group()
def command() -> None:
    """Look into a file of examples."""


@command.command()
@click.argument("path")
@click.option("--model", default="", help="Count tokens and show a row as this model sees it")
@click.option("--max-length", type=int, default=0, help="Tokens at which rows would be cut [what the model reads]")
@click.option("--format", "format_name", default="", help="Read it as this format instead of recognising it")
@click.option("--columns", default="", help="Your columns: prompt=NAME,completion=NAME")
@click.option("--template", default="", help="Chat template: chatml, alpaca or a jinja file")
def inspect(path: str, model: str, max_length: int, format_name: str, columns: str, template: str) -> None:
    """Format, rows, lengths, copies, problems, and a row as the model sees it."""
    out = console()
    with Watch(out) as watch:
        found, tokenizer = flow.inspect_data(
            path, model=model, template=template, format_name=format_name, columns=columns, max_length=max_length,
            on_rows=lambda rows: watch(Progress(stage="read", done=rows, total=0, unit="rows")),
        )  # fmt: skip
    inspection(out, found, tokenizer)
    if found.fatal:
        sys.exit(FATAL_EXIT)
