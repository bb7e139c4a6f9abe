"""Runs as MLflow's real server has them, whatever happens to it (TRK-1)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow_server import MlflowServer
from tests.trainings import losses_by_step, start, wait_for_step, weights

import lorasmith
from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.events import Event, Metric, Step, Warn
from lorasmith.flow import TrainResult
from lorasmith.training.spec import LOCK_FILE


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow")).start()
    yield server
    server.kill()


@pytest.fixture
def mlflow(running: MlflowServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The server, an experiment for this test alone, and MLflow switched on."""
    if not running._answers():
        running.start()
    monkeypatch.setenv("MLFLOW_ENABLED", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    return running


class Heard:
    """What a training has told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warn)]

    @property
    def steps(self) -> list[str]:
        return [event.note for event in self.events if isinstance(event, Step)]


def wait_for(what: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def trained(model: Path, data: Path, heard: Any, **options: Any) -> TrainResult:
    return lorasmith.train(str(model), str(data), on_event=heard, **({"max_steps": 12, "eval_fraction": 0.3} | options))


def losses_there(server: MlflowServer, run: Any) -> dict[int, float]:
    return {one.step: one.value for one in server.client().get_metric_history(run.info.run_id, "loss/train")}


def test_a_training_is_a_run_there(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, request: Any
) -> None:
    """TRK-1: parameters, numbers by step, figures, the adapter and the report, and nothing is left to be sent."""
    heard = Heard()
    result = trained(tiny_llama, sums, heard, lora_r=4)
    runs = mlflow.runs(request.node.name)
    run = runs[result.folder.name]
    assert run.info.status == "FINISHED"
    assert run.data.params["rank"] == "4"
    assert {"lora_alpha", "lora_dropout", "learning_rate", "target_modules", "data_sha256"} <= set(run.data.params)
    assert run.data.tags["model_type"] == "language"
    assert losses_there(mlflow, run) == losses_by_step(result.folder)
    assert run.data.metrics["final/best_val_loss"] == result.report.final_metrics.best_val_loss
    place = Path(mlflow.client().download_artifacts(run.info.run_id, "adapter", str(home)))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (place / file).read_bytes() == (result.adapter.path / file).read_bytes()
    assert list((result.folder / "logs" / "training").glob("events.out.tfevents.*"))
    assert not list((home / "outbox").iterdir())
    assert not heard.warnings


def test_a_server_that_is_down_costs_nothing_and_is_told_later(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, request: Any
) -> None:
    """TRK-1: announced once; the training is the same as without a tracker; the next one sends what was missed, as of its time."""
    mlflow.kill()
    heard = Heard()
    before = time.time()
    missed = trained(tiny_llama, sums, heard)
    after = time.time()
    assert len(heard.warnings) == 2, heard.warnings
    assert "Connection refused" in heard.warnings[0]
    assert "kept" in heard.warnings[1]
    plain = trained(tiny_llama, sums, Heard(), tracker=("none",))
    assert weights(missed.folder) == weights(plain.folder)
    mlflow.start()
    heard = Heard()
    trained(tiny_llama, sums, heard, max_steps=2)
    assert not heard.warnings
    run = mlflow.runs(request.node.name)[missed.folder.name]
    assert run.info.status == "FINISHED"
    assert losses_there(mlflow, run) == losses_by_step(missed.folder)
    assert before - 1 < run.info.start_time / 1000 < run.info.end_time / 1000 < after + 1
    assert {file.path for file in mlflow.client().list_artifacts(run.info.run_id)} == {
        "adapter",
        "training_report.json",
    }
    assert not list((home / "outbox").iterdir())


def test_a_server_that_dies_and_comes_back_has_everything(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, request: Any
) -> None:
    """TRK-1: killed in the middle and started again: every step arrives, once."""

    class Killing(Heard):
        is_back = False

        def __call__(self, event: Event) -> None:
            super().__call__(event)
            if isinstance(event, Warn):
                mlflow.start()
                self.is_back = True
            elif isinstance(event, Metric) and event.step == 20 and "loss/train" in event.values:
                wait_for(lambda: mlflow.runs(request.node.name))
                mlflow.kill()
            elif isinstance(event, Metric) and event.step == 40 and "loss/train" in event.values:
                wait_for(lambda: self.is_back)  # else the training would be over before anybody has noticed

    heard = Killing()
    result = trained(tiny_llama, sums, heard, max_steps=100, epochs=100, patience=1000)
    assert len(heard.warnings) == 1, heard.warnings
    assert any("is back" in note for note in heard.steps), heard.steps
    run = mlflow.runs(request.node.name)[result.folder.name]
    history = mlflow.client().get_metric_history(run.info.run_id, "loss/train")
    assert sorted(one.step for one in history) == sorted(losses_by_step(result.folder))
    assert run.info.status == "FINISHED"


def test_a_server_that_answers_no_more_holds_nothing_up(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRK-1: it takes connections and says nothing."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    mlflow.signal(signal.SIGSTOP)
    try:
        heard = Heard()
        result = trained(tiny_llama, sums, heard)
    finally:
        mlflow.signal(signal.SIGCONT)
    assert result.report.stop_reason == "completed"
    assert "no answer in time" in heard.warnings[0]
    assert len(list((home / "outbox").iterdir())) == 1


def test_a_killed_training_that_goes_on_is_one_run(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, tmp_path: Path, request: Any
) -> None:
    """TRK-1: kill -9 of all of it; what had not been sent is, and the run ends as finished."""
    folder = tmp_path / "run"
    options = [
        "--max-steps",
        "400",
        "--epochs",
        "1000",
        "--patience",
        "1000",
        "--overfitting-threshold",
        "1000",
        "--eval-fraction",
        "0.3",
    ]
    process = start(["train", str(tiny_llama), "--data", str(sums), "--output", str(folder), *options])
    wait_for_step(process, folder, 100)
    process.kill()
    process.communicate()
    (left,) = (home / "outbox").iterdir()
    while not is_free(folder / LOCK_FILE):  # its worker sees that it is alone, and stops with a checkpoint
        time.sleep(0.1)
    lorasmith.train(str(tiny_llama), str(sums), resume_from=str(folder))
    runs = mlflow.runs(request.node.name)
    assert set(runs) == {"run"}
    assert runs["run"].info.status == "FINISHED"
    assert set(losses_there(mlflow, runs["run"])) == set(losses_by_step(folder)) == set(range(1, 401))
    assert not left.exists()
    assert not list((home / "outbox").iterdir())


def is_free(lock: Path) -> bool:
    try:
        with paths.only_one(lock):
            return True
    except UsageProblem:
        return False


def test_what_the_server_refuses_is_said_once_and_left_out(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, request: Any
) -> None:
    """TRK-1: an experiment that was deleted takes no runs."""
    client = mlflow.client()
    client.delete_experiment(client.create_experiment(request.node.name))
    heard = Heard()
    result = trained(tiny_llama, sums, heard)
    assert result.report.stop_reason == "completed"
    assert len(heard.warnings) == 1, heard.warnings
    assert "does not take everything" in heard.warnings[0]
    assert not list((home / "outbox").iterdir())


def test_a_search_is_a_run_with_runs_within(
    mlflow: MlflowServer, tiny_llama: Path, sums: Path, home: Path, request: Any
) -> None:
    """TRK-1: parent, a nested run per trial with its parameters, numbers, tags and scores, the adapter of those that were measured, and
    a last run with what was found."""
    report = lorasmith.tune(
        str(tiny_llama), str(sums), trials=6, metric="exact_match", eval_fraction=0.3, space=("epochs=2",), name="sums"
    )
    client, runs = mlflow.client(), mlflow.runs(request.node.name)
    parent = runs.pop("sums")
    assert parent.info.status == "FINISHED"
    best = runs.pop("best")
    assert len(runs) == 6
    for run in (*runs.values(), best):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["optimization_type"] == "optuna"
        assert run.data.tags["model_type"] == "language"
    for row in report.trials:
        run = runs["automatic" if row.is_automatic else f"trial {row.number}"]
        assert run.data.tags["trial_number"] == str(row.number)
        assert run.data.tags["outcome"] == row.outcome
        assert float(run.data.params["learning_rate"]) == pytest.approx(row.params["learning_rate"], rel=1e-4)
        assert run.data.params["rank"] == str(row.params["rank"])
        assert {"lora_alpha", "lora_dropout"} <= set(run.data.params)
        assert len(losses_there(mlflow, run)) >= 1
        assert "loss/validation" in run.data.metrics
        measured = row.value is not None
        assert (run.data.metrics.get("exact_match") == row.value) or not measured
        assert bool(client.list_artifacts(run.info.run_id, "adapter")) == measured
        assert run.info.status == "FINISHED"
    assert best.data.params["n_trials"] == "6"
    assert best.data.params["best_trial"] == str(report.best)
    assert best.data.params["rank"] == str(report.best_params["rank"])
    assert best.data.metrics["exact_match"] == report.scores[report.best].value
    files = {file.path for file in client.list_artifacts(best.info.run_id)}
    assert files == {"model", "tune.json"}
    assert {"model/adapter_config.json"} <= {file.path for file in client.list_artifacts(best.info.run_id, "model")}


def test_off_it_is_not_even_imported(tiny_llama: Path, sums: Path, home: Path) -> None:
    """TRK-1"""
    code = (
        "import sys, lorasmith\n"
        f"lorasmith.train({str(tiny_llama)!r}, {str(sums)!r}, max_steps=1)\n"
        "assert 'tensorboard' not in sys.modules and 'lorasmith.trackers.mlflow' in sys.modules\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('mlflow', 'wandb', 'requests')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not (home / "outbox").exists()


def test_others_are_told_by_transformers(
    tiny_llama: Path, sums: Path, home: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """TRK-1: W&B, as it works without a network."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    trained(tiny_llama, sums, Heard(), tracker=("wandb",))
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert b"loss/train" in file.read_bytes()
    assert b"loss/validation" in file.read_bytes()
