"""`lorasmith train`: fine-tune a model on a file of examples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.console import console
from lorasmith.cli.options import given, options_of
from lorasmith.cli.render import Watch
from lorasmith.cli.render_together import WatchAll, together_summary
from lorasmith.cli.render_train import plan_shown, train_summary
from lorasmith.core.errors import UsageProblem
from lorasmith.training.spec import TrainSpec, read_config_file

_CURVES_PORT = 6006  # TensorBoard's own


@click.command(context_settings={"show_default": False})
@click.argument("model", required=False)
@options_of(TrainSpec, without=("model",))
@click.option("--resume", is_flag=True, help="Go on with the latest unfinished run of this model and data")
@click.option("--resume-from", type=str, metavar="FOLDER", help="Go on with the run or checkpoint in FOLDER")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the same keys; the command line wins")
@click.option(
    "--together",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML list of runs that are trained side by side over one base; each entry holds what is its own",
)
@click.option("--quiet", is_flag=True, help="No evaluations on the screen, only progress and the result")
def command(
    model: str | None, resume: bool, resume_from: str | None, config: Path | None, together: Path | None, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Fine-tune MODEL on a file of examples with LoRA. What you do not give is chosen and explained."""
    chosen = (read_config_file(config) if config else {}) | given(options | {"model": model})
    if together:
        _together(together, chosen, is_resumed=resume or bool(resume_from), evaluations=not quiet)
        return
    if not resume_from and ("model" not in chosen or "data" not in chosen):
        raise UsageProblem("A training needs a model and data", fix="Try:  lorasmith train demo --data FILE")
    model_name, data = chosen.pop("model", ""), chosen.pop("data", "")
    out = console()
    port = chosen.pop("tensorboard_port", None) or (_CURVES_PORT if sys.stdout.isatty() else None)
    with Watch(out, evaluations=not quiet) as watch:
        result = flow.train(
            model_name, data, resume=resume, resume_from=resume_from, on_event=watch,
            on_plan=plan_shown(out), curves_port=port, **chosen,
        )  # fmt: skip
    train_summary(out, result)


def _together(file: Path, chosen: dict[str, Any], *, is_resumed: bool, evaluations: bool) -> None:
    """Train the runs in `file` side by side."""
    if is_resumed:
        raise UsageProblem("--together begins anew", fix="Go on with each run by itself: --resume-from FOLDER.")
    runs = flow.read_runs(file)
    model = chosen.pop("model", "")
    if not model or not all("data" in {**chosen, **run} for run in runs):
        raise UsageProblem(
            "Every run needs a model and data", fix="Try:  lorasmith train demo --data FILE --together runs.yaml"
        )
    output = chosen.pop("output", None)
    if output:
        runs = [{"output": str(Path(output) / str(number)), **run} for number, run in enumerate(runs, start=1)]
    if "tensorboard_port" in chosen:
        raise UsageProblem(
            "--tensorboard-port is for one training", fix="Show all of them: tensorboard --logdir adapters."
        )
    out = console()
    with WatchAll(out, evaluations=evaluations) as watch:
        results = flow.train_together(model, runs, on_event=watch, on_plans=watch.planned, **chosen)
    together_summary(out, results)
