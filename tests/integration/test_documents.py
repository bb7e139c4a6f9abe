"""Documents and other media from file to adapter: what is wrong is named before the first step, pictures of every kind are learnt, a
broken run goes on as if it had never stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests import lessons, trainings
from tests.integration.test_lessons import planned

import lorasmith
from lorasmith.core.errors import DataProblem, UsageProblem
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.data.load import open_source
from lorasmith.data.samples import lesson_plan, prepare_samples
from lorasmith.families import FAMILIES
from lorasmith.families._reading import _beginning
from lorasmith.hub.recognise import know_model
from lorasmith.testing import tiny
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers.lora import load_adapters
from lorasmith.workers.rows import Rows
from lorasmith.workers.samples import learning_for

pytestmark = pytest.mark.usefixtures("one_thread")

DONUT_ROW: dict[str, Any] = {"file_name": "0.png", "ground_truth": {"gt_parse": {"total": "1"}}}


@pytest.fixture(scope="module")
def donut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("donut", tmp_path_factory.mktemp("donut") / "base")


def trained(model: str, data: str, folder: Path, **options: Any) -> WorkerSpec:
    """What the worker was given, after a training on one of the small datasets."""
    spec = planned(model, data, folder, **options)
    trainings.train_here(spec)
    return spec


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
        ({"first name": "1", "first_name": "2"}, "'first name' and 'first_name' are both written as <s_first_name>"),
    ],
)  # fmt: skip
def test_what_no_tags_can_say_is_refused_by_line(donut: Path, tmp_path: Path, wrong: dict[str, Any], why: str) -> None:
    """DOC-1, DAT-4: nested lists, keys and values with special tokens, keys of one token; or left out, and counted."""
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
    spec = trainings.planned(donut, data, tmp_path / "run", **lessons.BY_HEART)
    with pytest.raises(DataProblem, match=r"Line 4 of 'metadata.jsonl': '3.png' cannot be read"):
        trainings.train_here(spec)
    assert not trainings.step_losses(spec.run_folder)
    again = trainings.planned(donut, data, tmp_path / "again", skip_bad_rows=True, **lessons.BY_HEART)
    assert trainings.train_here(again)["steps"] == lessons.BY_HEART["max_steps"]
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
    spec = trained("layoutlm", "layout", tmp_path)
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


@pytest.mark.parametrize(("model", "data"), [("donut", "donut"), ("donut", "image-text"), ("trocr", "image-text")])
def test_answers_begin_end_and_are_filled_up_as_the_model_has_it(model: str, data: str, tmp_path: Path) -> None:
    """DOC-1, DOC-2: decoder start, eos and pad are the model's own, whatever the tokenizer says; fields begin with the task's token,
    which is also where reading begins."""
    spec = planned(model, data, tmp_path)
    loaded = _loaded(spec.model_folder, changes=spec.changes)
    said = loaded.generation_config
    said.decoder_start_token_id, said.eos_token_id, said.pad_token_id = 7, [9, 4], 3
    learning = learning_for("document", spec.model_folder, data, loaded, spec.changes)
    begins = learning.tokenizer.convert_tokens_to_ids(spec.changes.start) if data == "donut" else 7
    assert begins not in (None, learning.tokenizer.unk_token_id)
    picture = str(tmp_path / "data" / "0.png")
    samples = [Sample(text=text, target={"total": text}, images=(picture,)) for text in ("a long text", "x")]
    batch = learning.batch(samples, training=True)
    for labels, given in zip(batch["labels"].tolist(), batch["decoder_input_ids"].tolist(), strict=True):
        written = [token for token in labels if token != -100]
        assert (written[-1], written.count(9)) == (9, 1)
        assert labels[len(written) :] == [-100] * (len(labels) - len(written))  # what fills up is not learnt
        assert given == [begins, *written, *[3] * len(labels)][: len(labels)]
    assert (batch["labels"] == -100).any()
    assert _beginning(loaded, learning.tokenizer, spec.changes.start).tolist() == [[begins]]


def test_new_tokens_are_written_as_well_as_read(tmp_path: Path) -> None:
    """DOC-1: a decoder whose head is its embeddings, within a model that does not say so: both learn the new tags' rows."""
    spec = planned("donut", "donut", tmp_path)
    loaded = _loaded(spec.model_folder, changes=spec.changes)
    assert not loaded.config.tie_word_embeddings
    assert loaded.decoder.get_output_embeddings().weight is loaded.decoder.get_input_embeddings().weight
    trainings.train_here(spec)
    state = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    learnt = {name: rows for name, rows in state.items() if name.endswith("trainable_tokens_delta")}
    assert sorted(name.split(".token_adapter")[0].rpartition(".")[2] for name in learnt) == ["embed_tokens", "lm_head"]
    base = loaded.decoder.get_input_embeddings().weight
    tokenizer = learning_for("document", spec.model_folder, "donut", loaded, spec.changes).tokenizer
    before = base[sorted(tokenizer.convert_tokens_to_ids(list(spec.changes.tokens)))]
    for name, rows in learnt.items():
        assert not rows.isclose(before).all(), name


def test_merged_it_writes_the_new_tokens_as_well(tmp_path: Path, home: Path) -> None:
    """ADP-3, DOC-1: rows that embeddings and head have learnt apart are both in the merged model, though the base has one weight."""
    spec = trained("donut", "donut", tmp_path)
    adapter = spec.run_folder / "lora"
    lorasmith.export(str(spec.model_folder), adapter=str(adapter), to="merged", out=str(tmp_path / "merged"))
    merged = _loaded(tmp_path / "merged")
    worn = load_adapters(_loaded(spec.model_folder, changes=spec.changes), {"own": adapter})
    learning = learning_for("document", spec.model_folder, "donut", worn.get_base_model(), spec.changes)
    sample = Sample(text="", target={"total": "1"}, images=(str(tmp_path / "data" / "0.png"),))
    batch = {name: one for name, one in learning.batch([sample], training=False).items() if name != "labels"}
    with torch.inference_mode():
        logits = [model(**batch).logits for model in (merged, worn)]
    assert logits[0].shape == logits[1].shape
    assert (logits[0] - logits[1]).abs().max() < 1e-4
    heads = [one.weight for one in (merged.decoder.get_output_embeddings(), merged.decoder.get_input_embeddings())]
    assert not heads[0].equal(heads[1])


@pytest.mark.parametrize("image_size", [None, (32, 24)])
def test_a_page_that_lies_is_turned_where_the_processor_says_so(
    donut: Path, tmp_path: Path, image_size: tuple[int, int] | None
) -> None:
    """DOC-1: long-edge alignment: Donut's `do_align_long_axis`, in the size of the processor or of the training."""
    lessons.picture(tmp_path / "lying.png", 1, size=(128, 96))
    Image.open(tmp_path / "lying.png").rotate(-90, expand=True).save(tmp_path / "upright.png")
    learning = learning_for("document", donut, "image-text", _loaded(donut), ModelChanges(image_size=image_size))
    samples = [Sample(text="x", images=(str(tmp_path / name),)) for name in ("lying.png", "upright.png")]
    as_they_lie = learning.batch(samples, training=True)["pixel_values"]
    learning.processor.image_processor.do_align_long_axis = True
    lying, upright = learning.batch(samples, training=True)["pixel_values"]
    assert lying.shape[-2:] == (image_size or (64, 48))
    assert torch.allclose(lying, upright, atol=0.1)
    assert torch.equal(upright, as_they_lie[1])
    assert not torch.allclose(as_they_lie[0], as_they_lie[1], atol=0.1)


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
    spec = trainings.planned(base, data, tmp_path / "run", **lessons.BY_HEART)
    with pytest.raises(DataProblem, match=r"Line 3 of 'rows.jsonl'.*cannot be read"):
        trainings.train_here(spec)


def test_an_adapter_that_changes_the_model_is_not_put_on_a_running_one(tmp_path: Path) -> None:
    """SRV-8: it has tokens that what is loaded does not know."""
    from lorasmith.core.samples import common_changes

    spec = trained("donut", "donut", tmp_path)
    other = spec.run_folder / "other" / "lora"
    other.mkdir(parents=True)
    with pytest.raises(UsageProblem, match="cannot lie on one base together"):
        common_changes([spec.run_folder / "lora", other])


@pytest.mark.parametrize(("model", "data"), [("donut", "donut"), ("bert", "labelled"), ("stable_diffusion", "images")])
def test_a_run_that_was_stopped_ends_with_the_same_weights(model: str, data: str, tmp_path: Path) -> None:
    """TRN-6: bit for bit, with pictures that are varied at random and batches made ahead."""
    base, rows = tiny.build(model, tmp_path / "base"), lessons.DATASETS[data](tmp_path / "data")
    options: dict[str, Any] = {**lessons.BY_HEART, "augment": model == "donut"}
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


def test_a_search_is_decided_by_the_familys_own_metric(tmp_path: Path) -> None:
    """TUN-1, EVA-5: entity F1 for words with tags; trials share one base that adapters of new heads leave as it was."""
    base, rows = tiny.build("bert", tmp_path / "base"), lessons.tagged(tmp_path / "data")
    report = lorasmith.tune(str(base), rows, trials=5, output=str(tmp_path / "search"), seed=1)
    assert report.figure == "entity_f1"
    assert len(report.scores) >= 1
