"""Several trainings over one base in one process are, each of them, the training that it would be alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import Run, write_rows
from tests.integration.test_tune import QUICK, study, tuned
from tests.trainings import losses_by_step, planned

from lorasmith.demo import TRAIN_FILE
from lorasmith.families.language import plugin
from lorasmith.testing import tiny
from lorasmith.tuning.spec import Trained, Trouble
from lorasmith.workers import attempt, together
from lorasmith.workers.dropout import use_sparse_dropout
from lorasmith.workers.joined import join
from lorasmith.workers.measure import answer_scores
from lorasmith.workers.packing import use_packing
from lorasmith.workers.quick import use_quick_parts
from lorasmith.workers.rows import Rows
from lorasmith.workers.together import Batch, Company, shared
from lorasmith.workers.tune import Bench

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # PEFT asks by the old name
]
SHAPES: tuple[dict[str, Any], ...] = (
    {"r": 2, "lora_alpha": 8, "target_modules": "all-linear"},
    {"r": 8, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 5, "lora_alpha": 40, "target_modules": ["down_proj", "o_proj"], "use_rslora": True},
)


def rows_of(number: int) -> dict[str, torch.Tensor]:
    from lorasmith.data.render import TokenRow

    draws = torch.Generator().manual_seed(number)
    lengths = (30 + 7 * number, 12 + number)
    made = [torch.randint(5, 90, (size,), generator=draws).tolist() for size in lengths]
    return Rows.of(TokenRow(ids, [(len(ids) // 2, len(ids))], at) for at, ids in enumerate(made)).packed([0, 1])


def adapted(base: Any, shape: dict[str, Any], *, dropout: float = 0.0) -> Any:
    torch.manual_seed(shape["r"])
    config = peft.LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", lora_dropout=dropout, **shape)
    model = peft.get_peft_model(shared(base), config)
    use_sparse_dropout(model)
    join(model)
    use_quick_parts(model)
    assert use_packing(model)
    return model.train()


def batch_of(model: Any, number: int) -> Batch:
    factor = torch.tensor(1 / (3 + number))
    return Batch(model, rows_of(number), factor, torch.Generator().manual_seed(number), nullcontext)


def stepped(company: Company, batches: list[Batch]) -> list[Any]:
    """What each of several trainings of one step each is told."""
    found: list[Any] = [None] * len(batches)

    def training(number: int) -> Callable[[], None]:
        def work() -> None:
            try:
                found[number] = company.wait(batches[number])
            except ValueError as error:
                found[number] = error

        return work

    for number in range(len(batches)):
        company.begin(training(number))
    while company.is_busy:
        company.turn()
    return found


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("name", ["llama", "qwen3", "olmo2", "smollm3"])
def test_gradients_are_those_of_each_alone(name: str, tmp_path: Path) -> None:
    """TRN-10: fp32, 1e-5 relative: other ranks, alphas, layers, row lengths and factors; over one copy of the weights."""
    base = plugin.load(tiny.build(name, tmp_path / name), dtype="float32", device="cpu")
    models = [adapted(base, shape) for shape in SHAPES]
    batches = [batch_of(model, number) for number, model in enumerate(models)]
    alone = []
    for batch in batches:
        scores, _ = answer_scores(batch.model, batch.inputs)
        (scores.nll.sum() * batch.factor).backward()
        alone.append((scores.nll.sum().item(), gradients(batch.model)))
    company = Company(base)
    assert all(company.takes(model) for model in models)
    found = stepped(company, batches)
    assert company._is_proven
    for batch, (loss, wanted), (ours, count) in zip(batches, alone, found, strict=True):
        assert float(ours) == pytest.approx(loss, rel=1e-6)
        assert count == int((batch.inputs["labels"][:, 1:] != -100).sum())
        got = gradients(batch.model)
        assert got.keys() == wanted.keys()
        assert max(float((got[one] - wanted[one]).norm() / wanted[one].norm()) for one in got) < 1e-5
    own = {one.data_ptr() for one in base.parameters()}
    for model in (*models, company._common.model):
        assert {one.data_ptr() for key, one in model.named_parameters() if "lora_" not in key} == own


def test_dropout_is_the_same_in_any_company(tiny_llama: Path) -> None:
    """TRN-10: a training draws for itself: what it learns does not depend on who else is there."""
    base = plugin.load(tiny_llama, dtype="float32", device="cpu")
    company = Company(base)
    models = [adapted(base, shape, dropout=0.3) for shape in SHAPES]
    seen = []
    for members in ([0], [0, 1, 2], [2, 0]):
        stepped(company, [batch_of(models[one], one) for one in members])
        seen.append(gradients(models[0]))
        for model in models:
            model.zero_grad()
    for other in seen[1:]:
        assert max(float((other[one] - seen[0][one]).norm() / seen[0][one].norm()) for one in other) < 1e-5
    plain = adapted(base, SHAPES[0])
    stepped(company, [batch_of(plain, 0)])
    undropped = gradients(plain)
    assert max(float((undropped[one] - seen[0][one]).norm() / seen[0][one].norm()) for one in undropped) > 0.01


def test_a_base_that_it_does_not_suit_is_found_at_the_first_step(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-10: the common model has to find the losses that each training's own finds; else each goes alone."""
    base = plugin.load(tiny_llama, dtype="float32", device="cpu")
    models = [adapted(base, shape) for shape in SHAPES[:2]]
    batches = [batch_of(model, number) for number, model in enumerate(models)]
    wanted = [answer_scores(batch.model, batch.inputs)[0].nll.sum().item() for batch in batches]
    whole = together.Common.losses
    monkeypatch.setattr(
        together.Common, "losses", lambda self, given: ([1.01 * one for one in whole(self, given)[0]], whole(self, given)[1])
    )  # fmt: skip
    company = Company(base)
    assert [float(loss) for loss, _ in stepped(company, batches)] == pytest.approx(wanted, rel=1e-6)
    assert not company._is_proven
    assert not company.takes(models[0])
    assert all(gradients(model) for model in models)


def test_dora_and_models_that_do_not_pack_go_alone(tiny_llama: Path, tmp_path: Path) -> None:
    """TRN-10"""
    base = plugin.load(tiny_llama, dtype="float32", device="cpu")
    dora = peft.get_peft_model(shared(base), peft.LoraConfig(use_dora=True, target_modules="all-linear"))
    join(dora)
    assert not Company(base).takes(dora)
    capped = plugin.load(tiny.build("gemma2", tmp_path / "gemma2"), dtype="float32", device="cpu")
    assert not Company(capped).takes(adapted_anyway(capped))


def adapted_anyway(base: Any) -> Any:
    model = peft.get_peft_model(shared(base), peft.LoraConfig(target_modules="all-linear"))
    join(model)
    return model


def test_an_error_in_a_common_step_is_everybodys_to_deal_with(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-10: memory that runs out is told to all that wait, and the company is there for the next."""
    base = plugin.load(tiny_llama, dtype="float32", device="cpu")
    models = [adapted(base, shape) for shape in SHAPES[:2]]
    company = Company(base)
    with monkeypatch.context() as patched:
        patched.setattr(together.Common, "losses", lambda *_: (_ for _ in ()).throw(ValueError("memory")))
        found = stepped(company, [batch_of(model, number) for number, model in enumerate(models)])
    assert [str(one) for one in found] == ["memory", "memory"]
    assert stepped(company, [batch_of(models[0], 0)])[0][1] > 0


def trained(bench: Bench, specs: list[Any]) -> list[Trained | Trouble]:
    """All of them in one company."""
    bench.company = Company(bench.load().model)
    found: list[Any] = [None] * len(specs)
    for number, spec in enumerate(specs):
        bench.company.begin(lambda number=number, spec=spec: found.__setitem__(number, bench.train(spec)))
    while bench.company.is_busy:
        bench.company.turn()
    return found


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "lora/adapter_model.safetensors")


OTHERS: tuple[dict[str, Any], ...] = (
    {"lora_r": 4, "learning_rate": 4e-3, "seed": 3},
    {"lora_r": 16, "learning_rate": 1e-3, "batch_size": 2, "gradient_accumulation": 2, "lora_dropout": 0.0},
    {"lora_r": 8, "target_modules": "attention", "learning_rate": 8e-3, "max_steps": 5},
)


def specs_in(folder: Path, model: Path, data: Path) -> list[Any]:
    common = {"max_steps": 12, "patience": 99, "lora_dropout": 0.0, "no_tensorboard": True}
    return [planned(model, data, folder / str(number), **(common | more)) for number, more in enumerate(OTHERS)]


def test_trainings_in_company_are_trainings_alone(tiny_llama: Path, sums: Path, tmp_path: Path) -> None:
    """TRN-10, SPD-3: own ranks, rates, batches, orders and ends: the same losses and the same adapters, checkpoints and all."""
    alone, ours = specs_in(tmp_path / "alone", tiny_llama, sums), specs_in(tmp_path / "ours", tiny_llama, sums)
    bench = Bench(alone[0])
    for spec in alone:
        assert isinstance(bench.train(spec), Trained)
    together_bench = Bench(ours[0])
    found = trained(together_bench, ours)
    assert together_bench.company is not None
    assert together_bench.company._is_proven
    for one, other, result in zip(alone, ours, found, strict=True):
        assert isinstance(result, Trained), result
        wanted, got = losses_by_step(one.run_folder), losses_by_step(other.run_folder)
        assert got.keys() == wanted.keys()
        assert list(got.values()) == pytest.approx(list(wanted.values()), rel=1e-4)
        assert result.seconds < sum(one.seconds for one in found if isinstance(one, Trained))
        first, second = adapter(one.run_folder), adapter(other.run_folder)
        assert first.keys() == second.keys()
        assert max(float((first[key] - second[key]).norm() / first[key].norm()) for key in first) < 1e-2


def test_one_that_fails_leaves_the_others_alone(
    tiny_llama: Path, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRN-10: whatever ends one of them in the midst of its steps."""
    specs = specs_in(tmp_path, tiny_llama, sums)
    own = attempt.Course.on_step_end

    def failing(self: Any, args: Any, state: Any, control: Any, **more: Any) -> Any:
        if self.spec.run_folder.name == "1" and state.global_step == 4:
            raise RuntimeError("it broke")
        return own(self, args, state, control, **more)

    monkeypatch.setattr(attempt.Course, "on_step_end", failing)
    found = trained(Bench(specs[0]), specs)
    assert [type(one) for one in found] == [Trained, Trouble, Trained]
    assert isinstance(found[1], Trouble)
    assert found[1].reason == "it broke"
    assert [one.step for one in found if isinstance(one, Trained)] == [12, 5]


def test_a_search_trains_trials_together(lorasmith: Run, tiny_llama: Path, sums: Path, home: Path) -> None:
    """TUN-2, TRN-10: `--together` trains exactly its trials, two at a time in one process."""
    done = lorasmith("tune", tiny_llama, "--data", sums, "--trials", "5", "--together", "2", "--name", "both", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    report = tuned(home)
    assert len(report["trials"]) == len(study(home, "both")) == 5
    assert len(list((home / "adapters/both-tuned/logs").glob("worker*.log"))) == 1
    assert sum(one["outcome"] == "measured" for one in report["trials"]) >= 2


def runs_file(folder: Path, *runs: dict[str, Any]) -> Path:
    path = folder / "runs.yaml"
    path.write_text(json.dumps(runs))  # which is YAML
    return path


def test_runs_of_a_file_are_trained_together(
    lorasmith: Run, tiny_llama: Path, sums: Path, tmp_path: Path, home: Path
) -> None:
    """TRN-10: `lorasmith train --together`: each with its own data, place, report and curves, and the losses that it has alone."""
    other = write_rows(tmp_path / "other.jsonl", ({"question": f"twice {i}?", "answer": f"{2 * i}"} for i in range(30)))
    runs = runs_file(tmp_path, {"lora_r": 4}, {"lora-r": 8, "data": str(other)}, {"learning_rate": 1e-3, "seed": 3})
    common = [tiny_llama, "--data", sums, "--max-steps", "8", "--patience", "99", "--lora-dropout", "0"]
    done = lorasmith("train", *common, "--together", runs, "--output", tmp_path / "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 at a time over one base" in done.stdout
    alone = lorasmith("train", *common, "--lora-r", "8", "--data", other, "--output", tmp_path / "alone")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    for number in (1, 2, 3):
        folder = tmp_path / "all" / str(number)
        assert (folder / "lora/adapter_model.safetensors").exists()
        assert json.loads((folder / "training_report.json").read_text())["stop_reason"] == "completed"
        assert list((folder / "logs/training").glob("events*"))
        assert len(losses_by_step(folder)) == 8
    ours, wanted = losses_by_step(tmp_path / "all" / "2"), losses_by_step(tmp_path / "alone")
    assert list(ours.values()) == pytest.approx(list(wanted.values()), rel=1e-4)
    assert len(list((tmp_path / "all/1/logs").glob("worker*.log"))) == 1, "one process for all"


def test_what_fails_in_company_goes_on_alone(lorasmith: Run, tmp_path: Path) -> None:
    """TRN-10, TRN-4: a run whose loss leaves its path turns back by itself when the others have ended."""
    runs = runs_file(tmp_path, {"learning_rate": 1.0}, {"lora_r": 4})
    done = lorasmith(
        "train", "demo", "--data", TRAIN_FILE, "--max-steps", "6", "--together", runs, "--output", tmp_path / "all"
    )
    assert "goes on alone" in " ".join(done.stdout.split())
    reports = [json.loads((tmp_path / f"all/{number}/training_report.json").read_text()) for number in (1, 2)]
    assert [any(one["name"] == "turned_back" for one in report["decisions"]) for report in reports] == [True, False]
    assert (tmp_path / "all/1/lora/adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([{"lora_rr": 4}], ("lora_rr", "run 1", "lora_r")),
        ([{}, {"method": "full"}], ("side by side", "by itself")),
        ([{"precision": "float32"}, {"precision": "bfloat16"}], ("precision", "bfloat16")),
        ([{}, {"lora_r": -1}], ("lora-r",)),
        ([], ("list of runs",)),
    ],
)
def test_runs_that_cannot_be_are_refused_and_leave_nothing(
    lorasmith: Run, tiny_llama: Path, sums: Path, tmp_path: Path, home: Path, runs: list[Any], words: tuple[str, ...]
) -> None:
    """TRN-10, QLT-1"""
    done = lorasmith("train", tiny_llama, "--data", sums, "--together", runs_file(tmp_path, *runs), code=2)
    assert all(word in done.stdout + done.stderr for word in words), done.stdout + done.stderr
    assert not list(home.glob("adapters/*/spec.json"))
