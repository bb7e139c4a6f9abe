"""`lorasmith tune` as its user has it: a real search over a small model, killed, shared, stopped, refused."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from tests.conftest import Run, write_rows
from tests.databases import server
from tests.integration.test_bertscore import ENCODER, LAYERS
from tests.integration.test_judging import judging, says
from tests.trainings import planned, told

import lorasmith
from lorasmith.core.errors import DataProblem, EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.core.events import Metric
from lorasmith.tuning.spec import Trained, Trouble
from lorasmith.tuning.trial import Trials


@pytest.fixture
def run(lorasmith: Run) -> Run:
    """The command, under a name that is not the package's."""
    return lorasmith


QUICK = ["--eval-fraction", "0.3", "--metric", "exact_match", "--no-tensorboard"]


def tuned(home: Path) -> dict[str, Any]:
    return json.loads(next(home.glob("adapters/*-tuned/tune.json")).read_text())


def study(home: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{home}/studies.db").trials


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lorasmith", "tune", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_lines(process: subprocess.Popen[str], log: Path, count: int) -> None:
    until = time.monotonic() + 180
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < count):
        assert time.monotonic() < until
        time.sleep(0.02)


def marks(seen: Any) -> Any:
    value = 90 if re.search(r"ANSWER TO BE MARKED:\s*\S", seen.text) else 10
    return says(json.dumps({"reason": "so", "correctness": value, "completeness": value, "style": value}))


def test_a_search_finds_measures_and_tells(run: Run, tiny_llama: Path, sums: Path, home: Path) -> None:
    """TUN-1, TUN-2, TUN-5, EVA-4: the automatic choice first, weak trials ended at a rung, finalists measured by BERTScore and a
    judge, the lines of the log, the report; the same call again tells the same at once."""
    home.mkdir()
    arguments: list[str | Path] = [
        "tune", tiny_llama, "--data", sums, "--trials", "8", "--judge", "ours", "--eval-fraction", "0.3",
        "--bertscore-model", ENCODER, "--bertscore-layers", str(LAYERS),
    ]  # fmt: skip
    with judging(marks) as server:
        (home / "config.yaml").write_text(
            f"judges:\n  ours:\n    kind: openai\n    base_url: {server.url}/v1\n    model: m\n"
        )
        said = run(*arguments).stdout
    report = tuned(home)
    folder = next(home.glob("adapters/*-tuned"))
    trials = report["trials"]
    assert [row["number"] for row in trials] == list(range(8))
    automatic, others = trials[0], trials[1:]
    assert automatic["is_automatic"]
    assert automatic["outcome"] == "measured"
    ended = [row for row in others if row["outcome"] == "ended early"]
    measured = [row for row in trials if row["outcome"] == "measured"]
    assert len(ended) + len(measured) == 8
    assert len(measured) <= 3
    assert all("not among the best" in row["reason"] or "others were better" in row["reason"] for row in ended)
    assert all(max(map(int, row["losses"])) in (1, 4) for row in ended if "not among" in row["reason"])
    log = (folder / "tune.log").read_text()
    for row in measured:
        shown = re.escape(f"Trial {row['number']}: params={row['params']}, BERTScore=")
        assert re.search(shown + r"-?\d\.\d{4}$", log, re.MULTILINE)
    assert re.search(r"LLM judge mean \d\d\.\d\d \(on \d+ examples\)", log)
    assert re.search(r"Detailed: BERTScore=-?\d\.\d{4}, LLM judge=\d\d\.\d\d, combined=-?\d\.\d{4}", log)
    assert report["figure"] == "combined"
    assert report["best"] == max(measured, key=lambda row: (row["value"], row["is_automatic"]))["number"]
    assert (report["gain"] is None) == (report["best"] == 0)
    assert (folder / "lora" / "adapter_model.safetensors").read_bytes() == (
        folder / "trials" / f"{report['best']:03d}" / "lora" / "adapter_model.safetensors"
    ).read_bytes()
    assert "the automatic choice" in said
    page = (folder / "tune.html").read_text()
    assert page.count("<tr") == 9
    assert "its score is another" in run(*arguments, "--no-judge", code=2).stderr
    again = run(*arguments).stdout
    assert tuned(home) == report
    assert again.splitlines()[-4:] == said.splitlines()[-4:]
    log_file = (folder / "logs" / "worker.log").read_text()
    assert not re.search("peft_config|second time|deprecated|Warning", log_file)


def base_hash(model: Any) -> str:
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def test_twenty_trials_leave_no_trace(tiny_llama: Path, sums: Path, tmp_path: Path, one_thread: None) -> None:
    """TUN-3: the base is bit for bit the same after each of 20 trials of all kinds, no adapter remains, memory is back at its level,
    nothing warns (warnings are errors here)."""
    import psutil

    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.workers.tune import Bench

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True)
    bench = Bench(spec)
    model = bench.load().model
    before, modules = base_hash(model), [name for name, _ in model.named_modules()]
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), spec.plan.epochs)
    kinds = [
        ("lora", "all-linear", 0.0), ("rslora", "attention", 0.1), ("dora", "all-linear", 0.05), ("lora+", "attention", 0.0),
        ("lora", "q_proj+v_proj", 0.1),
    ]  # fmt: skip
    levels: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*use_cache=True.*")
        for number in range(20):
            variant, targets, dropout = kinds[number % len(kinds)]
            params = {
                "rank": (8, 64)[number % 2], "lora_alpha": 32.0, "lora_dropout": dropout, "learning_rate": 5e-3,
                "target_modules": targets, "epochs": 8.0, "batch_size": (8, 16)[number % 2], "warmup": 0.05, "variant": variant,
            }  # fmt: skip
            folder = tmp_path / "run" / "trials" / str(number)
            folder.mkdir(parents=True)
            units = 16 if number % 7 == 0 else 1
            result = bench.train(trials.spec(trials.plan(params), folder, units=units, stop_above={}))
            assert isinstance(result, Trained), result
            assert bench.material is not None
            assert bench.material.model is model
            assert base_hash(model) == before
            assert [name for name, _ in model.named_modules()] == modules
            assert not hasattr(model, "peft_config")
            gc.collect()
            levels.append(psutil.Process().memory_info().rss)
    early, late = min(levels[5:10]), min(levels[15:])
    assert late < 1.01 * early, levels


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16])
def test_sixteen_sixteenths_are_a_trials_end_whatever_its_batch(
    tiny_llama: Path, sums: Path, tmp_path: Path, batch: int
) -> None:
    """TUN-2: a sixteenth of the rows is seldom whole steps, and the last evaluation comes with the last step."""
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.tuning import space

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True, epochs=6.0)
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), spec.plan.epochs)
    plan = trials.plan(space.automatic(spec.plan) | {"batch_size": batch})
    course = trials.spec(plan, tmp_path, units=16, stop_above={}).trial
    assert course is not None
    assert course.pause_at == plan.steps
    paused = trials.spec(plan, tmp_path, units=4, stop_above={}).trial
    assert paused is not None
    assert 0 < paused.pause_at < plan.steps
    assert paused.pause_at % plan.eval_every == 0


def test_a_trial_goes_on_from_its_rung_as_if_it_had_not_paused(
    tiny_llama: Path, sums: Path, tmp_path: Path, one_thread: None
) -> None:
    """TUN-2: three pauses, with others in between, and the losses are those of an unbroken training."""
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.tuning import space
    from lorasmith.workers.tune import Bench

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True, epochs=6.0)
    bench = Bench(spec)
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), spec.plan.epochs)
    plan = trials.plan(space.automatic(spec.plan))

    def go(name: str, units: int) -> Trained:
        folder = tmp_path / "run" / name
        folder.mkdir(exist_ok=True)
        result = bench.train(trials.spec(plan, folder, units=units, stop_above={}))
        assert isinstance(result, Trained)
        return result

    whole = go("whole", 16)
    assert go("parts", 1).stop_reason == "paused"
    go("other", 1)
    assert go("parts", 4).stop_reason == "paused"
    last = go("parts", 16)
    assert last.losses == whole.losses
    assert last.stop_reason == whole.stop_reason


def test_what_is_outdone_ends_and_what_diverges_or_breaks_spoils_nothing(
    tiny_llama: Path, sums: Path, tmp_path: Path, one_thread: None
) -> None:
    """TUN-2, TUN-4: the median inside a rung; a rate that diverges; layers that do not exist."""
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.tuning import space
    from lorasmith.workers.tune import Bench

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True)
    bench = Bench(spec)
    before = base_hash(bench.load().model)
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), spec.plan.epochs)
    automatic = space.automatic(spec.plan)

    def go(name: str, stop_above: dict[int, float], *, stops_itself: bool = True, **changes: Any) -> Trained | Trouble:
        folder = tmp_path / "run" / name
        folder.mkdir()
        plan = trials.plan({**automatic, **changes})
        return bench.train(trials.spec(plan, folder, units=16, stop_above=stop_above, stops_itself=stops_itself))

    outdone = go("outdone", {5: 0.001})
    assert isinstance(outdone, Trained)
    assert outdone.stop_reason == "outdone"
    assert max(outdone.losses) == 5 * trials.plan(automatic).eval_every
    diverged = go("diverged", {}, learning_rate=1e38)
    assert isinstance(diverged, Trouble)
    assert diverged.kind == "diverged"
    broken = go("broken", {}, target_modules="no_such_layer")
    assert isinstance(broken, Trouble)
    assert (broken.kind, "no_such_layer" in broken.reason) == ("failed", True)
    assert base_hash(bench.load().model) == before
    fine = go("fine", {}, epochs=2.0)
    assert isinstance(fine, Trained)


def test_a_finalist_is_not_ended_by_its_own_curve(
    tiny_llama: Path, sums: Path, tmp_path: Path, one_thread: None
) -> None:
    """TUN-2: a rate with which nothing gets better ends a training by itself, and a finalist never: its loss may rise before it
    falls, and others are there to end it."""
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.tuning import space
    from lorasmith.workers.tune import Bench

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True, epochs=6.0, patience=1)
    bench = Bench(spec)
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), spec.plan.epochs)
    plan = trials.plan({**space.automatic(spec.plan), "learning_rate": 1e-9})
    ends: dict[bool, tuple[str, int]] = {}
    for stops_itself in (True, False):
        folder = tmp_path / "run" / str(stops_itself)
        folder.mkdir()
        result = bench.train(trials.spec(plan, folder, units=16, stop_above={}, stops_itself=stops_itself))
        assert isinstance(result, Trained)
        ends[stops_itself] = result.stop_reason, max(result.losses)
    assert ends[True][0] == "early_stopping_patience"
    assert ends[True][1] < plan.steps
    assert ends[False] == ("completed", plan.steps)


def test_a_killed_search_ends_with_exactly_its_trials(tiny_llama: Path, sums: Path, home: Path, run: Run) -> None:
    """TUN-4: kill -9 twice, wherever it is; then it ends with 8 trials, each with an end, none trained from its start twice."""
    arguments = [tiny_llama, "--data", sums, "--trials", "8", "--name", "s", *QUICK]
    log = home / "adapters" / "s-tuned" / "tune.log"
    for lines in (2, 6):
        process = start(*arguments)
        wait_for_lines(process, log, lines)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    run("tune", *arguments)
    trials = study(home, "s")
    assert len(trials) == 8
    assert {trial.state for trial in trials} <= {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED}
    assert len(tuned(home)["trials"]) == 8


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tiny_llama: Path, sums: Path, home: Path, run: Run) -> None:
    """TUN-4"""
    arguments = [tiny_llama, "--data", sums, "--trials", "5", "--name", "s", *QUICK]
    process = start(*arguments)
    wait_for_lines(process, home / "adapters" / "s-tuned" / "tune.log", 3)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "same command" in said
    run("tune", *arguments)
    assert len(study(home, "s")) == 5


def test_two_searches_share_one_study_on_postgresql(tiny_llama: Path, sums: Path, home: Path) -> None:
    """TUN-4: two processes with folders of their own, as on two machines; 10 trials between them, each trained by one."""
    with server("postgresql") as url:
        folders = [home / "one", home / "two"]
        home.mkdir()
        both = [
            start(
                tiny_llama, "--data", sums, "--trials", "10", "--name", "shared", "--storage", url, "--output", folder, *QUICK
            )
            for folder in folders
        ]  # fmt: skip
        ended = [process.communicate(timeout=400)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], ended
        storage = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+pg8000:"))
        found = optuna.load_study(study_name="shared", storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
    assert len(found) == 10
    assert all(trial.state.is_finished() for trial in found)
    places = [
        {path.name for path in (folder / "trials").iterdir() if (path / "events.jsonl").exists()} for folder in folders
    ]
    assert places[0] | places[1] == {f"{number:03d}" for number in range(10)}
    assert not places[0] & places[1]
    assert min(map(len, places)) >= 2


def test_two_jobs_share_the_trials(run: Run, tiny_llama: Path, sums: Path, home: Path) -> None:
    """TUN-1: --jobs 2: two workers, each trial trained by one of them, and what is found is measured as ever."""
    run("tune", tiny_llama, "--data", sums, "--trials", "6", "--name", "s", "--jobs", "2", *QUICK)
    trials = study(home, "s")
    assert len(trials) == 6
    assert all(trial.state.is_finished() for trial in trials)
    folder = home / "adapters" / "s-tuned"
    assert {path.name for path in (folder / "logs").glob("worker*.log")} == {"worker.log", "worker-1.log"}
    for number in range(6):
        steps = [event.step for event in told(folder / "trials" / f"{number:03d}") if isinstance(event, Metric)]
        assert steps == sorted(steps), "two workers were at one trial"
    assert len(tuned(home)["scores"]) >= 2
    late = home / "late"
    said = run("tune", tiny_llama, "--data", sums, "--trials", "6", "--name", "s", "--output", late, *QUICK).stdout
    assert "lies on the machine that trained it" in said, "a machine that has measured nothing reports from the study"
    assert "adapter " not in said
    assert json.loads((late / "tune.json").read_text())["best"] == tuned(home)["best"]


def test_it_is_refused_before_anything_is_trained(tiny_llama: Path, sums: Path, home: Path, tmp_path: Path) -> None:
    """TUN-1, TUN-4: no held-out row, an unknown judge, metric or dimension, an encoder that is not there, a study of other ranges, a
    folder of another search. What is refused leaves nothing."""
    lone = write_rows(tmp_path / "lone.jsonl", [{"question": "1?", "answer": "1"}])
    base: dict[str, Any] = {"model": str(tiny_llama), "data": str(sums)}
    for more, kind, words in (
        ({"data": str(lone)}, DataProblem, "held out"),
        ({"judge": "nobody"}, UsageProblem, "nobody"),
        ({"metric": "beauty"}, NotFoundProblem, "beauty"),
        ({"space": ("ranc=8",)}, UsageProblem, "rank"),
        ({"trials": 0}, UsageProblem, "--trials"),
        ({"metric": "combined"}, EnvironmentProblem, "--bertscore-model"),
        ({"storage": "postgresql://me@127.0.0.1:1/x", "metric": "exact_match"}, EnvironmentProblem, "database"),
    ):  # fmt: skip
        with pytest.raises(kind, match=words):
            lorasmith.tune(**(base | more))
    assert not list(home.glob("adapters/*"))
    quick = {"metric": "exact_match", "trials": 5, "timeout": 0.001, "no_tensorboard": True, "space": ("epochs=1",)}
    lorasmith.tune(**base, **quick)
    with pytest.raises(UsageProblem, match="its space is another"):
        lorasmith.tune(**base, **(quick | {"space": ("epochs=2",)}))
    with pytest.raises(UsageProblem, match="another search"):
        lorasmith.tune(**base, **quick, max_length=64)


def test_memory_that_runs_out_ends_the_trial_and_not_the_search(
    tiny_llama: Path, sums: Path, tmp_path: Path, one_thread: None
) -> None:
    """TUN-4: what cannot fit is told before it is tried; what runs out of memory ends; the next trial has the base as it was."""
    from lorasmith.core.errors import DoesNotFitProblem
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.tuning import space
    from lorasmith.workers.tune import Bench

    spec = planned(tiny_llama, sums, tmp_path / "run", eval_fraction=0.3, no_tensorboard=True)
    automatic = space.automatic(spec.plan)
    small = hardware.observe().model_copy(update={"ram_free_bytes": 300_000_000})
    with pytest.raises(DoesNotFitProblem):
        Trials(spec, know_model(str(tiny_llama)), small, 3.0).plan(automatic)
    bench = Bench(spec)
    before = base_hash(bench.load().model)
    trials = Trials(spec, know_model(str(tiny_llama)), hardware.observe(), 3.0)
    plan = trials.plan({**automatic, "epochs": 1.0})

    def go(name: str) -> Trained | Trouble:
        (tmp_path / "run" / name).mkdir()
        return bench.train(trials.spec(plan, tmp_path / "run" / name, units=16, stop_above={}))

    def without_memory(*_: Any) -> Any:
        raise MemoryError("no more")

    rows: Any = bench.load().rows
    rows.batch = rows.packed = without_memory
    result = go("tight")
    assert isinstance(result, Trouble)
    assert (result.kind, result.reason) == ("out_of_memory", "no more")
    del rows.batch, rows.packed
    assert isinstance(go("roomy"), Trained)
    assert base_hash(bench.load().model) == before


def test_time_that_is_up_ends_with_what_there_is(run: Run, tiny_llama: Path, sums: Path, home: Path) -> None:
    """TUN-1, EVA-2: nothing new is begun, what came to its end is measured, and the same command goes on with the rest. Without network
    and encoder the metric that suits the answers decides, which is said with the cure."""
    arguments = ["tune", tiny_llama, "--data", sums, "--trials", "20", "--timeout", "0.001", "--space", "epochs=1"]
    said = run(*arguments).stdout
    assert "trials are left: the same command goes on" in said
    assert "--bertscore-model" in said
    assert tuned(home)["best"] == 0
    assert tuned(home)["figure"] == "exact_match"
    report = tuned(home)
    next(home.glob("adapters/*-tuned/tune.json")).unlink()  # as if it had been killed before it was written
    run(*arguments)
    for figure in ("best", "best_params", "base", "figure", "rows"):
        assert tuned(home)[figure] == report[figure]
    assert tuned(home)["scores"]["0"] == report["scores"]["0"]
