"""Every kind of model that is more than a language model learns a handful of rows by heart, is saved, and answers alike when it is
loaded again as the server loads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import lessons, trainings

from lorasmith.core.samples import common_changes
from lorasmith.families import FAMILIES
from lorasmith.hub.recognise import know_model
from lorasmith.testing import tiny
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers.answering.adapters import AdapterBank
from lorasmith.workers.rows import Rows
from lorasmith.workers.samples import learning_for

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 12
BY_HEART: dict[str, Any] = {
    "max_steps": STEPS, "learning_rate": 5e-3, "eval_fraction": 0.2, "lora_dropout": 0.0, "batch_size": 4,
    "gradient_accumulation": 1, "patience": 100, "overfitting_threshold": 1e9, "no_tensorboard": True,
}  # fmt: skip
SMALL = {"image_size": "32x32"}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("donut", "donut", {}), ("donut", "image-text", {}), ("trocr", "image-text", {}), ("trocr_deit", "image-text", {}),
    ("layoutlm", "layout", {}), ("layoutlmv3", "layout", {}), ("lilt", "layout", {}),
    ("bert", "pairs", {}), ("bert", "labelled", {}), ("bert", "tagged", {}), ("roberta", "pairs", {}),
    ("sentence_transformers", "pairs", {}), ("sentence_transformers", "labelled", {}), ("clip", "image-text", {}),
    ("siglip", "image-text", {}), ("bert_sequence", "labelled", {}), ("bert_tokens", "tagged", {}),
    ("whisper", "audio-text", {}), ("wav2vec2", "audio-text", {}), ("hubert", "audio-text", {}),
    ("vit", "labelled-pictures", {}), ("dinov2", "labelled-pictures", {}), ("swin", "labelled-pictures", {}),
    ("segformer", "masks", {}), ("t5", "prompt-completion", {}), ("bart", "prompt-completion", {}),
    ("llava", "openai", {}), ("qwen2_vl", "openai", {}), ("qwen2_5_vl", "openai", {}), ("qwen3_vl", "openai", {}),
    ("smolvlm", "openai", {}), ("idefics3", "openai", {}), ("paligemma", "image-text", {}), ("internvl", "openai", {}),
    ("gemma3_vision", "openai", {}), ("stable_diffusion", "image-text", SMALL), ("stable_diffusion_xl", "image-text", SMALL),
    ("stable_diffusion", "images", {**SMALL, "instance_prompt": "a photo of sks fox"}),
    ("stable_diffusion_3", "image-text", SMALL), ("flux", "image-text", SMALL),
]  # fmt: skip
TEXT_ONLY = ("mamba", "mamba2", "falcon_mamba", "jamba", "bamba", "rwkv")


def trained(model: str, data: str, folder: Path, **options: Any) -> tuple[WorkerSpec, dict[str, Any]]:
    """What the worker was given and its report, of a training on one of the small datasets."""
    base = tiny.build(model, folder / "base")
    rows = lessons.DATASETS[data](folder / "data")
    spec = trainings.planned(base, rows, folder / "run", **{**BY_HEART, **options})
    return spec, trainings.train_here(spec)


def told(spec: WorkerSpec, model: str, data: str, losses: list[float]) -> None:
    """A line for docs/architectures.py, where it asks for one."""
    if file := os.environ.get("ARCHITECTURES_TABLE"):
        facts = know_model(str(spec.model_folder))
        line = {
            "family": spec.family,
            "class": facts.architecture,
            "model": model,
            "data": data,
            "first": losses[0],
            "last": losses[-1],
        }
        with Path(file).open("a", encoding="utf-8") as table:
            table.write(json.dumps(line) + "\n")


def answered_again(spec: WorkerSpec, number: int) -> list[str]:
    """The answers to the first held-out rows by the adapter on a fresh base, as the server puts it there."""
    family, base, lora = FAMILIES.get(spec.family), spec.model_folder, spec.run_folder / "lora"
    changes = common_changes([lora])
    assert changes == spec.changes
    model = family.load(base, dtype="float32", device="cpu", changes=changes)
    learning = learning_for(spec.family, base, spec.lesson, model, changes)
    bank = AdapterBank(family.wearer(model))
    bank.load("own", lora)
    bank.use(["own"])
    data = spec.run_folder / "data.arrow"
    rows = Rows(data, spec.data_facts["threshold"], "validation", max_length=4096, limit=spec.plan.eval_rows)
    return list(learning.answers(family.wearer(model), [rows.sample(index) for index in range(number)]))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept")  # of transformers' own picture processors
@pytest.mark.parametrize(("model", "data", "options"), CASES, ids=[f"{model}-{data}" for model, data, _ in CASES])
def test_learns_saves_and_answers_alike(model: str, data: str, options: dict[str, Any], tmp_path: Path) -> None:
    """DOC-1, DOC-2, DOC-3, PRO-3: the loss falls on rows that can be learnt by heart, and what is saved answers as what was
    trained."""
    spec, report = trained(model, data, tmp_path, **options)
    losses = trainings.step_losses(spec.run_folder)
    assert len(losses) == STEPS
    # What is drawn from noise has losses that depend on the noise: the held-out rows' is measured at the same levels each time.
    if "diffusion" in model or model == "flux":
        assert report["comparison"]["tuned"]["val_loss"] < report["comparison"]["base"]["val_loss"]
    else:
        assert sum(losses[-3:]) / 3 < sum(losses[:2]) / 2
    shown = [sample["after"] for sample in report["samples"]]
    assert shown
    assert answered_again(spec, len(shown)) == shown
    told(spec, model, data, losses)


def test_enhanced_donut_keeps_the_best_by_its_fields(tmp_path: Path) -> None:
    """DOC-1: augmentation, fields that count alike, the best by field F1."""
    from lorasmith.lora import EnhancedDonut

    spec, report = trained("donut", "donut", tmp_path, **EnhancedDonut)
    assert spec.plan.reasons["rank"] == "profile donut_high_precision"
    scores = [one["score"] for one in report["evaluations"]]
    assert scores
    assert all(0 <= score <= 1 for score in scores)
    plain, _ = trained("donut", "donut", tmp_path / "plain")
    assert trainings.step_losses(plain.run_folder) != trainings.step_losses(spec.run_folder)


def test_fields_count_alike_however_long_they_are(tmp_path: Path) -> None:
    """DOC-1: the loss of EnhancedDonut: the weights of each field add up to the same, and their mean over a row is 1."""
    spec, _ = trained("donut", "donut", tmp_path, augment=True)
    family = FAMILIES.get("document")
    model = family.load(spec.model_folder, dtype="float32", device="cpu", changes=spec.changes)
    learning = learning_for("document", spec.model_folder, "donut", model, spec.changes)
    learning.augments = True
    rows = Rows(spec.run_folder / "data.arrow", 0, "all", max_length=4096)
    samples = [rows.sample(0), rows.sample(1)]
    batch = learning.batch(samples, training=True)
    assert torch.equal(batch["labels"], learning.batch(samples, training=False)["labels"])
    assert not torch.equal(batch["pixel_values"], learning.batch(samples, training=False)["pixel_values"])
    assert torch.equal(batch["pixel_values"], learning.batch(samples, training=True)["pixel_values"])
    for labels, weights in zip(batch["labels"], batch["weights"], strict=True):
        fields: list[float] = [0.0]
        tags = set(learning.tokenizer.convert_tokens_to_ids(list(spec.changes.tokens)))
        for label, weight in zip(labels.tolist(), weights.tolist(), strict=True):
            if label in tags:
                fields.append(0.0)
            elif label != -100:
                fields[-1] += weight
        counted = [field for field in fields if field]
        assert max(counted) == pytest.approx(min(counted))


@pytest.mark.parametrize("model", TEXT_ONLY)
def test_recurrent_models_learn_texts(model: str, tmp_path: Path) -> None:
    """Models that carry a state learn answers from tokens, as language models do."""
    spec, _ = trained(model, "prompt-completion", tmp_path)
    losses = trainings.step_losses(spec.run_folder)
    assert sum(losses[-3:]) / 3 < sum(losses[:2]) / 2
    told(spec, model, "prompt-completion", losses)
