"""Preferences for real, in workers, on a tiny Llama: each objective learns what is preferred, exactly and stoppably (TRN-1, DAT-1)."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.conftest import write_rows

import lorasmith
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.events import Warn
from lorasmith.data.load import open_source
from lorasmith.data.prepare import prepare
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.plan.choose import TrainPlan
from lorasmith.training.spec import TrainSpec, WorkerSpec

GOODS = ("tea", "bread", "milk", "rice", "soap", "salt", "corn", "wine")
STEPS = {"max_steps": 16, "eval_fraction": 0.2, "patience": 99}


def polite(i: int) -> str:
    return f"Gladly: {GOODS[i % 8]}."


def rude(i: int) -> str:
    return f"No. Go away {i % 3}"


def write_pairs(path: Path) -> Path:
    """Forty-eight questions, each with a polite answer, which is chosen, and a rude one, which is rejected."""
    rows = ({"prompt": f"{GOODS[i % 8]} {i}?", "chosen": polite(i), "rejected": rude(i)} for i in range(48))
    return write_rows(path / "pairs.jsonl", rows)


def write_judged(path: Path) -> Path:
    """Forty-eight questions with one answer each: polite ones are liked."""
    rows = (
        {"prompt": f"{GOODS[i % 8]} {i}?", "completion": polite(i) if i % 2 else rude(i), "label": bool(i % 2)}
        for i in range(48)
    )
    return write_rows(path / "judged.jsonl", rows)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "lora" / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    """Each objective once, by name; dpo and kto found by the data."""
    folder = tmp_path_factory.mktemp("preferences")
    pairs, judged = write_pairs(folder), write_judged(folder)
    asked = {"dpo": (pairs, {}), "kto": (judged, {}), "orpo": (pairs, {"objective": "orpo"})}
    return {
        name: lorasmith.train(str(tiny_llama), data, output=str(folder / name), no_tensorboard=True, **STEPS, **options)
        for name, (data, options) in asked.items()
    }


@pytest.mark.parametrize("objective", ["dpo", "kto", "orpo"])
def test_what_is_preferred_becomes_likelier(trained, objective):
    """TRN-1: the share of held-out answers that are preferred as they should be rises, and the report says so."""
    run = trained[objective]
    report = run.report
    assert report.objective == objective
    first, last = report.evaluations[0], report.evaluations[-1]
    assert last.val_loss < first.val_loss - 0.01
    assert last.exact_match == 1
    base, tuned = report.comparison["base"], report.comparison["tuned"]
    assert base["preferred"] < 1
    assert tuned["preferred"] == 1
    assert tuned["answer_loss"] > 0
    assert report.dataset_info.format == {"kto": "kto"}.get(objective, "preference")
    assert report.supervised_tokens_per_second > 0
    assert all("Gladly" in sample["wanted"] for sample in report.samples)
    assert report.samples
    manifest = json.loads((run.adapter.path / "manifest.json").read_text())
    assert manifest["parameters"]["beta"]["value"] == 0.1
    assert manifest["parameters"]["dropout"]["value"] == 0
    assert manifest["dataset"]["objective"] == objective
    assert not (run.folder / "checkpoints" / "README.md").exists()
    page = (run.folder / "training_report.html").read_text()
    assert "likelier" in page


def test_an_evaluation_says_what_its_share_is_of(trained):
    """TRN-3: no talk of exact answers where pairs are compared."""
    events = (trained["dpo"].folder / "events.jsonl").read_text(encoding="utf-8")
    assert "preferred   100% of held-out pairs" in events
    assert "of held-out answers" not in events


def test_a_training_killed_and_resumed_ends_with_the_same_weights(trained, tiny_llama, tmp_path):
    """TRN-6: bit for bit, with TRL's trainer as with ours."""
    folder, whole = tmp_path / "killed", trained["dpo"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in STEPS.items()]
    command = [
        "train",
        str(tiny_llama),
        "--data",
        str(write_pairs(tmp_path)),
        "--output",
        str(folder),
        "--no-tensorboard",
        *options,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "lorasmith", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    (worker,) = psutil.Process(process.pid).children(recursive=True)
    worker.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = lorasmith.train("", "", resume_from=folder)
    assert resumed.report.steps == whole.report.steps
    assert weights(folder) == weights(whole.folder)


class Told:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def send(self, event: Any) -> None:
        self.events.append(event)


def made(model: Path, data: Path, folder: Path, objective: str, **changes: Any) -> tuple[Any, Any, Told]:
    """A trainer as the worker makes it, all its rows, and what it told. The adapter is given weights of its own."""
    import torch

    from lorasmith.workers import preferences
    from lorasmith.workers.learner import Learner, load_base
    from lorasmith.workers.rows import Rows

    tokenizer = load_tokenizer(model)
    folder.mkdir(parents=True, exist_ok=True)
    facts = prepare(open_source(data), tokenizer, folder / "data.arrow", objective=objective, eval_fraction=0, seed=0)  # type: ignore[arg-type]
    plan = TrainPlan(**{
        "objective": objective, "target_modules": "all-linear", "rank": 4, "alpha": 8, "use_rslora": False, "dropout": 0.0,
        "learning_rate": 1e-3, "beta": 0.3, "micro_batch": 6, "accumulation": 1, "steps": 8, "epochs": 1, "max_length": 64,
        "precision": "float32", "warmup_steps": 0, "schedule": "constant", "evaluations": 0, "eval_every": 0, "eval_rows": 0,
        "device": "cpu", "predicted_peak_bytes": 0, **changes,
    })  # fmt: skip
    spec = WorkerSpec(
        spec=TrainSpec(model=str(model), data=str(data)), plan=plan, model_id="tiny", model_revision="", model_folder=model,
        family="language", template="", data_facts=facts.model_dump(), run_folder=folder,
    )  # fmt: skip
    rows = Rows(folder / "data.arrow", 0, "train", max_length=plan.max_length)
    learner, told = Learner(spec, load_base(spec)), Told()
    trainer = preferences.make_trainer(learner, rows, rows.only([]), spec, tokenizer, told, rate_factor=1.0)  # type: ignore[arg-type]
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in learner.model.parameters():
            if weight.requires_grad and not learner.is_full:
                weight.add_(0.3 * torch.randn_like(weight))
    return trainer, rows, told


def loss_of(trainer: Any, indices: list[int]) -> float:
    batch = trainer.collate(indices)
    summed, _ = trainer.losses(trainer.model, batch)
    return summed.item() / len(indices)


def logp(model: Any, tokenizer: Any, question: str, answer: str) -> float:
    """Of an answer and the end of its turn, from ChatML written out by hand and logits at every place."""
    import torch

    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    before = tokenizer.encoder.encode(prompt, add_special_tokens=False).ids
    whole = tokenizer.encoder.encode(f"{prompt}{answer}<|im_end|>", add_special_tokens=False).ids
    assert whole[: len(before)] == before
    with torch.no_grad():
        likely = model(input_ids=torch.tensor([whole])).logits.log_softmax(-1)[0]
    return sum(float(likely[place - 1, whole[place]]) for place in range(len(before), len(whole)))


@pytest.mark.filterwarnings("ignore")
def test_the_loss_of_a_batch_is_the_formula_of_dpo(tiny_llama, tmp_path):
    """TRN-1, DAT-3: −log σ(β·((chosen − its reference) − (rejected − its reference))), with masks found by hand."""
    data = write_pairs(tmp_path)
    trainer, rows, _ = made(tiny_llama, data, tmp_path / "run", "dpo")
    model, tokenizer = trainer.model, load_tokenizer(tiny_llama)
    model.eval()
    wanted = []
    for line in list(data.read_text().splitlines())[:6]:
        row = json.loads(line)
        both = [(row["prompt"], row["chosen"]), (row["prompt"], row["rejected"])]
        chosen, rejected = (logp(model, tokenizer, *one) for one in both)
        with model.disable_adapter():
            chosen_before, rejected_before = (logp(model, tokenizer, *one) for one in both)
        margin = 0.3 * ((chosen - chosen_before) - (rejected - rejected_before))
        wanted.append(math.log1p(math.exp(-margin)))
    assert max(wanted) - min(wanted) > 0.05
    assert loss_of(trainer, [0, 1, 2, 3, 4, 5]) == pytest.approx(sum(wanted) / 6, rel=1e-4)
    alone = [loss.nll for loss in trainer.row_losses(rows.only(range(6)))]
    assert alone == pytest.approx(wanted, rel=1e-4)
    assert list(model.peft_config) == ["default"]
    assert trainer.ref_model is None


@pytest.mark.filterwarnings("ignore")
def test_all_weights_learn_preferences_with_no_second_model(tiny_llama, tmp_path):
    """TRN-1: --method full; the untouched model is asked before the first step, and not kept. TRL leaves no trace on the model."""
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"pad_token_id": 5}))
    trainer, rows, _ = made(model, write_pairs(tmp_path), tmp_path / "run", "dpo", method="full", rank=0)
    assert trainer.model.config.pad_token_id == 5
    assert "forward" not in vars(trainer.model)
    assert [loss.nll for loss in trainer.row_losses(rows)] == pytest.approx([math.log(2)] * len(rows), rel=1e-6)
    trainer.train()
    after = trainer.row_losses(rows)
    assert sum(loss.nll for loss in after) / len(rows) < math.log(2) - 0.05
    assert all(loss.correct for loss in after)
    assert trainer.ref_model is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("objective", ["kto", "orpo"])
def test_rows_by_themselves_have_the_loss_that_is_trained_on(objective, tiny_llama, tmp_path):
    """TRN-1: the validation loss is the mean of what TRL's trainer makes of the same rows."""
    data = write_judged(tmp_path) if objective == "kto" else write_pairs(tmp_path)
    trainer, rows, _ = made(tiny_llama, data, tmp_path / "run", objective)
    trainer.model.eval()
    losses = trainer.row_losses(rows)
    assert loss_of(trainer, list(range(len(rows)))) == pytest.approx(
        sum(loss.nll for loss in losses) / len(rows), rel=1e-4
    )
    assert {loss.tokens for loss in losses} == {1}
    assert {loss.correct for loss in losses} == {0, 1}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("liked", "said", "weight"),
    [
        (12, "all 12 are liked", (1, 1)),
        (0, "all 12 are disliked", (1, 1)),
        (3, "a liked one counts 3.00", (3, 1)),
        (6, "", (1, 1)),
    ],
)
def test_kto_says_where_it_hears_one_side_only(liked, said, weight, tiny_llama, tmp_path):
    """DAT-1: nothing but liked rows is told; few of one kind count more."""
    data = write_rows(
        tmp_path / "rows.jsonl",
        ({"prompt": f"{i}?", "completion": polite(i), "label": i < liked} for i in range(12)),
    )
    trainer, _, told = made(tiny_llama, data, tmp_path / "run", "kto")
    warnings = " ".join(event.message for event in told.events if isinstance(event, Warn))
    assert said in warnings if said else not warnings
    assert (trainer.desirable_weight, trainer.undesirable_weight) == weight


def test_missing_packages_and_options_for_others_are_refused(tiny_llama, sums, tmp_path, monkeypatch):
    """REL-3: with what to install; nothing is left behind."""
    from lorasmith.training import planning

    with pytest.raises(UsageProblem, match="--beta says nothing to --objective sft"):
        lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "a"), beta=0.2)
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr(planning, "has_package", lambda _, name: name != "trl")
    with pytest.raises(EnvironmentProblem, match="missing: trl") as refused:
        lorasmith.train(str(tiny_llama), write_pairs(tmp_path), output=str(tmp_path / "b"))
    assert "lorasmith[preferences]" in refused.value.fix
