"""`lorasmith demo`: the whole way in minutes, with the model and the data that ship with the package."""

from __future__ import annotations

import json

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.render import Watch, evaluation_table
from lorasmith.cli.render_train import plan_shown, train_summary
from lorasmith.core import paths, settings
from lorasmith.demo import HELDOUT_FILE, TRAIN_FILE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON: exact match of base and tuned model")
@click.option("--output", default="", help="Folder for adapter, logs and report [adapters/demo-invoices]")
def command(as_json: bool, output: str) -> None:
    """A small model learns to read invoices, which it could not do: check, train, evaluate."""
    out = console()
    folder = output or str(paths.free_folder(settings.load().adapters_dir / "demo-invoices"))
    out.rule("[bold]1 · the data", align="left")
    found, _ = flow.inspect_data(str(TRAIN_FILE), model="demo")
    out.print(
        f"{found.num_rows} invoices as text, each with the JSON that is wanted ({found.format}); "
        f"{found.length_p50} tokens in the middle, {len(found.fatal) + len(found.warnings)} problems"
    )
    if found.sample:
        question, answer = found.sample.messages[0]["content"], found.sample.messages[-1]["content"]
        out.print(f"[dim]{question}[/]\n[green]{answer}[/]\n", markup=True)
    out.rule("[bold]2 · the training", align="left")
    with Watch(out) as watch:
        trained = flow.train("demo", TRAIN_FILE, output=folder, on_event=watch, on_plan=plan_shown(out))
    train_summary(out, trained)
    out.print()
    out.rule("[bold]3 · base against tuned, on 100 invoices that neither has seen", align="left")
    with Watch(out) as watch:
        measured = flow.evaluate("demo", HELDOUT_FILE, adapter=(folder,), on_event=watch)
    evaluation_table(out, measured)
    base, tuned = (figures["exact_match"].value for figures in measured.scores.values())
    out.print()
    out.rule("[bold]next", align="left")
    out.print(
        f"talk to it       lorasmith chat demo --adapter {folder}\n"
        f"the report       {folder}/training_report.html\n"
        f"the curves       tensorboard --logdir {folder}/logs/training\n"
        "your own data    lorasmith train demo --data FILE\n"
        "your own model   lorasmith train FOLDER_OR_OWNER/NAME --data FILE",
        soft_wrap=True,
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "base": {"exact_match": base},
                    "tuned": {"exact_match": tuned},
                    "train_seconds": trained.report.train_seconds,
                    "adapter": str(trained.adapter.path),
                }
            )
        )
