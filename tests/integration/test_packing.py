"""Packed rows: what is learnt is what would be learnt from each row alone, and what transformers' own Trainer would learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.trainings import planned, reasons, step_losses, train_here, with_plan

from lorasmith.data.render import TokenRow
from lorasmith.testing import tiny

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
# Full attention, sliding windows, both by turns, learnt positions, experts, latent attention.
PACKING = ["llama", "mistral", "gemma3", "gpt2", "qwen3_moe", "deepseek_v3", "phi3"]
NOT_PACKING = ["gemma2", "falcon", "gpt_oss"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: tiny.build(name, folder / name) for name in (*PACKING, *NOT_PACKING)}


def load(folder: Path):
    from lorasmith.families import FAMILIES

    return FAMILIES.get("language").load(folder, dtype="float32", device="cpu")


def rows_of(lengths, seed=0):
    from lorasmith.workers.rows import Rows

    generator = torch.Generator().manual_seed(seed)
    return Rows.of(
        TokenRow(
            torch.randint(5, 90, (length,), generator=generator).tolist(),
            [(2, length // 2), (length - 3, length)],
            number,
        )
        for number, length in enumerate(lengths)
    )


def loss_and_gradient(model, batch):
    from lorasmith.workers.measure import answer_scores

    weight = next(part.weight for part in model.modules() if isinstance(part, torch.nn.Embedding)).requires_grad_(True)
    loss = answer_scores(model, batch)[0].nll.sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    return loss.detach(), gradient


@pytest.mark.parametrize("name", PACKING)
def test_a_packed_row_has_the_loss_and_gradient_that_it_has_alone(models, name):
    """DAT-3: rows of very unlike lengths, some beyond the sliding windows, joined: losses and gradients add up to those alone."""
    from lorasmith.workers.packing import use_packing

    lengths = [80, 78, 41, 12, 9]
    model, rows = load(models[name]), rows_of(lengths)
    alone = [loss_and_gradient(model, rows.batch([index], 0)) for index in range(len(lengths))]
    assert use_packing(model)
    packed = rows.packed(range(len(lengths)))
    assert packed["input_ids"].shape == (1, sum(lengths))
    loss, gradient = loss_and_gradient(model, packed)
    assert loss == pytest.approx(float(sum(one for one, _ in alone)), rel=1e-5)
    wanted = sum(one for _, one in alone)
    assert torch.allclose(gradient, wanted, atol=1e-5 * float(wanted.abs().max()))


def test_what_stands_in_one_row_changes_nothing_in_another(models):
    """DAT-3: no attention across samples: the second row's losses are the same to the bit whatever the first says."""
    from lorasmith.workers.measure import answer_scores
    from lorasmith.workers.packing import use_packing

    model = load(models["llama"])
    assert use_packing(model)
    seen = []
    for seed in (1, 2):
        batch = rows_of([30, 20], seed).packed([0, 1])
        batch["input_ids"][0, 30:] = torch.arange(5, 25)
        batch["labels"][0, :31], batch["labels"][0, 31:] = -100, batch["input_ids"][0, 31:]
        with torch.no_grad():
            seen.append(answer_scores(model, batch)[0].nll)
    assert len(seen[0]) == 19
    assert torch.equal(*seen)


@pytest.mark.parametrize("name", NOT_PACKING)
def test_what_cannot_be_packed_is_padded_and_says_so(models, sums, tmp_path, name):
    """DAT-3: attention that caps its scores, has sinks or an own form."""
    spec = planned(models[name], sums, tmp_path / "run", max_steps=1)
    assert spec.plan.packing
    train_here(spec)
    assert reasons(spec.run_folder, "unpacked") == ["rows are padded: this model does not keep joined rows apart"]


def test_a_proof_fails_where_rows_see_each_other(models):
    """DAT-3: the self-check before the first step would find a model that looks across rows."""
    from lorasmith.workers import rehearsal
    from lorasmith.workers.packing import use_packing

    model, rows = load(models["llama"]), rows_of([40, 30, 20])
    assert use_packing(model)
    assert rehearsal.packing_agrees(model, rows, 0, "cpu")
    model.config._attn_implementation_internal = "sdpa"  # which knows nothing of rows in one sequence without a mask
    rows.packed = lambda indices: {  # nothing says where rows begin
        name: value for name, value in type(rows).packed(rows, indices).items() if name in ("input_ids", "labels")
    }
    assert not rehearsal.packing_agrees(model, rows, 0, "cpu")


def test_fifty_steps_packed_are_fifty_steps_padded(models, sums, tmp_path):
    """TRN-2: the loss curve equals the plain path's within 1e-4 relative over 50 steps in fp32."""
    curves = []
    for packing in (True, False):
        spec = planned(
            models["llama"],
            sums,
            tmp_path / str(packing),
            max_steps=50,
            lora_dropout=0.0,
            patience=99,
            learning_rate=2e-3,
        )
        spec = with_plan(spec, packing=packing)
        train_here(spec)
        curves.append(step_losses(spec.run_folder))
    assert len(curves[0]) == 50
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert curves[0][-1] < 0.97 * curves[0][0]


def test_the_losses_are_those_of_transformers_trainer_with_peft(models, sums, tmp_path):
    """TRN-1, TRN-2: side by side with Trainer and PEFT, called as their documentation says, on the same batches."""
    import transformers
    from peft import LoraConfig, get_peft_model

    from lorasmith.training.batches import micro_batches
    from lorasmith.workers.rows import Rows

    spec = planned(
        models["llama"],
        sums,
        tmp_path / "ours",
        max_steps=12,
        lora_dropout=0.0,
        patience=99,
        batch_size=4,
        gradient_accumulation=2,
    )
    train_here(spec)
    plan = spec.plan
    rows = Rows(spec.run_folder / "data.arrow", spec.data_facts["threshold"], "train", max_length=plan.max_length)

    class Theirs(transformers.Trainer):
        def get_train_dataloader(self):
            batches = list(micro_batches(rows.lengths, plan.micro_batch, plan.accumulation, plan.steps, 0))

            def collate(indices):
                batch = rows.batch(indices, 0)
                reach = torch.tensor([rows.lengths[index] for index in indices])
                batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1]) < reach[:, None]).long()
                return batch

            return torch.utils.data.DataLoader(range(len(rows)), batch_sampler=batches, collate_fn=collate)

    base = load(models["llama"])
    transformers.set_seed(0)
    shape = {"r": plan.rank, "lora_alpha": plan.alpha, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(base, LoraConfig(**shape))
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "theirs"), per_device_train_batch_size=4, gradient_accumulation_steps=2, max_steps=12,
        learning_rate=plan.learning_rate, lr_scheduler_type="linear", warmup_steps=plan.warmup_steps, logging_steps=1,
        report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", remove_unused_columns=False,
    )  # fmt: skip
    trainer = Theirs(model=model, args=arguments, train_dataset=range(len(rows)))
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert step_losses(spec.run_folder) == pytest.approx(theirs, rel=1e-3)
