"""Trainings that go wrong and come right: memory that runs out, losses that leave their path, bases that are damaged."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import write_rows
from tests.trainings import planned, reasons, step_losses, told, train_here, with_plan

import lorasmith
from lorasmith.core.errors import DataProblem, DoesNotFitProblem, EnvironmentProblem
from lorasmith.core.events import Writer
from lorasmith.hub.recognise import know_model
from lorasmith.plan.choose import TrainPlan
from lorasmith.training import launch
from lorasmith.training.ladder import smaller
from lorasmith.training.spec import WorkerSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries: this is their process as much as ours


@pytest.fixture(scope="module")
def long_rows(tmp_path_factory) -> Path:
    rng = random.Random(0)
    words = ["red", "blue", "green", "seven", "nine"]
    rows = (
        {"prompt": " ".join(rng.choice(words) for _ in range(rng.randint(30, 60))), "completion": "yes and no " * 8}
        for _ in range(40)
    )
    return write_rows(tmp_path_factory.mktemp("long") / "long.jsonl", rows)


def test_a_rehearsal_leaves_no_trace(tiny_llama, sums, tmp_path, one_thread):
    """AUT-2: weights, optimizer and random generators are what they were; what it tells is true."""
    from lorasmith.workers.attempt import Attempt
    from lorasmith.workers.rehearsal import rehearse

    spec = planned(tiny_llama, sums, tmp_path / "run", max_steps=4)
    with Writer(spec.run_folder / "events.jsonl") as events:
        attempt = Attempt(spec, events, 0)
        trainer = attempt.prepare().trainer
    trainer.create_optimizer_and_scheduler(4)
    trainer.model_wrapped = trainer.model
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    generators = random.getstate(), torch.get_rng_state()
    rehearsed = rehearse(trainer, attempt.course.validation)
    attempt.close()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert random.getstate() == generators[0]
    assert torch.equal(torch.get_rng_state(), generators[1])
    assert not trainer.optimizer.state
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(trainer.lr_scheduler.get_last_lr()[0])
    assert not list(trainer.folder.iterdir())
    assert rehearsed.rows == spec.plan.micro_batch
    assert rehearsed.tokens == sum(sorted(trainer.rows.lengths)[-rehearsed.rows :])
    assert rehearsed.seconds > 0
    assert rehearsed.peak_bytes > 10**8


def test_the_ladder_keeps_the_rows_of_a_step(tiny_llama, sums, tmp_path):
    """AUT-2: micro-batch halved and accumulation doubled first, then freed memory, checkpointing, 4 bit; then nothing is left."""
    plan: TrainPlan = with_plan(planned(tiny_llama, sums, tmp_path / "run"), micro_batch=6, accumulation=2).plan
    seen = []
    while below := smaller(plan, can_quantize=True):
        plan, said = below
        assert plan.effective_batch == 12
        seen.append((plan.micro_batch, plan.tight_memory, plan.checkpointing, plan.method))
        assert (
            said in plan.reasons[{1: "micro_batch"}.get(len(seen), next(iter(set(plan.reasons) - {""})))]
            or len(seen) > 1
        )
    assert seen == [
        (3, False, False, "lora"), (1, False, False, "lora"), (1, True, False, "lora"), (1, True, True, "lora"),
        (1, True, True, "qlora"),
    ]  # fmt: skip


def test_where_memory_runs_out_it_steps_down_and_learns_the_same(tiny_llama, long_rows, tmp_path):
    """AUT-2: with room for a part of the batch only, the rehearsal finds what fits; each step's rows and loss stay what they were."""
    options = {"max_steps": 3, "lora_dropout": 0.0, "eval_fraction": 0.0, "seed": 3}
    free = planned(tiny_llama, long_rows, tmp_path / "free", **options)
    train_here(free)
    spec = planned(tiny_llama, long_rows, tmp_path / "tight", **options)
    report = launch._worked(with_plan(spec, memory_bytes=345_000_000), Path(sys.executable), lambda _: None)
    said = reasons(spec.run_folder, "less_memory")
    assert said[0] == "memory ran out: rows at a time 16 → 8, accumulated 1 → 2 times"
    assert [decision.reason for decision in report.decisions if decision.name == "less_memory"] == said
    assert step_losses(spec.run_folder) == pytest.approx(step_losses(free.run_folder), rel=1e-4)
    kept = WorkerSpec.model_validate_json((spec.run_folder / "spec.json").read_text())
    assert kept.plan.micro_batch < 16  # a resumed run is as small


def test_where_nothing_fits_it_says_what_to_type(tiny_llama, long_rows, tmp_path):
    """TRN-9: what was needed, what there is, and each way out as a command with its predicted memory."""
    with pytest.raises(DoesNotFitProblem) as caught:
        lorasmith.train(str(tiny_llama), long_rows, output=str(tmp_path / "out"), memory="200MB")
    problem = caught.value
    assert "even one row at a time, and 200 MB are free" in problem.what
    commands = [line.strip() for line in problem.fix.splitlines() if "lorasmith train" in line]
    assert any(f"--data {long_rows}" in line and "--method qlora" in line for line in commands)
    assert any("--lora-r 8" in line for line in commands)
    assert any("--max-length" in line for line in commands)
    assert all("needs" in line and "MB" in line for line in commands)
    assert not (tmp_path / "out").exists()


def test_memory_that_runs_out_in_the_middle_costs_no_step(tiny_llama, long_rows, tmp_path, one_thread):
    """AUT-2: rolled back to the last step's state, it goes on smaller and with the same losses. The allocator's error is raised by
    hand: whether a limit that is lowered from outside is met depends on what the allocator happens to have kept."""
    from lorasmith.workers import trainer as trainers

    options = {"max_steps": 16, "lora_dropout": 0.0, "eval_fraction": 0.0, "seed": 3}
    free, spec = (planned(tiny_llama, long_rows, tmp_path / name, **options) for name in ("free", "squeezed"))
    train_here(free)
    real, failed = trainers.Run.losses, []

    def once_without_memory(self, model, inputs):
        if self.state.global_step == 7 and not failed and self.optimizer.state:
            failed.append(True)
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 65536 bytes."
            )
        return real(self, model, inputs)

    trainers.Run.losses = once_without_memory
    try:
        train_here(spec)
    finally:
        trainers.Run.losses = real
    (said,) = reasons(spec.run_folder, "less_memory")
    assert said == "memory ran out: rows at a time 16 → 8, accumulated 1 → 2 times, from step 7"
    losses = step_losses(spec.run_folder)
    assert len(losses) == 16  # none was done twice, none was left out
    assert losses == pytest.approx(step_losses(free.run_folder), rel=1e-3)


@pytest.fixture
def few_invoices(tmp_path) -> Path:
    """Some rows that the demo model half understands: it has something to lose."""
    rows = (Path(__file__).parents[2] / "examples" / "invoices-text" / "train.jsonl").read_text().splitlines(True)
    file = tmp_path / "invoices.jsonl"
    file.write_text("".join(rows[:16]))
    return file


def test_a_rate_of_ten_turns_back_three_times_and_keeps_what_was_good(few_invoices, tmp_path, one_thread):
    """TRN-4: told, rolled back, halved, at most three times; then it ends, and what it leaves is no worse than the base."""
    demo = know_model("demo").local_folder
    spec = planned(demo, few_invoices, tmp_path / "run", learning_rate=10.0, max_steps=60, warmup_steps=0)
    value = train_here(spec)
    turned = reasons(spec.run_folder, "turned_back")
    assert value["stop_reason"] == "diverged"
    assert len(turned) == 4
    assert "the learning rate is halved to 5" in turned[0]
    assert "it has turned back 3 times already, so it ends" in turned[-1]
    left = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in left.values())
    assert value["comparison"]["tuned"]["val_loss"] <= value["comparison"]["base"]["val_loss"] + 0.01
    assert "out of bounds" in (spec.run_folder / "training_report.html").read_text()


def test_after_one_turn_it_goes_on_with_half_the_rate(tiny_llama, sums, tmp_path, one_thread):
    """TRN-4: a spike in the data's own numbers, once: it ends with the run completed, from the last evaluated checkpoint."""
    from lorasmith.workers import trainer as trainers

    spec = planned(tiny_llama, sums, tmp_path / "run", max_steps=24, learning_rate=1e-3)
    real, spoilt = trainers.Run.losses, []

    def once_infinite(self, model, inputs):
        summed, counted = real(self, model, inputs)
        if self.state.global_step == 10 and not spoilt and self.model.training and self.optimizer.state:
            spoilt.append(True)
            return summed * float("inf"), counted
        return summed, counted

    trainers.Run.losses = once_infinite
    try:
        value = train_here(spec)
    finally:
        trainers.Run.losses = real
    (said,) = reasons(spec.run_folder, "turned_back")
    assert said.startswith("the loss is no finite number: back to step ")
    assert value["stop_reason"] == "completed"
    rates = {
        e.step: e.values["learning_rate"]
        for e in told(spec.run_folder)
        if e.type == "metric" and "learning_rate" in e.values
    }
    step = spec.plan.warmup_steps + 15
    expected = spec.plan.learning_rate * (24 - step) / (24 - spec.plan.warmup_steps)
    assert rates[step] == pytest.approx(expected / 2, rel=1e-6)


def test_circular_goes_round_until_three_passes_gain_nothing(tiny_llama, tmp_path, one_thread):
    """TRN-5: passes are counted, thresholds doubled, and the end comes by passes without gain."""
    rows = write_rows(tmp_path / "few.jsonl", ({"prompt": f"{i}", "completion": f"{i % 3}"} for i in range(30)))
    spec = planned(tiny_llama, rows, tmp_path / "run", circular=True, learning_rate=0.02)
    assert spec.plan.circular
    assert spec.plan.schedule == "constant"
    value = train_here(spec)
    assert value["stop_reason"] != "completed"
    (stop,) = [d for d in value["decisions"] if d["name"] == value["stop_reason"]]
    assert "passes over the rows" in stop["reason"] or "above training" in stop["reason"]
    assert value["steps"] < spec.plan.steps
    passes = [e.values["passes"] for e in told(spec.run_folder) if e.type == "metric" and "passes" in e.values]
    assert passes[-1] >= 3


def test_a_base_with_a_damaged_weight_is_named(tiny_llama, sums, tmp_path, one_thread):
    """TRN-4: NaN in a base weight is no divergence: it is told before the first step, by the weight's name."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_llama.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    spec = planned(folder, sums, tmp_path / "run", max_steps=2)
    with pytest.raises(EnvironmentProblem, match=r"'model\.layers\.1\.mlp\.up_proj\.weight' holds 1 values"):
        train_here(spec)


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(tiny_llama, tmp_path, one_thread):
    """DAT-3: a token beyond the embeddings would read memory that is not there."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_llama.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    number = 5000
    tokenizer["added_tokens"].append(
        {
            "id": number,
            "content": "<zebra>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    )
    tokenizer["model"]["vocab"]["<zebra>"] = number
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    rows = write_rows(tmp_path / "d.jsonl", ({"prompt": f"{i} <zebra>", "completion": "x"} for i in range(8)))
    with pytest.raises(DataProblem, match="makes the token 5000, and the model knows only"):
        train_here(planned(folder, rows, tmp_path / "run", max_steps=2))


@pytest.mark.parametrize("number", [1, 3, 12])
def test_rows_that_are_all_the_same_train(tiny_llama, tmp_path, number, one_thread):
    """DAT-3: nothing can be held out where all rows are one."""
    rows = write_rows(tmp_path / "d.jsonl", [{"prompt": "a", "completion": "b"}] * number)
    value = train_here(planned(tiny_llama, rows, tmp_path / "run", max_steps=3))
    assert value["steps"] == 3
    assert value["comparison"] is None


def test_all_weights_can_be_trained_and_the_result_is_a_model(tiny_llama, sums, tmp_path):
    """TRN-1: --method full leaves a folder that loads by itself, with its tokenizer; killed runs resume as exactly."""
    run = lorasmith.train(
        str(tiny_llama), sums, output=str(tmp_path / "out"), method="full", max_steps=12, learning_rate=2e-3
    )
    assert run.adapter.path.name == "model"
    assert run.report.comparison["tuned"]["val_loss"] < run.report.comparison["base"]["val_loss"]
    assert know_model(str(run.adapter.path)).num_parameters == know_model(str(tiny_llama)).num_parameters
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_llama, run.adapter.path))
    assert sum(not torch.equal(before[name].float(), after[name]) for name in before) == len(before)
    again = lorasmith.train(str(run.adapter.path), sums, output=str(tmp_path / "again"), max_steps=1)
    assert again.report.comparison["base"]["val_loss"] == pytest.approx(
        run.report.comparison["tuned"]["val_loss"], rel=1e-4
    )


@pytest.mark.parametrize(
    "how", [{"method": "full"}, {"method": "qlora"}, {"optimizer": "adamw_8bit", "lora_r": 64}, {"circular": True}]
)
def test_every_way_of_training_resumes_bit_for_bit(tiny_llama, sums, tmp_path, one_thread, how):
    """TRN-6: stopped in the middle and resumed: all weights, a base in 4 bit, an optimizer in 8 bit, a circular run."""
    options = {"max_steps": 12, "patience": 99, "min_evaluations": 99, **how}
    whole = planned(tiny_llama, sums, tmp_path / "whole", **options)
    train_here(whole)
    first = planned(tiny_llama, sums, tmp_path / "first", time_limit=1e-9, **options)
    assert train_here(first)["stop_reason"] == "time_limit"
    checkpoint = (first.run_folder / "checkpoints" / "last").resolve()
    asked = first.spec.model_copy(update={"time_limit": None})
    train_here(first.model_copy(update={"spec": asked, "resume_from": checkpoint}))
    (left,), (right,) = (list(spec.run_folder.glob("*/*model.safetensors")) for spec in (whole, first))
    assert left.name == right.name
    assert left.read_bytes() == right.read_bytes()


def test_a_base_in_four_bit_learns_and_is_four_bit(tiny_llama, sums, tmp_path, one_thread):
    """TRN-1: QLoRA: NF4 with double quantization under the adapters, on a CPU; heads and embeddings stay as they are."""
    import bitsandbytes

    from lorasmith.workers.attempt import Attempt

    spec = planned(tiny_llama, sums, tmp_path / "run", method="qlora", max_steps=12, learning_rate=5e-3)
    with Writer(spec.run_folder / "events.jsonl") as events:
        attempt = Attempt(spec, events, 0)
        model = attempt.prepare().trainer.model
        attempt.close()
    layers = [part for part in model.modules() if isinstance(part, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14  # seven in each of two blocks
    assert all(layer.weight.quant_state.nested for layer in layers)
    assert {layer.weight.quant_state.quant_type for layer in layers} == {"nf4"}
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)  # repacked, they would let no gradient through
    assert model.get_output_embeddings().weight.dtype == torch.float32
    value = train_here(spec)
    assert value["comparison"]["tuned"]["val_loss"] < value["comparison"]["base"]["val_loss"]
    assert value["method"] == "qlora"


def flat(value):
    """Everything in nested dictionaries."""
    return [part for inner in value.values() for part in flat(inner)] if isinstance(value, dict) else [value]


def test_an_optimizer_in_eight_bit_keeps_its_state_in_eight_bit(tiny_llama, sums, tmp_path, one_thread):
    """TRN-1: where tensors are large enough to be worth it."""
    spec = planned(tiny_llama, sums, tmp_path / "run", optimizer="adamw_8bit", lora_r=96, max_steps=2)
    train_here(spec)
    kept = torch.load(spec.run_folder / "checkpoints" / "last" / "optimizer.pt", weights_only=True)["state"]
    tensors = [part for state in kept.values() for part in flat(state) if isinstance(part, torch.Tensor)]
    assert any(part.dtype == torch.uint8 for part in tensors)


def test_without_the_package_four_bit_is_refused_with_its_cure(tiny_llama, sums, tmp_path, monkeypatch):
    """TRN-1: before anything is trained."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # to Python: not installed
    with pytest.raises(EnvironmentProblem, match="missing: bitsandbytes") as caught:
        lorasmith.train(str(tiny_llama), sums, output=str(tmp_path / "out"), method="qlora")
    assert "pip install bitsandbytes" in caught.value.fix
