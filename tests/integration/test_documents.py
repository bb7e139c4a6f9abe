"""Documents and other media from file to adapter to fields: what is wrong is named before the first step, pages of every kind are
read, a broken run goes on as if it had never stopped."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import lessons, trainings
from tests.integration.test_lessons import BY_HEART, trained

import lorasmith
from lorasmith.core.errors import DataProblem, EnvironmentProblem, UsageProblem
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.data.load import open_source
from lorasmith.data.samples import lesson_plan, prepare_samples
from lorasmith.families import FAMILIES
from lorasmith.families._pictures import pages_of
from lorasmith.hub.recognise import know_model
from lorasmith.testing import tiny
from lorasmith.workers.rows import Rows
from lorasmith.workers.samples import learning_for

pytestmark = pytest.mark.usefixtures("one_thread")

# A page that is locked with a password, by pypdf.
LOCKED = zlib.decompress(
    base64.b64decode(
        "eJyNUU2P0zAQvftXzKVH1t92IkU9sLuVEKCtugsXtAfHHpeiKlm5rrTLn+TAP4A/wjTAElEORInkzLz35nneYn21eiEvNFt8+/7lK5MgYOw/sa"
        "5jfF3GdIxYoPO21ahakfOSLZcMh3TCqBn27ukBga/DFg+MX47HoYJk/PUuHeADGAJu4H5G1WfUy1DDftyynxpw0t7MCOafsxjf4GE8lkgM6hCc"
        "v8W0Cy/HRxorLsT0mem9P0kXJGN/a9uZ9ntQJAqa8Tc4bOtHkKohIhjVmtZ51VJ7tdtX2gq/rWFIoSTGb6ATaBV1bdBosPEm6phD7DFbKYPXIR"
        "qMqk+NsykmnYxT3knTSh/6nDwasv4OOi2ii960KokmqRaRYDEn1MqTA+FU02eDlkZ42wQjnRGC/l3OOQgpmnk8jwUzE+CYeH7AWastZHiuSbr8"
        "1Bn+1Gx7VpOyOa85f1ZTc24tYbfHMu31dvcZyQrfjGMFPQXAXw15BPnrfEWBdRqFDiIJQ0twdD9H/nLTtCYYlMmn5f9AKOjrIZanhwr2d9KHGk"
        "qdFmK8YYvF9c2K/QDeu8KN"
    )
)
DONUT_ROW: dict[str, Any] = {"file_name": "0.png", "ground_truth": {"gt_parse": {"total": "1"}}}


@pytest.fixture(scope="module")
def donut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("donut", tmp_path_factory.mktemp("donut") / "base")


def pages(folder: Path, rows: list[dict[str, Any]]) -> Path:
    for number in range(8):
        lessons.picture(folder / f"{number}.png", number)
    lessons.write_rows(folder / "metadata.jsonl", rows)
    return folder


def rows_of(**last: Any) -> list[dict[str, Any]]:
    """Seven good rows and one with another ground truth."""
    good = [{**DONUT_ROW, "file_name": f"{n}.png", "ground_truth": {"gt_parse": {"total": str(n)}}} for n in range(7)]
    return [*good, {"file_name": "7.png", "ground_truth": {"gt_parse": last}}]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"items": [["a"]]}, "list inside a list"), ({"<s_total>": "1"}, "cannot be written as a tag"),
        ({"total": "</s_total>"}, "holds the mark"),
    ],
)  # fmt: skip
def test_what_no_tags_can_say_is_refused_by_line(donut: Path, tmp_path: Path, wrong: dict[str, Any], why: str) -> None:
    """DOC-1, DAT-4: nested lists, keys and values with special tokens; or left out, and counted."""
    data = pages(tmp_path / "data", rows_of(**wrong))
    with pytest.raises(DataProblem, match=r"Line 8 of 'metadata.jsonl' cannot be learnt") as caught:
        trainings.planned(donut, data, tmp_path / "run")
    assert why in caught.value.what
    spec = trainings.planned(donut, data, tmp_path / "again", skip_bad_rows=True)
    assert (spec.data_facts["num_rows"], spec.data_facts["num_bad_rows"]) == (7, 1)


def test_a_damaged_picture_is_named_before_the_first_step(donut: Path, tmp_path: Path) -> None:
    """DAT-4: not at step 900; or left out, and told."""
    data = pages(tmp_path / "data", rows_of(total="7"))
    whole = (data / "3.png").read_bytes()
    (data / "3.png").write_bytes(whole[: len(whole) // 2])
    spec = trainings.planned(donut, data, tmp_path / "run", **BY_HEART)
    with pytest.raises(DataProblem, match=r"Line 4 of 'metadata.jsonl': '3.png' cannot be read"):
        trainings.train_here(spec)
    assert not trainings.step_losses(spec.run_folder)
    again = trainings.planned(donut, data, tmp_path / "again", skip_bad_rows=True, **BY_HEART)
    assert trainings.train_here(again)["steps"] == BY_HEART["max_steps"]
    assert any("3.png" in event.message for event in trainings.told(again.run_folder) if event.type == "warning")


@pytest.mark.parametrize(
    ("model", "data", "known"),
    [("donut", "pairs", "donut, image-text"), ("trocr", "donut", "image-text"), ("vit", "layout", "labelled")],
)
def test_data_that_teach_a_model_nothing_are_refused_with_what_does(
    tmp_path: Path, model: str, data: str, known: str
) -> None:
    """DAT-4: with a row of each format that would do."""
    base = tiny.build(model, tmp_path / "base")
    with pytest.raises(DataProblem, match="cannot learn") as caught:
        trainings.planned(base, lessons.DATASETS[data](tmp_path / "data"), tmp_path / "run")
    assert known in caught.value.why
    assert known.split(",", maxsplit=1)[0] in caught.value.fix


def test_one_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    base = tiny.build("bert_sequence", tmp_path / "base")
    rows = lessons.write_rows(tmp_path / "rows.jsonl", [{"text": f"text {n}", "label": "same"} for n in range(8)])
    with pytest.raises(DataProblem, match="the same class: same"):
        trainings.planned(base, rows, tmp_path / "run")


def test_classes_that_an_adapter_does_not_know_are_refused_when_it_is_measured(tmp_path: Path) -> None:
    """DOC-3: labels that are not in the list."""
    spec, _ = trained("layoutlm", "layout", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "data" / "rows.jsonl").read_text().splitlines()]
    rows[2]["ner_tags"][1] = "B-unheard"
    lessons.write_rows(tmp_path / "data" / "rows.jsonl", rows)
    facts = know_model(str(spec.model_folder))
    source = open_source(tmp_path / "data" / "rows.jsonl")
    lesson = lesson_plan(facts, source)
    assert lesson is not None
    with pytest.raises(DataProblem, match=r"Line 3 of 'rows.jsonl' has the class 'B-unheard'"):
        prepare_samples(
            source, lesson, spec.model_folder, tmp_path / "x.arrow", eval_fraction=0, seed=0, changes=spec.changes
        )


def test_long_pages_become_several_rows_on_one_side_of_the_split(tmp_path: Path) -> None:
    """DOC-3: windows over long pages: no word is lost, none is there twice."""
    base = tiny.build("layoutlm", tmp_path / "base")
    words = [f"word{number}" for number in range(300)]
    row = {"words": words, "bboxes": [[1, 1, 9, 9]] * 300, "ner_tags": ["O", "B-a"] * 150}
    short = {"words": ["one"], "bboxes": [[1, 1, 9, 9]], "ner_tags": ["B-a"]}
    data = lessons.write_rows(tmp_path / "rows.jsonl", [row, *({**short, "words": [f"w{n}"]} for n in range(9))])
    spec = trainings.planned(base, data, tmp_path / "run", eval_fraction=0.3)
    rows = Rows(spec.run_folder / "data.arrow", spec.data_facts["threshold"], "all", max_length=10**6)
    parts = [rows.sample(index) for index in range(len(rows)) if rows.sample(index).words[0].startswith("word")]
    assert len(parts) > 1
    assert [word for part in parts for word in part.words] == words
    sides = [
        {rows.sample(index).words[0] for index in range(len(rows))}
        for rows in (
            Rows(spec.run_folder / "data.arrow", spec.data_facts["threshold"], part, max_length=10**6)
            for part in ("train", "validation")
        )
    ]
    firsts = {part.words[0] for part in parts}
    assert firsts <= sides[0] or firsts <= sides[1]


def test_every_kind_of_picture_is_learnt_as_what_it_shows(donut: Path, tmp_path: Path) -> None:
    """16-bit TIFF, CMYK JPEG, a palette, a picture that lies on its side."""
    grey = (np.arange(48 * 64).reshape(48, 64) * 20 % 65536).astype("uint16")
    shown = Image.fromarray((grey // 257).astype("uint8")).convert("RGB")
    Image.fromarray(grey).save(tmp_path / "deep.tiff")
    shown.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    shown.quantize(256).save(tmp_path / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    shown.rotate(90, expand=True).save(tmp_path / "side.jpg", exif=exif, quality=95)
    shown.save(tmp_path / "plain.png")
    learning = learning_for("document", donut, "image-text", _loaded(donut), ModelChanges())
    names = ("plain.png", "deep.tiff", "print.jpg", "palette.png", "side.jpg")
    batch = learning.batch([Sample(text="x", images=(str(tmp_path / name),)) for name in names], training=False)
    plain = batch["pixel_values"][0]
    for name, pixels in zip(names, batch["pixel_values"], strict=True):
        assert (pixels - plain).abs().mean() < 0.15, name


def _loaded(folder: Path, **options: Any) -> Any:
    facts = know_model(str(folder))
    return FAMILIES.get(facts.family).load(folder, dtype="float32", device="cpu", **options)


def test_sound_of_any_rate_and_number_of_channels_is_heard_alike(tmp_path: Path) -> None:
    """Mono, stereo, 8 kHz."""
    base = tiny.build("whisper", tmp_path / "base")
    learning = learning_for("audio", base, "audio-text", _loaded(base), ModelChanges())
    kinds: dict[str, dict[str, int]] = {"mono": {}, "stereo": {"channels": 2}, "slow": {"rate": 8000}}
    for name, how in kinds.items():
        lessons.sound(tmp_path / f"{name}.wav", 1, **how)
    samples = [Sample(text="one", audio=(str(tmp_path / f"{name}.wav"),)) for name in kinds]
    mono, stereo, slow = learning.batch(samples, training=False)["input_features"]
    assert torch.equal(mono, stereo)
    assert (mono - slow).abs().mean() < 0.2


def test_a_recording_without_sound_is_named(tmp_path: Path) -> None:
    base = tiny.build("whisper", tmp_path / "base")
    data = lessons.audio_text(tmp_path / "data")
    lessons.sound(tmp_path / "data" / "2.wav", 1, seconds=0)
    spec = trainings.planned(base, data, tmp_path / "run", **BY_HEART)
    with pytest.raises(DataProblem, match=r"Line 3 of 'rows.jsonl'.*cannot be read"):
        trainings.train_here(spec)


def test_pages_of_a_pdf_are_pictures(tmp_path: Path) -> None:
    """DOC-4: drawn by pypdfium2."""
    Image.new("RGB", (100, 50), "red").save(
        tmp_path / "two.pdf", save_all=True, append_images=[Image.new("RGB", (60, 120), "blue")]
    )
    both = pages_of([(tmp_path / "two.pdf").read_bytes()])
    assert [round(page.picture.width / page.picture.height, 1) for page in both] == [2.0, 0.5]
    red, blue = (page.picture.getpixel((5, 5)) for page in both)
    assert isinstance(red, tuple)
    assert isinstance(blue, tuple)
    assert (red[0] > 240, blue[2] > 240) == (True, True)
    assert [(page.file, page.is_drawn) for page in both] == [(0, True), (0, True)]


@pytest.mark.parametrize(
    ("data", "what"), [(LOCKED, "locked with a password"), (b"%PDF-1.4\nnothing", "cannot be read")]
)
def test_a_pdf_that_cannot_be_drawn_is_refused(data: bytes, what: str) -> None:
    """DOC-4"""
    with pytest.raises(DataProblem, match=what):
        pages_of([data])


@pytest.mark.parametrize("model", ["donut", "layoutlm"])
def test_one_call_reads_a_page_whatever_the_model(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOC-4: fields, boxes, confidence; of a PDF each page."""
    monkeypatch.setenv("LORASMITH_HOME", str(tmp_path / "home"))
    spec, _ = trained(model, "donut" if model == "donut" else "layout", tmp_path)
    Image.open(tmp_path / "data" / "1.png").convert("RGB").save(tmp_path / "page.pdf")
    asked: dict[str, Any] = {"adapter": str(spec.run_folder)}
    if model == "layoutlm" and not shutil.which("tesseract"):
        with pytest.raises(EnvironmentProblem, match="none were given"):
            lorasmith.extract(str(spec.model_folder), tmp_path / "page.pdf", **asked)
        return
    (page,) = lorasmith.extract(str(spec.model_folder), tmp_path / "page.pdf", **asked)
    assert set(page) == {"file", "page", "fields", "text", "boxes", "confidence"}
    assert page["page"] == 1
    assert 0 <= page["confidence"] <= 1


def test_an_adapter_that_changes_the_model_is_not_put_on_a_running_one(tmp_path: Path) -> None:
    """SRV-8: it has tokens that what is loaded does not know."""
    from lorasmith.core.samples import common_changes

    spec, _ = trained("donut", "donut", tmp_path)
    other = spec.run_folder / "other" / "lora"
    other.mkdir(parents=True)
    with pytest.raises(UsageProblem, match="cannot lie on one base together"):
        common_changes([spec.run_folder / "lora", other])


@pytest.mark.parametrize(("model", "data"), [("donut", "donut"), ("bert", "labelled"), ("stable_diffusion", "images")])
def test_a_run_that_was_stopped_ends_with_the_same_weights(model: str, data: str, tmp_path: Path) -> None:
    """TRN-6: bit for bit, with pictures that are varied at random and batches made ahead."""
    base, rows = tiny.build(model, tmp_path / "base"), lessons.DATASETS[data](tmp_path / "data")
    options: dict[str, Any] = {**BY_HEART, "augment": model == "donut"}
    if data == "images":
        options |= {"instance_prompt": "a fox", "image_size": "32x32"}
    whole = trainings.planned(base, rows, tmp_path / "whole", **options)
    trainings.train_here(whole)
    first = trainings.planned(base, rows, tmp_path / "first", time_limit=1e-9, **options)
    assert trainings.train_here(first)["stop_reason"] == "time_limit"
    checkpoint = (first.run_folder / "checkpoints" / "last").resolve()
    asked = first.spec.model_copy(update={"time_limit": None})
    trainings.train_here(first.model_copy(update={"spec": asked, "resume_from": checkpoint}))
    assert trainings.weights(whole.run_folder) == trainings.weights(first.run_folder)


def test_diffusers_reads_what_was_trained(tmp_path: Path) -> None:
    """The adapter draws as `load_lora_weights` of diffusers puts it on."""
    import diffusers
    import peft

    spec, _ = trained("stable_diffusion", "image-text", tmp_path, image_size="32x32")
    options: dict[str, Any] = {
        "prompt": "one",
        "num_inference_steps": 2,
        "height": 32,
        "width": 32,
        "output_type": "np",
    }

    def drawn(pipeline: Any) -> Any:
        return pipeline(**options, generator=torch.Generator().manual_seed(0)).images[0]

    theirs = diffusers.DiffusionPipeline.from_pretrained(spec.model_folder)
    before = drawn(theirs)
    theirs.load_lora_weights(spec.run_folder / "lora", weight_name="pytorch_lora_weights.safetensors")
    ours = diffusers.DiffusionPipeline.from_pretrained(spec.model_folder)
    ours.unet = peft.PeftModel.from_pretrained(ours.unet, spec.run_folder / "lora")
    assert np.abs(drawn(theirs) - drawn(ours)).max() < 1e-5
    assert np.abs(drawn(theirs) - before).max() > 1e-5


def test_a_search_is_decided_by_the_familys_own_metric(tmp_path: Path) -> None:
    """TUN-1, EVA-5: entity F1 for words with tags; trials share one base that adapters of new heads leave as it was."""
    base, rows = tiny.build("bert", tmp_path / "base"), lessons.tagged(tmp_path / "data")
    report = lorasmith.tune(str(base), rows, trials=5, output=str(tmp_path / "search"), seed=1)
    assert report.figure == "entity_f1"
    assert len(report.scores) >= 1
