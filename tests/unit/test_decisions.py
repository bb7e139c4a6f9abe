"""What is decided without a model: parameters (AUT-1), when to stop (TRN-3), which rows make up which step."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from lorasmith.core.errors import DoesNotFitProblem
from lorasmith.core.facts import CacheGroup, DataFacts, ModelFacts, Stack
from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.choose import choose
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.rules import learning_rate
from lorasmith.runners.local import SELDOM_NEEDED
from lorasmith.training import autolearn
from lorasmith.training.autolearn import Evaluation, Thresholds
from lorasmith.training.batches import micro_batches, step_batches

LAYERS = Stack(layers=28, hidden=1024, middle=3072, queries=1024, keys=512, heads=16, gated=True, activation="silu")


def model(**changes) -> ModelFacts:
    shapes = [(1024, 1024)] * 4 + [(3072, 1024), (3072, 1024), (1024, 3072)]
    fields = {
        "id": "m", "folder": Path("/m"), "family": "language", "model_type": "llama", "architecture": "LlamaForCausalLM",
        "hidden_size": 1024, "stacks": [LAYERS],
        "cache": [CacheGroup(count=28, per_token=1024)],
        "vocab_size": 32_000, "max_positions": 4096, "num_parameters": 600_000_000, "weight_bytes": 1_200_000_000,
        "linear_shapes": shapes * 28, "stored_dtype": "bfloat16",
    }  # fmt: skip
    return ModelFacts(**{**fields, **changes})


def data(rows=5000, **changes) -> DataFacts:
    fields = {
        "format": "alpaca", "objective": "sft", "num_rows": rows, "num_train": round(0.9 * rows),
        "num_validation": rows - round(0.9 * rows), "num_bad_rows": 0, "num_tokens": 200 * rows,
        "num_supervised_tokens": 80 * rows, "length_p50": 200, "length_p995": 450, "length_max": 900,
        "max_answer_tokens": 200, "threshold": 1, "sha256": "x",
    }  # fmt: skip
    return DataFacts(**{**fields, **changes})


def machine(**changes) -> HardwareFacts:
    fields = {"cpu": "c", "num_cores": 2, "ram_bytes": 24 * 10**9, "ram_free_bytes": 20 * 10**9, "cpu_has_bf16": False}
    return HardwareFacts(**{**fields, **changes})


GPU = GpuFacts(name="RTX 3060", memory_bytes=6 * 10**9, free_bytes=6 * 10**9, capability=8.6)


def test_every_value_has_a_reason_and_what_is_given_wins():
    """AUT-1"""
    plan = choose({"lora_r": 24, "learning_rate": 1e-5, "batch_size": 2}, model(), data(), machine())
    assert (plan.rank, plan.learning_rate, plan.micro_batch) == (24, 1e-5, 2)
    assert [plan.reasons[name] for name in ("rank", "learning_rate", "micro_batch")] == ["given"] * 3
    chosen = set(type(plan).model_fields) - {
        "reasons",
        "predicted_peak_bytes",
        "uncorrected_peak_bytes",
        "tight_memory",
        "use_rslora",
        "eval_every",
        "eval_rows",
        "device",
        "objective",
        "memory_bytes",
        "beta",
        "circular",
        "checkpointing",
        "modules_to_save",
    }
    assert chosen <= set(plan.reasons), chosen - set(plan.reasons)


def test_preferences_are_planned_as_such():
    """AUT-1, CHK-8: a small rate, no dropout, no packing; a pair takes the memory of two rows."""
    plans = {
        name: choose({"batch_size": 4}, model(), data(objective=name), machine())
        for name in ("sft", "dpo", "kto", "orpo")
    }
    assert plans["dpo"].learning_rate == pytest.approx(plans["sft"].learning_rate / 20, rel=0.01)
    assert plans["orpo"].learning_rate == pytest.approx(plans["sft"].learning_rate / 10, rel=0.01)
    few = choose({}, model(), data(800, objective="dpo"), machine())
    assert (few.dropout, few.beta, few.packing) == (0, 0.1, False)
    assert "a twentieth" in few.reasons["learning_rate"]
    assert plans["sft"].beta is None
    twice = choose({"batch_size": 8}, model(), data(), machine())
    beside = plans["kto"].predicted_peak_bytes - plans["sft"].predicted_peak_bytes  # TRL and what it brings
    assert 30e6 < beside < 60e6
    assert plans["dpo"].predicted_peak_bytes - beside == pytest.approx(twice.predicted_peak_bytes, rel=0.01)


@pytest.mark.parametrize(
    ("parameters", "rows", "tokens", "rank"),
    [
        (6e8, 300, 10**9, 16),  # few rows: 16 whatever else
        (6e8, 5000, 1, 8),
        (3e9, 5000, 1, 16),
        (8e9, 5000, 1, 32),
        (7e10, 5000, 1, 64),
        (6e8, 5000, 8_000_000, 16),  # raised until the adapter has as many parameters as there are tokens
        (6e8, 500_000, 10**9, 128),
    ],
)
def test_the_rank_follows_model_and_data(parameters, rows, tokens, rank):
    """AUT-1"""
    facts = data(rows, num_supervised_tokens=tokens)
    assert choose({}, model(num_parameters=int(parameters)), facts, machine(ram_free_bytes=10**12)).rank == rank


def test_a_rank_never_exceeds_a_quarter_of_the_width():
    """AUT-1"""
    tiny = model(hidden_size=192, linear_shapes=[(192, 192)] * 20, num_parameters=2_400_000)
    assert choose({}, tiny, data(8000, num_supervised_tokens=10**8), machine()).rank == 48


@pytest.mark.parametrize(
    ("kind", "hidden", "batch", "rate"),
    [
        ("llama", 4096, 32, 2.86e-4),  # tinker-cookbook's figure for Llama-3.1-8B
        ("qwen3", 4096, 32, 4.73e-4),  # and for Qwen3-8B
        ("mamba", 4096, 32, 2e-4),
        ("llama", 4096, 128, 5.72e-4),  # × 2 at most
        ("llama", 4096, 1, 1.43e-4),  # × 0.5 at least
    ],
)
def test_learning_rates_are_those_of_the_published_rule(kind, hidden, batch, rate):
    """AUT-1"""
    assert learning_rate(model(model_type=kind, hidden_size=hidden), batch).value == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(("rows", "epochs"), [(20_000, 3), (5_000, 5), (600, 10), (30, 30), (100, 18)])
def test_passes_over_the_data(rows, epochs):
    """AUT-1: at most 3, 5, 10 by size, and enough for a hundred steps."""
    plan = choose({}, model(), data(rows), machine())
    assert plan.epochs == pytest.approx(epochs, abs=0.6)
    assert plan.steps >= 50


def test_max_length_precision_schedule_and_dropout():
    """AUT-1"""
    plan = choose({}, model(), data(), machine())
    assert (plan.max_length, plan.precision, plan.schedule, plan.dropout) == (512, "float32", "cosine", 0.0)
    assert plan.warmup_steps == round(0.05 * plan.steps)
    assert choose({}, model(has_experts=True), data(800), machine(ram_free_bytes=10**12)).dropout == 0.0
    small = choose({"max_steps": 40}, model(max_positions=256), data(800), machine(cpu_has_bf16=True))
    assert (small.max_length, small.precision, small.schedule, small.dropout) == (256, "bfloat16", "linear", 0.05)
    assert small.steps == 40
    assert choose({}, model(), data(), machine(gpus=[GPU])).precision == "bfloat16"
    assert (
        choose({}, model(), data(), machine(gpus=[GPU.model_copy(update={"capability": 7.5})])).precision == "float16"
    )


def test_the_micro_batch_is_the_largest_that_fits_and_the_effective_batch_stays():
    """AUT-1"""
    roomy = choose({}, model(), data(), machine(ram_free_bytes=10**12))
    tight = choose({}, model(), data(), machine(ram_free_bytes=9 * 10**9))
    assert (roomy.micro_batch, roomy.accumulation) == (16, 1)
    assert tight.micro_batch < 16
    assert tight.effective_batch == 16
    assert tight.predicted_peak_bytes <= 0.9 * 9 * 10**9
    with pytest.raises(DoesNotFitProblem, match="even one row at a time") as caught:
        choose({}, model(), data(), machine(ram_free_bytes=2 * 10**9))
    assert "--max-length" in caught.value.fix


@pytest.mark.parametrize("rows", [12, 100, 1000, 50_000])
def test_evaluations_are_ten_to_thirty_and_cost_at_most_a_tenth(rows):
    """TRN-3"""
    facts = data(rows)
    plan = choose({}, model(), facts, machine(ram_free_bytes=10**12))
    assert min(10, plan.steps) <= plan.evaluations <= 30
    forward = plan.evaluations * plan.eval_rows / 3
    assert forward <= 0.1 * plan.epochs * facts.num_train or plan.eval_rows == min(2, facts.num_validation)
    assert choose({}, model(), data(rows, num_validation=0), machine(ram_free_bytes=10**12)).evaluations == 0


def history(val, train=None, exact=None) -> list[Evaluation]:
    train = train or val
    exact = exact or [0.0] * len(val)
    return [
        Evaluation(number=i + 1, step=10 * (i + 1), train_loss=t, val_loss=v, token_accuracy=0.5, exact_match=e)
        for i, (v, t, e) in enumerate(zip(val, train, exact, strict=True))
    ]


LIMITS = Thresholds(patience=3, overfitting=0.1, min_evaluations=5)


@pytest.mark.parametrize(
    ("val", "train", "exact", "stop"),
    [
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], None, None, None),
        ([1.0, 0.9, 0.8, 0.8, 0.8, 0.8], None, None, "early_stopping_patience"),
        ([1.0, 0.8, 0.9, 0.9, 1.0], [1.0, 0.8, 0.85, 0.85, 0.85], None, "moderate_overfitting"),
        ([1.0, 0.8, 0.9, 1.0, 1.2], [1.0, 0.7, 0.6, 0.5, 0.4], None, "severe_overfitting"),
        ([1.0, 0.8, 0.9, 1.0], [1.0, 0.7, 0.3, 0.2], None, None),  # too few evaluations
        ([0.5, 0.4, 0.42, 0.42, 0.42], None, [0.1, 0.2, 0.3, 0.4, 0.5], None),  # answers still get better
        ([1.0, 0.8, 0.9, 1.0, 1.2], [1.0, 0.7, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5], "severe_overfitting"),
        ([0.010, 0.009, 0.009, 0.0091, 0.0092, 0.0091], [0.001] * 6, None, "early_stopping_patience"),
    ],
)
def test_when_a_training_stops(val, train, exact, stop):
    """TRN-3"""
    assert autolearn.judge(history(val, train, exact), LIMITS).stop == stop


def test_the_best_is_the_lowest_validation_loss_and_the_earliest_of_equals():
    """TRN-3"""
    assert autolearn.best(history([0.5, 0.4, 0.39999, 0.45])).number == 2
    assert autolearn.judge(history([0.5, 0.4]), LIMITS).is_best
    assert not autolearn.judge(history([0.5, 0.6]), LIMITS).is_best


def test_the_slope_is_that_of_a_straight_line_through_the_last_five():
    """TRN-3"""
    assert autolearn.slope([9.0, 9.0, 1.0, 3.0, 5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert autolearn.slope([1.0]) == 0.0


def test_an_evaluation_is_shown_as_promised():
    """TRN-3"""
    past = history([0.6357, 0.6123], [0.5357, 0.5234])
    lines = autolearn.describe(past, autolearn.judge(past, LIMITS), 5000)
    assert lines[0] == "Evaluation #2  steps 20/5000"
    assert "train loss  0.5234 (↓ 0.0123)" in lines[1]
    assert "val loss    0.6123 (↓ 0.0234)" in lines[2]
    assert "gap         0.089 (17%)" in "".join(lines)


def test_a_share_of_right_answers_is_told_once_there_is_one():
    """TRN-3: of pictures that are drawn, boxes, long answers none is ever right to the letter; of preferences none is bad news."""
    never = [Evaluation(number=at, step=at, train_loss=1, val_loss=1, token_accuracy=0, exact_match=0) for at in (1, 2)]
    once = [*never, never[1].model_copy(update={"number": 3, "exact_match": 0.25})]

    def told(history, objective="sft"):
        lines = autolearn.describe(history, autolearn.judge(history, LIMITS), 10, objective)
        return [line for line in lines if "held-out" in line]

    assert told(never) == []
    assert told(once) == ["├─ exact       25% of held-out answers"]
    assert told(never, "dpo") == ["├─ preferred   0% of held-out pairs: the chosen answer gained more"]


def test_scipy_is_kept_from_what_only_writes():
    """TRN-2: it costs every start a fifth of a second and 22 MB where it is installed, and matches the boxes of detectors."""
    assert {"scipy", "bitsandbytes"} < set(SELDOM_NEEDED)
    assert "scipy" not in model(family="language").seldom_needed
    assert "scipy" in model(family="vision", quantization="bitsandbytes").seldom_needed
    assert "bitsandbytes" in model(family="vision", quantization="bitsandbytes").seldom_needed


def test_every_row_comes_once_before_any_comes_again():
    lengths = [n % 37 + 1 for n in range(103)]
    seen = Counter(itertools.chain.from_iterable(step_batches(lengths, 8, 38, seed=3)))
    assert sum(seen.values()) == 38 * 8
    assert set(seen.values()) <= {2, 3}
    assert len(seen) == 103


def test_batches_are_the_same_whoever_asks_and_other_with_another_seed():
    """REL-5"""
    lengths = [n % 37 + 1 for n in range(50)]
    first = list(micro_batches(lengths, 4, 2, 20, seed=1))
    assert first == list(micro_batches(lengths, 4, 2, 20, seed=1))
    assert first != list(micro_batches(lengths, 4, 2, 20, seed=2))
    assert len(first) == 40
    assert {len(rows) for rows in first} == {4}


def test_rows_of_like_length_come_together():
    lengths = [n * 7919 % 500 + 1 for n in range(2000)]
    padded = sum(max(lengths[row] for row in rows) * len(rows) for rows in step_batches(lengths, 16, 125, seed=0))
    assert padded < 1.12 * sum(lengths)


def test_a_busy_machine_is_told_from_an_idle_one():
    """TRN-2: a worker's idle threads give way only where somebody else wants the cores."""
    import os
    import subprocess
    import sys

    from lorasmith.plan.hardware import is_busy

    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        assert is_busy()
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def test_an_easy_first_batch_is_no_measure_of_the_untouched_model():
    """AUT: a rise is told against what the untouched model does on the held-out rows, where the first batch was an easy one."""
    easy = [0.6, 2.1, 2.2, 2.2, 2.2, 2.1]
    alone = autolearn.LossWatch()
    assert "rose from 0.6" in [alone.add(loss) for loss in easy][4]
    known = autolearn.LossWatch()
    assert not any(known.add(loss, 2.26) for loss in easy)
    assert "rose from" in [known.add(loss, 2.26) for loss in [5.0] * 5][-1]
