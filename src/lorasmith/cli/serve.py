"""`lorasmith serve`: one server and one page for a model."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from lorasmith import flow
from lorasmith.cli.console import console, open_page
from lorasmith.cli.options import given, options_of
from lorasmith.core.facts import ModelFacts
from lorasmith.serve.spec import ServeSpec


@click.command(context_settings={"show_default": False})
@click.argument("model")
@options_of(ServeSpec, without=("model",))
def command(model: str, **options: Any) -> None:
    """Serve MODEL: a page in the browser, its own API and one that OpenAI's clients speak."""
    chosen = given(options)
    out = console()

    def started(address: Any, facts: ModelFacts) -> None:
        _tell(out, address, facts)
        if not chosen.get("no_browser"):
            open_page(out, address.url)

    flow.serve(model, on_start=started, on_ready=out.print, **chosen)


def _tell(out: Console, address: Any, facts: ModelFacts) -> None:
    out.print(f"[bold]{facts.id}[/]  {facts.family}, {facts.num_parameters / 1e6:,.1f}M parameters")
    lines = [("page", address.url), ("API", f"{address.url}/v1"), ("docs", f"{address.url}/docs")]
    if address.is_new_key:
        lines.append(("key", f"{address.key}   (made for this run; give your own with --api-key)"))
    for name, value in lines:
        out.print(f"  {name:<5} {value}", soft_wrap=True)
    out.print("Loading; the page says how far. Ctrl+C ends it.")
