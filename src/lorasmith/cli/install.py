"""`lorasmith install`: a model in a place of its own."""

from __future__ import annotations

import sys
from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch, install_summary
from lorasmith.core.specs import make_spec
from lorasmith.env.spec import InstallSpec


@click.command()
@click.argument("model")
@options_of(InstallSpec, without=("model",))
@click.option("--yes", "-y", is_flag=True, help="Replace an installation of the same model without asking")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output and nothing else")
def command(model: str, yes: bool, as_json: bool, **options: Any) -> None:
    """Bring MODEL to a folder that runs, trains and serves by itself: its files, its environment, a first call."""
    spec = make_spec(InstallSpec, model=model, **given(options))
    out = console(to_stderr=as_json)
    with Watch(out) as watch:
        result = flow.install(spec, replace=yes, on_event=watch, confirm=lambda question: _asked(watch, question))
    if as_json:
        click.echo(result.info.model_dump_json(indent=2))
    else:
        install_summary(out, result)


def _asked(watch: Watch, question: str) -> bool:
    """A yes from somebody at the keyboard; no where nobody is."""
    return sys.stdin.isatty() and watch.asking(lambda: click.confirm(question, err=True))
