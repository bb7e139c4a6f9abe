"""The entry point: finds the verb, loads only its file, and turns problems into short messages and exit codes (QLT-1)."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from lorasmith import __version__

if TYPE_CHECKING:
    from lorasmith.core.errors import LorasmithError

VERBS = {
    "demo": "See it work: a small model learns a task it could not do, in minutes",
    "check": "Say what a model is and whether it fits, without fetching its weights",
    "install": "Put a model in a place of its own: files, environment, a first call",
    "list": "Show the installed models",
    "remove": "Take an installed model away",
    "data": "Look into a file of examples",
    "train": "Fine-tune a model on a file of examples",
    "tune": "Search for parameters that do better than the automatic ones",
    "profiles": "LoRA profiles: which suits a model, and your own",
    "adapters": "What was trained: show, rename, take in, combine, shrink",
    "evaluate": "Measure the base and its adapters on the same rows",
    "export": "Take a model elsewhere: merged, GGUF, Ollama; compared with what was trained",
    "ollama": "What is in Ollama: show it, take it away",
    "serve": "Serve a model: a page, its own API and an OpenAI-compatible one",
    "studio": "Datasets, trainings and models behind one API, whatever is closed meanwhile",
    "assistants": "A base, an adapter, a prompt and a manner under one name",
    "extract": "Read pages: pictures and PDF files to fields, by a document model",
    "chat": "Talk to a model, with or without an adapter",
    "generate": "Answer one prompt, or every line of a file",
    "config": "Show and change settings",
    "doctor": "Say whether this machine and this installation are in order",
}


class Verbs(click.Group):
    """Verbs by name; a verb's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"lorasmith.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from lorasmith.core.registry import nearest

            raise click.UsageError(f"There is no command '{args[0]}'. {nearest(args[0], VERBS)}", ctx) from None


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="First time here?  lorasmith demo",
)
@click.version_option(__version__, prog_name="lorasmith")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """From a model and a file of examples to a model that does your own task."""
    if debug:
        os.environ["LORASMITH_DEBUG"] = "1"


def show_problem(problem: LorasmithError) -> None:
    """What happened, why, what to do: on standard error, plain when piped."""
    click.secho(f"Error: {problem.what}", fg="red", bold=True, err=True)
    if problem.why:
        click.echo(problem.why, err=True)
    if problem.fix:
        click.secho(problem.fix, fg="cyan", err=True)


def main() -> None:
    """What the `lorasmith` command runs."""
    try:
        cli.main(prog_name="lorasmith", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        _leave(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001  whatever it is, the user gets a message and an exit code
        code = _tell(error)
        if code == 130:
            _leave(code)
        sys.exit(code)


def _leave(code: int) -> None:
    """End at once: where Ctrl+C came in the middle of an `eval`, as libraries use at import, Python would end by the signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell(error: Exception) -> int:
    """Say it in three lines, or with `--debug` as it is. Returns the exit code."""
    from lorasmith.core.errors import LorasmithError

    if os.environ.get("LORASMITH_DEBUG"):
        raise error
    if isinstance(error, LorasmithError):
        show_problem(error)
        return error.exit_code
    problem = LorasmithError(
        f"{type(error).__name__}: {error}",
        why="This is a defect of lorasmith.",
        fix="See more with: lorasmith --debug …",
    )
    show_problem(problem)
    return problem.exit_code
