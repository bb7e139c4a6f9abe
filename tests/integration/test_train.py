"""Training for real, in workers, on a tiny Llama: what comes out, that it is exact, that it survives being killed."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.conftest import write_rows
from tests.trainings import planned, start, step_losses, steps_done, told, train_here, wait_for_step, weights

import lorasmith
from lorasmith.core.errors import DataProblem, LorasmithError, NotFoundProblem, UsageProblem

QUICK = {"epochs": 4, "eval_fraction": 0.2}


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    """One training with everything on, looked at by several tests."""
    folder = tmp_path_factory.mktemp("run")
    sums = write_rows(folder / "sums.jsonl", ({"question": f"{i} and {i}?", "answer": f"{2 * i}"} for i in range(40)))
    return lorasmith.train(str(tiny_llama), sums, output=str(folder / "out"), **QUICK), sums


def test_python_returns_the_report_and_the_adapter(trained):
    """TRN-12"""
    run, _ = trained
    assert run.report.final_metrics.val_loss < 6
    assert (run.adapter.path / "adapter_model.safetensors").exists()
    assert run.report.stop_reason == "completed"


def test_a_training_leaves_what_is_promised(trained):
    """TRN-7"""
    run, _ = trained
    made = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    wanted = {
        "lora/adapter_config.json", "lora/adapter_model.safetensors", "lora/training_state.json", "lora/manifest.json",
        "training_report.json", "training_report.html", "events.jsonl", "spec.json",
    }  # fmt: skip
    assert wanted <= made, wanted - made
    report = json.loads((run.folder / "training_report.json").read_text())
    assert {"train_loss", "val_loss", "best_val_loss", "best_epoch"} == set(report["final_metrics"])
    assert report["dataset_info"]["train_examples"] + report["dataset_info"]["val_examples"] == 40
    assert report["lora_config"] == {"r": 16, "alpha": 32.0, "target_modules": "all-linear"}
    history = json.loads((run.folder.parent / "training_history.json").read_text())
    assert [entry["run"] for entry in history] == ["out"]
    manifest = json.loads((run.folder / "lora" / "manifest.json").read_text())
    assert manifest["parameters"]["rank"]["value"] == 16
    assert "fewer than 500" in manifest["parameters"]["rank"]["reason"]
    assert manifest["peak_memory_bytes"]["measured"] > 10**8
    assert {"torch", "transformers", "peft", "lorasmith"} <= set(manifest["versions"])
    assert str(run.folder) not in json.dumps(manifest)
    assert report["curve"]["steps"] == list(range(1, report["steps"] + 1))
    assert manifest["seconds"]["measured"] > manifest["seconds"]["steps_alone"] > 0
    assert manifest["energy_joules"] is None or manifest["energy_joules"] > 0


def test_a_run_tells_the_next_plan_what_it_took(tiny_llama, sums, home, tmp_path):
    """CHK-9: planned and measured peak, in one line of logs/measurements.jsonl."""
    run = lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "out"), max_steps=2)
    (line,) = (home / "logs" / "measurements.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["work"], told["device"], told["family"]) == ("train", "cpu", "language")
    assert told["measured"] == run.report.peak_memory_bytes
    assert told["planned"] == run.report.predicted_peak_bytes
    assert told["measured"] == pytest.approx(told["planned"], rel=0.1)


def test_memory_given_back_changes_no_weight(tiny_llama, sums, tmp_path, monkeypatch):
    """AUT-2: a training that is kept small learns the same, bit for bit."""
    from lorasmith.training import planning

    folders = []
    for tight in (False, True):
        plain = planning.choose
        monkeypatch.setattr(
            planning,
            "choose",
            lambda *given, plain=plain, tight=tight, **more: plain(*given, **more).model_copy(
                update={"tight_memory": tight}
            ),
        )
        folders.append(lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / f"{tight}"), max_steps=3).folder)
        monkeypatch.setattr(planning, "choose", plain)
    assert weights(folders[0]) == weights(folders[1])


def test_the_report_page_stands_alone(trained):
    """TRN-7, SEC-6"""
    page = (trained[0].folder / "training_report.html").read_text()
    assert "<polyline" in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page)
    assert "default-src 'none'" in page


def test_metrics_reach_tensorboard_and_the_events(trained):
    """TRN-8"""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _ = trained
    accumulator = EventAccumulator(str(run.folder / "logs" / "training"))
    accumulator.Reload()
    names = set(accumulator.Tags()["scalars"])
    wanted = {
        "loss/train", "loss/validation", "learning_rate", "overfitting_score", "gradient_norm", "tokens_per_second",
        "supervised_tokens_per_second", "memory_bytes", "seconds_left",
    }  # fmt: skip
    assert wanted <= names, wanted - names
    steps = [event.step for event in told(run.folder) if event.type == "metric" and "loss/train" in event.values]
    assert steps == list(range(1, run.report.steps + 1))


def test_every_evaluation_is_told_with_its_decision(trained):
    """TRN-3"""
    run, _ = trained
    decisions = [event for event in told(run.folder) if event.type == "decision"]
    assert len(decisions) == len(run.report.evaluations) >= 5
    assert decisions[0].lines[0].startswith("Evaluation #1  steps ")


def test_the_best_adapter_is_what_is_kept(trained):
    """TRN-3"""
    run, _ = trained
    best = min(evaluation.val_loss for evaluation in run.report.evaluations)
    assert run.report.comparison["tuned"]["val_loss"] == pytest.approx(best, rel=1e-4)
    assert run.report.comparison["tuned"]["val_loss"] < run.report.comparison["base"]["val_loss"]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(trained, tiny_llama, tmp_path):
    """REL-5"""
    run, sums = trained
    again = lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "again"), **QUICK)
    assert weights(again.folder) == weights(run.folder)
    other = lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "other"), seed=1, **QUICK)
    assert weights(other.folder) != weights(run.folder)


@pytest.mark.filterwarnings("ignore")
def test_small_batches_accumulated_learn_as_one_large_one(tiny_llama, sums, tmp_path, one_thread):
    """TRN-1: the loss is the mean over the step's tokens, however they are cut into micro-batches."""
    losses = []
    for micro, accumulation in ((8, 1), (2, 4), (3, 3)):
        spec = planned(
            tiny_llama, sums, tmp_path / f"{micro}", batch_size=micro, gradient_accumulation=accumulation, max_steps=6,
            lora_dropout=0.0, learning_rate=1e-3, schedule="linear", warmup_steps=1,
        )  # fmt: skip
        train_here(spec)
        losses.append(step_losses(spec.run_folder))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2][0] != pytest.approx(losses[0][0], rel=1e-6)  # nine rows a step are another step


def endless(model: Path, sums: Path, folder: Path) -> subprocess.Popen:
    """A training that would go on for long, five steps after its start."""
    options = ["--epochs", "300", "--patience", "999", "--output", str(folder)]
    process = start(["train", str(model), "--data", str(sums), *options])
    wait_for_step(process, folder, 5)
    return process


LONG = ["--epochs", "20", "--eval-fraction", "0.2", "--patience", "99"]


@pytest.fixture(scope="module")
def unbroken(tiny_llama, tmp_path_factory):
    """A run that nothing disturbed, its data, and the command that began it."""
    folder = tmp_path_factory.mktemp("unbroken")
    sums = write_rows(folder / "sums.jsonl", ({"question": f"{i} and {i}?", "answer": f"{2 * i}"} for i in range(40)))
    command = ["train", str(tiny_llama), "--data", str(sums), *LONG]
    process = start([*command, "--output", str(folder / "out")])
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert steps_done(folder / "out") >= 40
    return folder / "out", command


def test_killed_at_any_step_and_resumed_it_ends_with_the_same_weights(unbroken, tmp_path):
    """TRN-6, REL-1: kill −9 at two random steps, then --resume; the adapter equals an unbroken run's bit for bit."""
    whole, command = unbroken
    total = steps_done(whole)
    rng = random.Random(20261122)
    for number, step in enumerate(rng.sample(range(2, total - 1), 2)):
        folder = tmp_path / f"killed-{number}"
        process = start([*command, "--output", str(folder)])
        wait_for_step(process, folder, step)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        assert children, f"the run ended before step {step}"
        for child in children:
            child.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == 1
        assert "killed from outside" in said
        assert "--resume" in said
        resumed = lorasmith.train("", "", resume_from=folder)
        assert resumed.report.steps == total
        assert weights(folder) == weights(whole), f"killed at step {step}"


def test_ctrl_c_keeps_a_checkpoint_ends_cleanly_and_can_go_on(unbroken, tmp_path):
    """TRN-6: what goes on after Ctrl+C ends with the weights of a run that was never stopped."""
    whole, command = unbroken
    folder = tmp_path / "stopped"
    process = start([*command, "--output", str(folder)])
    wait_for_step(process, folder, 5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    report = json.loads((folder / "training_report.json").read_text())
    assert report["stop_reason"] == "stopped_by_user"
    assert report["steps"] < steps_done(whole)
    assert (folder / "checkpoints" / "last" / "optimizer.pt").exists()
    assert (folder / "lora" / "adapter_model.safetensors").exists()
    assert lorasmith.train("", "", resume_from=folder).report.stop_reason == "completed"
    assert weights(folder) == weights(whole)


def test_a_run_that_is_running_cannot_be_resumed_beside_itself(tiny_llama, sums, tmp_path):
    """TRN-6"""
    process = endless(tiny_llama, sums, tmp_path / "out")
    with pytest.raises(UsageProblem, match="is running already"):
        lorasmith.train("", "", resume_from=tmp_path / "out")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_when_its_parent_dies_a_worker_saves_and_ends(tiny_llama, sums, tmp_path):
    """TRN-6: nobody is left behind training for nobody."""
    folder = tmp_path / "orphan"
    process = endless(tiny_llama, sums, folder)
    (worker,) = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    worker.wait(timeout=60)
    assert json.loads((folder / "training_report.json").read_text())["stop_reason"] == "stopped_by_user"


def test_a_half_written_checkpoint_is_never_taken(tiny_llama, sums, tmp_path):
    """TRN-6: what has no name yet is no checkpoint."""
    run = lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "run"), **QUICK)
    before = weights(run.folder)
    checkpoints = run.folder / "checkpoints"
    half = checkpoints / ".checkpoint-999.partial"
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"half")
    (run.folder / "training_report.json").unlink()  # as if it had been killed at the very end
    again = lorasmith.train("", "", resume_from=run.folder)
    assert weights(again.folder) == before


@pytest.mark.filterwarnings("ignore")
def test_texts_are_learnt_whole(tiny_llama, tmp_path, one_thread):
    """TRN-1: --objective pretrain, found by the data."""
    text = tmp_path / "story.txt"
    text.write_text("\n\n".join(f"The fox number {i} jumps over dog number {i + 1}." for i in range(30)))
    spec = planned(tiny_llama, text, tmp_path / "out", max_steps=12)
    compared = train_here(spec)["comparison"]
    assert spec.plan.objective == "pretrain"
    assert compared["tuned"]["val_loss"] < compared["base"]["val_loss"]
    with pytest.raises(DataProblem, match="is text, from which nothing can be learnt with --objective sft"):
        lorasmith.train(str(tiny_llama), text, output=str(tmp_path / "no"), objective="sft")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1, 3])
def test_datasets_of_a_row_or_three_train(tiny_llama, tmp_path, one_thread, count):
    rows = write_rows(tmp_path / "d.jsonl", ({"prompt": f"{i}", "completion": "x"} for i in range(count)))
    value = train_here(planned(tiny_llama, rows, tmp_path / "out", max_steps=3))
    assert value["steps"] == 3
    assert value["comparison"] is None


def test_a_configuration_file_gives_the_same_keys_and_the_command_line_wins(lorasmith, tiny_llama, sums, tmp_path):
    """TRN-1"""
    file = tmp_path / "run.yaml"
    file.write_text(f"model: {tiny_llama}\ndata: {sums}\nmax-steps: 9\nlora_r: 4\noutput: {tmp_path / 'out'}\n")
    done = lorasmith("train", "--config", file, "--max-steps", "2")
    assert "2 steps in" in done.stdout
    assert json.loads((tmp_path / "out" / "training_report.json").read_text())["lora_config"]["r"] == 4
    file.write_text("lora_rank: 4\n")
    refused = lorasmith("train", "--config", file, code=2)
    assert "Unknown key 'lora_rank'" in refused.stderr


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"model": "/nowhere/model"}, NotFoundProblem, "no model '/nowhere/model'"),
        ({"data": "/nowhere/data.jsonl"}, NotFoundProblem, "no data file"),
        ({"target_modules": "q_prj"}, UsageProblem, "q_prj"),
        ({"lora_r": 0}, UsageProblem, "--lora-r 0 is wrong"),
        ({"lora_rr": 8}, UsageProblem, "no option 'lora_rr'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_stays(tiny_llama, sums, tmp_path, change, kind, said):
    """QLT-1"""
    arguments = {"model": str(tiny_llama), "data": str(sums), "output": str(tmp_path / "out"), **change}
    with pytest.raises(kind, match=said):
        lorasmith.train(arguments.pop("model"), arguments.pop("data"), **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore")
def test_answers_that_would_be_cut_off_stop_a_training_unless_allowed(tiny_llama, tmp_path, one_thread):
    """DAT-2"""
    rows = write_rows(tmp_path / "d.jsonl", ({"prompt": f"{i}", "completion": "long " * 30} for i in range(6)))
    with pytest.raises(DataProblem, match="lose the end of their answer at 32 tokens"):
        lorasmith.train(str(tiny_llama), rows, output=str(tmp_path / "out"), max_length=32)
    assert not (tmp_path / "out").exists()
    spec = planned(tiny_llama, rows, tmp_path / "allowed", max_length=32, allow_truncation=True, max_steps=2)
    train_here(spec)
    assert any(
        event.type == "warning" and "lose the end of their answer" in event.message for event in told(spec.run_folder)
    )


def test_a_second_training_into_the_same_folder_is_refused(trained, tiny_llama):
    run, sums = trained
    with pytest.raises(UsageProblem, match=r"a training in .* already"):
        lorasmith.train(str(tiny_llama), sums, output=str(run.folder))


def test_folders_that_hold_no_model_say_why(tmp_path, tiny_llama, sums):
    """QLT-1: no configuration, unknown architecture, no weights, damaged weights: nothing is written."""
    folder = tmp_path / "model"
    folder.mkdir()
    cases = [
        ({}, "No configuration files found"),
        ({"config.json": b'{"architectures": ["WizardForMagic"]}'}, "Unsupported model architecture"),
        ({"config.json": (tiny_llama / "config.json").read_bytes()}, "no weights"),
        ({"model.safetensors": b"\xff" * 64}, "damaged"),
    ]
    for files, said in cases:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        with pytest.raises(LorasmithError, match=said):
            lorasmith.train(str(folder), sums, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
