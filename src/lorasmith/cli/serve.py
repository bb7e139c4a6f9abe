"""`lorasmith serve`: not there yet; it takes its options, looks whether the model is installed, and says so."""

from __future__ import annotations

import click

from lorasmith import flow
from lorasmith.core.errors import EnvironmentProblem


@click.command()
@click.argument("model")
@click.option("--port", type=int, default=8000, help="Port [8000]")
@click.option("--host", default="127.0.0.1", help="Address [127.0.0.1]")
@click.option("--dtype", default="auto", help="What it computes in [auto]")
@click.option("--device", default="auto", help="Where it runs [auto]")
@click.option("--load-in-8bit", is_flag=True, help="Weights in 8 bit")
@click.option("--load-in-4bit", is_flag=True, help="Weights in 4 bit")
@click.option("--load-lora", metavar="PATH", default="", help="An adapter, in place of the one in lora/")
@click.option("--no-browser", is_flag=True, help="Open no browser")
def command(model: str, **_: object) -> None:
    """Serve MODEL (serving comes later: so far this only says how to talk to it)."""
    flow.know_model(model)
    raise EnvironmentProblem("Serving comes later", fix=f"Until then:  lorasmith chat {model}")
