"""`lorasmith studio`: everything from a web page."""

from __future__ import annotations

from typing import Any

import click

from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.serve.launch import Address
from lorasmith.studio.launch import studio
from lorasmith.studio.spec import StudioSpec


@click.command()
@options_of(StudioSpec)
def command(**options: Any) -> None:
    """Datasets, trainings and models behind one API on this machine; what it starts goes on without it."""
    out = console()

    def started(address: Address) -> None:
        lines = [("API", f"{address.url}/api"), ("docs", f"{address.url}/api/docs")]
        if address.key:
            lines.append(("key", f"{address.key}   (made for this run)"))
        out.print("[bold]lorasmith studio[/]")
        for name, value in lines:
            out.print(f"  {name:<5} {value}", soft_wrap=True)
        out.print("Ctrl+C ends it; trainings go on.")

    studio(on_start=started, **given(options))
