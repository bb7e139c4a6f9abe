"""What a model that draws is measured by: its noise, and how near its pictures are to their texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests import lessons, trainings
from tests.integration.test_lessons import planned
from tests.trainings import train_here

import lorasmith
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.testing import tiny
from lorasmith.workers.rows import Rows

pytestmark = pytest.mark.usefixtures("one_thread")


def near(clip: Path, picture: Path, other: str | Path) -> float:
    """100 × the cosine that transformers itself makes of a picture and a text, or another picture."""
    import transformers

    model = transformers.CLIPModel.from_pretrained(clip)
    processor = transformers.CLIPProcessor.from_pretrained(clip)
    with torch.no_grad():
        one = model.get_image_features(**processor(images=[Image.open(picture)], return_tensors="pt")).pooler_output
        if isinstance(other, str):
            two = model.get_text_features(**processor(text=[other], return_tensors="pt")).pooler_output
        else:
            two = model.get_image_features(**processor(images=[Image.open(other)], return_tensors="pt")).pooler_output
    return max(0.0, 100 * float(torch.nn.functional.cosine_similarity(one, two)))


def test_drawn_pictures_are_measured_beside_the_bases(tmp_path: Path) -> None:
    """EVA-5: CLIP score of base and adapter, on the same texts with the same seeds, with intervals; the pictures are on the page."""
    spec = planned("stable_diffusion", "image-text", tmp_path, image_size="32x32")
    train_here(spec)
    clip = tiny.build("clip", tmp_path / "clip")
    adapter = spec.run_folder / "lora"
    report = lorasmith.evaluate(
        str(spec.model_folder), spec.spec.data, adapter=(str(adapter),), clip_model=str(clip), steps=2, sample=4
    )
    (name,) = (one for one in report.scores if one != "base")
    assert report.main == "clip_score"
    assert {"clip_score", "clip_score_to_the_right_picture", "denoising_loss"} <= report.scores[name].keys()
    assert report.scores[name]["denoising_loss"].value < report.scores["base"]["denoising_loss"].value
    folder = Path(report.folder)
    told = json.loads((folder / "answers.json").read_text())
    for model in ("base", name):
        files = [folder / row["answer"] for row in told["columns"][model]]
        own = [near(clip, file, text) for file, text in zip(files, told["wanted"], strict=True)]
        likeness = [near(clip, file, folder / "pictures" / "wanted" / file.name) for file in files]
        figures = report.scores[model]
        assert figures["clip_score"].value == pytest.approx(sum(own) / 4, abs=1e-3)
        assert figures["clip_score_to_the_right_picture"].value == pytest.approx(sum(likeness) / 4, abs=1e-3)
        assert figures["clip_score"].low <= figures["clip_score"].value <= figures["clip_score"].high
    one, two = ((folder / "pictures" / model / "0.png").read_bytes() for model in ("base", name))
    assert one != two
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 4 * 3
    assert told["wanted"][0] in page
    again = lorasmith.evaluate(
        str(spec.model_folder), spec.spec.data, clip_model=str(clip), steps=2, sample=4, output=str(tmp_path / "again")
    )
    assert again.scores["base"]["clip_score"].value == report.scores["base"]["clip_score"].value


def test_the_class_is_learnt_beside_the_thing(tmp_path: Path) -> None:
    """FAM: DreamBooth's prior preservation: as many pictures of the class as of the thing, which come again; none of the class is held
    out. A caption or a folder that is missing is told."""
    cats = lessons.images(tmp_path / "cats")
    for number in range(40):
        lessons.picture(cats / f"cat{number}.png", 50 + number)
    own = {"instance_prompt": "a sks cat", "image_size": "32x32"}
    spec = planned("stable_diffusion", "images", tmp_path, prior_data=str(cats), prior_prompt="a cat", **own)
    report = train_here(spec)
    learnt, held_out = (
        Rows(spec.run_folder / "data.arrow", spec.data_facts["threshold"], part, max_length=spec.plan.max_length)
        for part in ("train", "validation")
    )
    texts = [learnt.sample(index).text for index in range(len(learnt))]
    num_cats = 40 + lessons.ROWS
    assert (texts.count("a sks cat"), texts.count("a cat")) == (num_cats, num_cats)
    things = {learnt.sample(index).images[0] for index in range(len(learnt)) if texts[index] == "a sks cat"}
    held = {held_out.sample(index).images[0] for index in range(len(held_out))}
    assert len(held_out) == len(held) == lessons.ROWS - len(things) > 0
    assert not things & held
    assert {held_out.sample(index).text for index in range(len(held_out))} == {"a sks cat"}
    assert report["comparison"]["tuned"]["val_loss"] > 0
    for given in ({"prior_data": str(cats)}, {"prior_prompt": "a cat"}):
        with pytest.raises(UsageProblem, match=r"--prior-prompt|--prior-data"):
            trainings.planned(
                spec.model_folder, tmp_path / "data", tmp_path / f"run{len(given)}{min(given)}", **own, **given
            )
    text, rows = tiny.build("bert_sequence", tmp_path / "labels"), lessons.DATASETS["labelled"](tmp_path / "texts")
    with pytest.raises(UsageProblem, match="models that draw"):
        trainings.planned(text, rows, tmp_path / "none", prior_data=str(cats), prior_prompt="a cat")


def test_without_a_clip_nothing_is_drawn(tmp_path: Path) -> None:
    """EVA-5: noise is measured, which takes no other model; a CLIP that is none, or is not to be had, is told before anything is loaded."""
    base = tiny.build("stable_diffusion", tmp_path / "base")
    rows = lessons.DATASETS["image-text"](tmp_path / "data")
    report = lorasmith.evaluate(str(base), str(rows), output=str(tmp_path / "out"))
    assert list(report.scores["base"]) == ["denoising_loss"]
    assert not (tmp_path / "out" / "pictures").exists()
    with pytest.raises(UsageProblem, match="does not compare pictures with texts"):
        lorasmith.evaluate(str(base), str(rows), clip_model=str(tiny.build("bert", tmp_path / "bert")))
    with pytest.raises(EnvironmentProblem, match="--clip-model FOLDER"):
        lorasmith.evaluate(str(base), str(rows), metrics="clip_score")
    text = tiny.build("bert_sequence", tmp_path / "labels")
    clip = tiny.build("clip", tmp_path / "clip")
    with pytest.raises(UsageProblem, match="draws none"):
        lorasmith.evaluate(str(text), str(lessons.DATASETS["labelled"](tmp_path / "texts")), clip_model=str(clip))
