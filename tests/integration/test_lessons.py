"""Every kind of model that is more than a language model learns a handful of rows by heart, is saved, and answers alike when it is
loaded again as the server loads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tests import lessons, trainings
from tests.architectures import (
    OWN,
    Engine,
    Learnt,
    call_for,
    greedy,
    is_alike,
    learn,
    media_of,
    require_all_learnt,
    tell,
)

from lorasmith.core.errors import DataProblem
from lorasmith.core.samples import Area, ModelChanges, Sample
from lorasmith.families import FAMILIES
from lorasmith.families._calls import untold
from lorasmith.families._learning import Learning
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.recognise import recognise_place
from lorasmith.testing import tiny
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers.rows import Part, Rows
from lorasmith.workers.samples import learning_for

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept"
    ),  # of transformers' own picture processors
]

TOKENS = 4
SMALL = {"image_size": "32x32"}
GENTLY = {"learning_rate": 1e-3}  # all is held to have diverged where the one row held out grows worse by so much
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("donut", "donut", {}), ("donut", "image-text", {}), ("trocr", "image-text", {}), ("trocr_deit", "image-text", {}),
    ("layoutlm", "layout", {}), ("layoutlmv3", "layout", {}), ("lilt", "layout", {}),
    ("bert", "pairs", {}), ("bert", "labelled", {}), ("bert", "tagged", {}), ("roberta", "pairs", {}),
    ("sentence_transformers", "pairs", {}), ("sentence_transformers", "labelled", {}), ("clip", "image-text", {}),
    ("siglip", "image-text", {}), ("bert_sequence", "labelled", {}), ("bert_tokens", "tagged", {}),
    ("whisper", "audio-text", {}), ("wav2vec2", "audio-text", {}), ("hubert", "audio-text", {}),
    ("wav2vec2", "labelled-sounds", GENTLY), ("hubert", "labelled-sounds", GENTLY),
    ("vit", "labelled-pictures", {}), ("dinov2", "labelled-pictures", {}), ("swin", "labelled-pictures", {}),
    ("segformer", "masks", {}), ("detr", "objects", {}), ("yolos", "objects", {}), ("rt_detr", "objects", {}), ("t5", "prompt-completion", {}), ("bart", "prompt-completion", {}),
    ("llava", "openai", {}), ("qwen2_vl", "openai", {}), ("qwen2_5_vl", "openai", {}), ("qwen3_vl", "openai", {}),
    ("smolvlm", "openai", {}), ("idefics3", "openai", {}), ("paligemma", "image-text", {}), ("internvl", "openai", {}),
    ("gemma3_vision", "openai", {}), ("stable_diffusion", "image-text", SMALL), ("stable_diffusion_xl", "image-text", SMALL),
    ("stable_diffusion", "images", {**SMALL, "instance_prompt": "a photo of sks fox"}),
    ("stable_diffusion_3", "image-text", SMALL), ("flux", "image-text", SMALL),
]  # fmt: skip


def planned(model: str, data: str, folder: Path, **options: Any) -> WorkerSpec:
    """What the worker is given for a training on one of the small datasets."""
    base = tiny.build(model, folder / "base")
    if data == "labelled-sounds":  # by a model that has not learnt letters: one that has is taught speech
        transformers.AutoModel.from_pretrained(base).save_pretrained(base)
    rows = lessons.DATASETS[data](folder / "data")
    spec = trainings.planned(base, rows, folder / "run", **{**lessons.BY_HEART, **options})
    # Measured once, at the end: so few rows held out may be told best by the first step, which has learnt nothing yet.
    return trainings.with_plan(spec, eval_every=spec.plan.steps, eval_rows=spec.data_facts["num_validation"])


def rows_of(spec: WorkerSpec, part: Part, number: int) -> list[Sample]:
    """The first rows of a part of the data, in the order in which they are measured and shown."""
    threshold, limit = (spec.data_facts["threshold"], spec.plan.eval_rows) if part == "validation" else (0, 0)
    rows = Rows(spec.run_folder / "data.arrow", threshold, part, max_length=4096, limit=limit)
    return [rows.sample(index) for index in range(number)]


def loses(learning: Learning, model: Any, samples: list[Sample]) -> torch.Tensor:
    """The loss of each row."""
    with torch.inference_mode():
        return learning.measure(model, learning.batch(samples, training=False)).nll


def require_the_same_again(spec: WorkerSpec, learnt: Learnt, engine: Engine, held_out: list[Sample]) -> None:
    """On a fresh base, as the server puts it there, the adapter has the losses and the answers that it had."""
    samples = rows_of(spec, "all", 4)  # vectors have a loss among several rows only
    assert spec.changes == engine.worker.spec.changes
    called, bank = FAMILIES.get(spec.family).wearer(engine.worker.model), engine.worker.bank
    learning = learning_for(spec.family, spec.model_folder, spec.lesson, engine.worker.model, spec.changes)
    learning.max_length = spec.plan.max_length
    bank.use([OWN])
    losses = loses(learning, called, samples)
    assert losses.tolist() == pytest.approx(loses(learnt.knows, learnt.called, samples).tolist(), rel=1e-4, abs=1e-6)
    assert list(learning.answers(called, held_out)) == [sample["after"] for sample in learnt.report["samples"]]
    bank.use([""])
    assert not torch.allclose(losses, loses(learning, called, samples), rtol=1e-4)


def served(learnt: Learnt, engine: Engine, sample: Sample) -> str:
    """How the engine answers about a row, when it has been seen to answer as the trained model does."""
    learning, family = learnt.knows, FAMILIES.get(learnt.knows.lesson.family)
    if not engine.worker.writes:
        call = call_for(learning, sample)
        media = media_of(sample, call)
        wanted, given = (
            family.answer(learnt.model, learning.processor, call, media, untold),
            engine.answered(call, media),
        )
        assert is_alike(given.header["value"], wanted.value)
        assert is_alike(given.blobs, wanted.blobs)
        return "by its own call"
    talk, media = sample.messages[:-1], [Path(name).read_bytes() for name in sample.images]
    if media:
        inputs = family.inputs(learnt.model, learning.processor, talk, media, {})
        given = engine.written(*media, tokens=TOKENS, prompt=[], messages=talk)
    else:
        inputs = learning.tokenizer(talk[-1]["content"], return_tensors="pt")
        given = engine.written(tokens=TOKENS, prompt=inputs["input_ids"][0].tolist())
    assert given == greedy(learnt.model, TOKENS, **inputs)
    return "one after the other"


@pytest.mark.parametrize(("model", "data", "options"), CASES, ids=[f"{model}-{data}" for model, data, _ in CASES])
def test_learns_saves_and_answers_alike(model: str, data: str, options: dict[str, Any], tmp_path: Path) -> None:
    """DOC-1, DOC-2, DOC-3, PRO-3, SRV-8: the loss falls on rows that can be learnt by heart; what is saved has, loaded again, the
    losses and answers of what was trained, and is served as it."""
    spec = planned(model, data, tmp_path, **options)
    learnt = learn(spec)
    losses = trainings.step_losses(spec.run_folder)
    assert len(losses) == lessons.BY_HEART["max_steps"]
    # What is drawn from noise has losses that depend on the noise: the held-out rows' is measured at the same levels each time.
    if spec.family == "diffusion":
        compared = learnt.report["comparison"]
        assert compared["tuned"]["val_loss"] < compared["base"]["val_loss"]
    else:
        assert sum(losses[-3:]) / 3 < sum(losses[:2]) / 2
    held_out = rows_of(spec, "validation", len(learnt.report["samples"]))
    assert held_out
    require_all_learnt(spec, model)
    engine = Engine(spec)
    require_the_same_again(spec, learnt, engine, held_out)
    tell(spec, model, data, losses, again="losses, answers", served=served(learnt, engine, held_out[0]))


def test_enhanced_donut_keeps_the_best_by_its_fields(tmp_path: Path) -> None:
    """DOC-1: augmentation, fields that count alike, the best by field F1."""
    from lorasmith.lora import EnhancedDonut

    spec = planned("donut", "donut", tmp_path, **EnhancedDonut)
    report = trainings.train_here(spec)
    assert spec.plan.reasons["rank"] == "profile donut_high_precision"
    scores = [one["score"] for one in report["evaluations"]]
    assert scores
    assert all(0 <= score <= 1 for score in scores)
    plain = planned("donut", "donut", tmp_path / "plain")
    trainings.train_here(plain)
    assert trainings.step_losses(plain.run_folder) != trainings.step_losses(spec.run_folder)


def test_fields_count_alike_however_long_they_are(tmp_path: Path) -> None:
    """DOC-1: the loss of EnhancedDonut: the weights of each field add up to the same, and their mean over a row is 1."""
    spec = planned("donut", "donut", tmp_path, augment=True)
    trainings.train_here(spec)
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


@pytest.mark.parametrize("model", tiny.names_of("multimodal"))
def test_pictures_take_no_room_from_answers(model: str, tmp_path: Path) -> None:
    """TRN-2: lengths are planned by texts; however many tokens a picture is, the answer is learnt to its end."""
    spec = planned(model, "image-text" if model == "paligemma" else "openai", tmp_path)
    loaded = FAMILIES.get("multimodal").load(spec.model_folder, dtype="float32", device="cpu")
    learning = learning_for("multimodal", spec.model_folder, spec.lesson, loaded, spec.changes)
    samples = rows_of(spec, "all", 3)
    whole = learning.count(learning.batch(samples, training=True))
    learning.max_length = spec.plan.max_length
    assert learning.count(learning.batch(samples, training=True)) == whole


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("yolos", "objects"), ("vit", "labelled-pictures"), ("segformer", "masks"), ("whisper", "audio-text"), ("bert", "labelled"),
        ("clip", "image-text"), ("layoutlm", "layout"),
    ],
)  # fmt: skip
def test_a_model_trained_in_full_is_a_model_by_itself(model: str, data: str, tmp_path: Path) -> None:
    """TRN-1, TRN-7: its folder has what makes its inputs, too, and is recognised, loaded and asked like any other."""
    spec = planned(model, data, tmp_path, method="full", max_steps=2, learning_rate=1e-3)
    learnt = learn(spec)
    folder = spec.run_folder / "model"
    facts = recognise_place(ModelPlace(folder, "trained"))
    loaded = FAMILIES.get(facts.family).load(folder, dtype="float32", device="cpu")
    learning = learning_for(facts.family, folder, spec.lesson, loaded, ModelChanges())
    held_out = rows_of(spec, "validation", len(learnt.report["samples"]))
    assert list(learning.answers(loaded, held_out)) == [sample["after"] for sample in learnt.report["samples"]]


def _boxes(model: str, folder: Path) -> tuple[Learning, Any]:
    """A detector with a new head for two classes, and how it learns."""
    base = tiny.build(model, folder / "base")
    changes = ModelChanges(labels=("even", "odd"), auto_class="AutoModelForObjectDetection")
    loaded = FAMILIES.get("vision").load(base, dtype="float32", device="cpu", changes=changes)
    return learning_for("vision", base, "objects", loaded, changes), loaded


def _things(folder: Path, size: tuple[int, int], areas: tuple[Area, ...]) -> Sample:
    file = folder / f"{size[0]}x{size[1]}-{len(areas)}.png"
    lessons.picture(file, len(areas), size)
    return Sample(images=(str(file),), areas=areas, tags=("odd",) * len(areas), key=len(areas))


@pytest.mark.parametrize("model", ["detr", "yolos"])
def test_a_picture_of_another_shape_changes_no_other_ones_loss(model: str, tmp_path: Path) -> None:
    """DAT-5: pictures are not padded to be computed together; those of one size have together the loss that transformers gives."""
    learning, loaded = _boxes(model, tmp_path)
    wide = _things(tmp_path, (64, 48), ((4, 4, 30, 20), (0, 0, 64, 48)))
    tall, empty = _things(tmp_path, (48, 96), ((1, 2, 3, 4),)), _things(tmp_path, (64, 48), ())
    loaded.eval()
    together = learning.measure(loaded, learning.batch([wide, tall, empty], training=False)).nll
    alone = [learning.measure(loaded, learning.batch([one], training=False)).nll for one in (wide, tall, empty)]
    assert together.tolist() == pytest.approx(torch.cat(alone).tolist(), rel=1e-5)
    pixels = learning.processor([Image.open(one.images[0]) for one in (wide, empty)], return_tensors="pt")[
        "pixel_values"
    ]
    told = [
        {
            "class_labels": torch.tensor([1, 1]),
            "boxes": torch.tensor([[17 / 64, 0.25, 26 / 64, 1 / 3], [0.5, 0.5, 1, 1]]),
        },
        {"class_labels": torch.tensor([]).long(), "boxes": torch.zeros(0, 4)},
    ]
    loaded.train()
    torch.manual_seed(0)  # dropout draws
    wanted = loaded(pixel_values=pixels, labels=told).loss
    torch.manual_seed(0)
    made = learning.measure(loaded, learning.batch([wide, empty], training=True))
    assert made.nll.tolist() == pytest.approx([float(wanted)] * 2, rel=1e-5)
    assert made.counts.tolist() == [1, 1]


def test_boxes_are_cut_at_the_pictures_edge_and_refused_outside(tmp_path: Path) -> None:
    """DAT-4, DOC-4: by the picture as it is seen: one that lies on its side is turned first."""
    learning, _ = _boxes("detr", tmp_path)
    over = _things(tmp_path, (64, 48), ((-8, 24, 32, 96),))
    assert learning.batch([over], training=True)["labels"].tolist() == [[[1, 0.25, 0.75, 0.5, 0.5]]]
    outside = _things(tmp_path, (64, 48), ((0, 0, 9, 9), (64, 0, 70, 9)))
    with pytest.raises(DataProblem, match=r"Box 2 of '64x48-2.png' is outside the picture"):
        learning.check(outside)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # as it is seen, its width is 48 and its height 64
    Image.new("RGB", (64, 48)).save(turned, exif=exif)
    lying = replace(over, images=(str(turned),), areas=((0, 32, 24, 64),))
    assert learning.batch([lying], training=True)["labels"].tolist() == [[[1, 0.25, 0.75, 0.5, 0.5]]]
    many = tmp_path / "scan.tiff"
    Image.new("RGB", (64, 48)).save(many, save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
    with pytest.raises(DataProblem, match=r"'scan.tiff' has 2 pages"):
        learning.check(replace(over, images=(str(many),)))


@pytest.mark.parametrize("data", ["donut", "image-text"])
def test_a_file_of_several_pages_is_no_row(data: str, tmp_path: Path) -> None:
    """DOC-4: what would be learnt of it is its first page, and the others would silently be nothing."""
    base = tiny.build("donut", tmp_path / "base")
    rows = lessons.DATASETS[data](tmp_path / "data")
    file = tmp_path / "data" / "3.png"
    Image.new("RGB", (64, 48)).save(file, "TIFF", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
    with pytest.raises(DataProblem, match=r"'3.png' has 2 pages") as caught:
        trainings.train_here(trainings.planned(base, rows, tmp_path / "run", **lessons.BY_HEART))
    assert "--skip-bad-rows" in caught.value.fix


def test_pictures_without_boxes_teach_nothing_but_one_class_does(tmp_path: Path) -> None:
    """DOC-1: a detector of one class is a detector; of none it is none."""
    base = tiny.build("yolos", tmp_path / "base")
    rows = [
        {"file_name": lessons.picture(tmp_path / f"{n}.png", n), "objects": {"bbox": [], "category": []}}
        for n in range(8)
    ]
    with pytest.raises(DataProblem, match="No picture has a box"):
        trainings.planned(base, lessons.write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "run")
    rows[0]["objects"] = {"bbox": [[1, 1, 9, 9]], "category": ["fox"]}
    spec = trainings.planned(base, lessons.write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "run2")
    assert spec.changes.labels == ("fox",)
