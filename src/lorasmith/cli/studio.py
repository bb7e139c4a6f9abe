"""`lorasmith studio`: everything from a web page."""

from __future__ import annotations

from typing import Any

import click

from lorasmith.cli.console import console, open_page
from lorasmith.cli.options import given, options_of
from lorasmith.studio.launch import Opened, studio
from lorasmith.studio.spec import StudioSpec


@click.command()
@options_of(StudioSpec)
def command(**options: Any) -> None:
    """Datasets, trainings and models behind one API on this machine; what it starts goes on without it."""
    out = console()

    def started(where: Opened) -> None:
        lines = [("page", where.url), ("API", f"{where.url}/api"), ("docs", f"{where.url}/api/docs")]
        if where.token:
            lines.append(("token", f"{where.token}   (of the account '{where.account}'; it is shown this once)"))
        out.print("[bold]lorasmith studio[/]")
        for name, value in lines:
            out.print(f"  {name:<5} {value}", soft_wrap=True)
        out.print("Ctrl+C ends it; trainings go on.")
        if not options["no_browser"]:
            open_page(out, where.url)

    studio(on_start=started, **given(options))
