"""What served models of each family answer, beside the same done by hand with transformers (SRV-4, SRV-6, SRV-5)."""

from __future__ import annotations

import base64
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from lorasmith.core.errors import DataProblem, EnvironmentProblem, UsageProblem
from lorasmith.families import FAMILIES
from lorasmith.families._calls import Cancelled, ClassifierCall, DocumentCall, EmbeddingCall, VisionCall, untold
from lorasmith.testing import tiny

# What libraries do to arrays of torch with this version of numpy.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

TEXTS = ["the quick brown fox", "two?", "x", "invoice total " * 100, "user and assistant: 20", "the dog"]
WORDS = [f"word{number}" for number in range(150)]
BOXES = [(number, number, number + 10, number + 10) for number in range(150)]
QUESTION = [{"role": "user", "content": "What is this?"}]
PLACE = {"type": "image"}


def _noise(width=90, height=70, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype="uint8"))


def _png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PICTURE = _noise()
FILE = _png(PICTURE)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A tiny model with its processor, by family and name, built once; nobody changes it."""
    folder = tmp_path_factory.mktemp("served")
    kept = {}

    def load(family, name):
        if name not in kept:
            place = tiny.build(name, folder / name)
            model = FAMILIES.get(family).load(place, dtype="float32", device="cpu")
            kept[name] = model, FAMILIES.get(family).processor(place, model)
        return kept[name]

    return load


def _answer(family, pair, call, media=(), tell=untold):
    return FAMILIES.get(family).answer(*pair, call, list(media), tell)


def _value(family, pair, call, media=()):
    return _answer(family, pair, call, media).value


def _result(family, pair, call, media=()):
    return _value(family, pair, call, media)["results"][0]


def _call_of(family, name):
    """A call that a model of any architecture of the family can answer, with its files."""
    if family == "embedding":
        sees = name in ("clip", "siglip")
        return EmbeddingCall(texts=TEXTS, images=["x"] * sees), [FILE] * sees
    if family == "classifier":
        return ClassifierCall(texts=TEXTS), []
    if family == "vision":
        return VisionCall(images=["x", "x"], threshold=0, points=[(20, 20)] if name == "sam" else []), [FILE, FILE]
    if name in ("layoutlm", "layoutlmv3", "lilt"):
        return DocumentCall(words=WORDS, boxes=BOXES), [FILE] * (name == "layoutlmv3")
    return DocumentCall(images=["x"], max_tokens=6), [FILE]


_EVERY = [
    (family, name) for family in ("embedding", "classifier", "vision", "document") for name in tiny.names_of(family)
]


@pytest.mark.parametrize(("family", "name"), _EVERY)
def test_every_architecture_answers_in_the_shape_of_its_family(served, family, name):
    """SRV-4, SRV-6: what the answer holds is JSON, and names all of its files; progress reaches the end."""
    call, media = _call_of(family, name)
    told = []
    answer = _answer(
        family, served(family, name), call, media, lambda **said: told.append((said["done"], said["total"]))
    )
    written = json.dumps(answer.value, allow_nan=False)
    assert all(f'"$blob": {number}' in written for number in range(len(answer.blobs)))
    assert told[-1][0] == told[-1][1] > 0
    assert FAMILIES.get(family).call is type(call)
    if family == "embedding":
        assert {len(row) for row in answer.value["embeddings"]} == {answer.value["dimensions"]} == {32}
        assert len(answer.value["embeddings"]) == len(TEXTS) + len(media)
        return
    wanted = {"classifier": {"labels", "entities"}, "document": {"text", "fields", "words"}}
    for result in answer.value["results"]:
        assert wanted.get(family, {"width", "height", "labels", "boxes", "masks"}) <= result.keys()


@pytest.mark.parametrize("family", ["embedding", "classifier", "vision", "document"])
def test_a_client_that_goes_away_ends_the_call(served, family):
    """SRV-2"""
    call, media = _call_of(family, tiny.names_of(family)[0])

    def gone(**_):
        raise Cancelled

    with pytest.raises(Cancelled):
        _answer(family, served(family, tiny.names_of(family)[0]), call, media, gone)


# Embedding.


def _mean_pooled(model, tokenizer, texts):
    import torch

    read = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    hidden = model(**read)[0]
    mask = read["attention_mask"][..., None]
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))


@pytest.mark.parametrize("name", ["bert", "roberta", "sentence_transformers"])
def test_vectors_of_encoders_are_the_mean_of_their_tokens(served, name):
    """SRV-4: the same for texts one by one, and for all in one padded batch by hand."""
    model, processor = served("embedding", name)
    made = _value("embedding", (model, processor), EmbeddingCall(texts=TEXTS))
    alone = [_value("embedding", (model, processor), EmbeddingCall(texts=[text]))["embeddings"][0] for text in TEXTS]
    by_hand = _mean_pooled(getattr(model, "model", model), processor or model.tokenizer, TEXTS)
    np.testing.assert_allclose(made["embeddings"], by_hand.numpy(), atol=1e-5)
    np.testing.assert_allclose(made["embeddings"], alone, atol=1e-5)


def test_long_texts_are_cut_and_counted(served):
    """SRV-4"""
    model, tokenizer = served("embedding", "bert")
    made = _value("embedding", (model, tokenizer), EmbeddingCall(texts=["the fox", "the fox " * 100, "fox " * 126]))
    assert made["truncated"] == 1
    assert made["usage"] == {"prompt_tokens": 4 + 128 + 128}


def test_the_table_of_positions_is_a_limit_too(tmp_path):
    """SRV-4: RoBERTa counts positions from behind the padding's; its tokenizer may say nothing of it."""
    from lorasmith.families._batches import reads_at_most

    plugin, folder = FAMILIES.get("embedding"), tiny.build("roberta", tmp_path / "roberta", max_position_embeddings=66)
    model = plugin.load(folder, dtype="float32", device="cpu")
    tokenizer = plugin.processor(folder, model)
    tokenizer.model_max_length = 10**30
    assert reads_at_most(model, tokenizer) == 64
    made = _value("embedding", (model, tokenizer), EmbeddingCall(texts=["fox " * 500]))
    assert (made["usage"]["prompt_tokens"], made["truncated"]) == (64, 1)


def test_many_texts_go_through_in_bounded_batches(served):
    """SRV-4: more than a hundred texts are split; progress is told after each batch."""
    from lorasmith.families._batches import TOKENS_PER_BATCH, batches, reading_for

    model, tokenizer = served("embedding", "bert")
    texts = [f"{number} " + "fox " * (number % 120) for number in range(700)]
    sizes = [batch.inputs["input_ids"].numel() for batch in batches(reading_for(model, tokenizer), texts)]
    assert max(sizes) <= TOKENS_PER_BATCH
    told = []
    call = EmbeddingCall(texts=texts)
    made = _answer("embedding", (model, tokenizer), call, [], lambda **said: told.append(said["done"])).value
    assert len(told) == len(sizes) > 4
    assert told == sorted(told)
    np.testing.assert_allclose(made["embeddings"][::70], _mean_pooled(model, tokenizer, texts[::70]).numpy(), atol=1e-5)


def test_vectors_are_cut_and_coded_as_asked(served):
    """SRV-4: Matryoshka dimensions are cut before the length becomes 1; base64 holds 32-bit floats."""
    pair = served("embedding", "bert")
    whole = np.array(_value("embedding", pair, EmbeddingCall(texts=TEXTS, normalize=False))["embeddings"])
    assert not np.allclose(np.linalg.norm(whole, axis=1), 1)
    cut = _value("embedding", pair, EmbeddingCall(texts=TEXTS, dimensions=8))
    assert cut["dimensions"] == 8
    wanted = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(cut["embeddings"], wanted, atol=1e-5)
    coded = _value("embedding", pair, EmbeddingCall(texts=TEXTS, normalize=False, encoding="base64"))["embeddings"]
    read = np.stack([np.frombuffer(base64.b64decode(row), "<f4") for row in coded])
    np.testing.assert_array_equal(read, whole.astype("float32"))
    with pytest.raises(UsageProblem, match="33 dimensions were asked for, and the model's vectors have 32"):
        _value("embedding", pair, EmbeddingCall(texts=["a"], dimensions=33))


def test_prompts_are_the_models_own(tmp_path):
    """SRV-4: by name or by default; tokens of the prompt do not count where the files say so."""
    plugin, folder = FAMILIES.get("embedding"), tiny.build("sentence_transformers", tmp_path / "model")
    said = {"prompts": {"query": "question: "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    model = plugin.load(folder, dtype="float32", device="cpu")
    asked = _value("embedding", (model, None), EmbeddingCall(texts=["fox"], prompt_name="query"))
    written = _value("embedding", (model, None), EmbeddingCall(texts=["question: fox"]))
    assert asked == written
    with pytest.raises(UsageProblem, match="no prompt 'passage'\nIt knows 'document', 'query'"):
        _value("embedding", (model, None), EmbeddingCall(texts=["fox"], prompt_name="passage"))
    model.habits = model.habits._replace(pools_prompt=False, default_prompt_name="query")
    made = _value("embedding", (model, None), EmbeddingCall(texts=["fox"], normalize=False))["embeddings"][0]
    read = model.tokenizer(["question: fox"], return_tensors="pt")
    num_prompt = len(model.tokenizer("question: ")["input_ids"]) - 1
    by_hand = model.model(**read)[0][0, num_prompt:].mean(0)
    np.testing.assert_allclose(made, by_hand.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "by_hand"),
    [
        ("cls", lambda hidden: hidden[0]),
        ("lasttoken", lambda hidden: hidden[-1]),
        ("max", lambda hidden: hidden.amax(0)),
        ("mean_sqrt_len_tokens", lambda hidden: hidden.sum(0) / len(hidden) ** 0.5),
        ("weightedmean", lambda hidden: np.average(hidden.numpy(), axis=0, weights=range(1, len(hidden) + 1))),
    ],
)
def test_tokens_are_pooled_as_the_files_say(served, pooling, by_hand):
    """SRV-4: whatever the padding."""
    model, _ = served("embedding", "sentence_transformers")
    own, model.habits = model.habits, model.habits._replace(pooling=pooling)
    made = _value("embedding", (model, None), EmbeddingCall(texts=TEXTS, normalize=False))["embeddings"]
    model.habits = own
    for text, row in zip(TEXTS, made, strict=True):
        hidden = model.model(**model.tokenizer([text], truncation=True, return_tensors="pt"))[0][0]
        np.testing.assert_allclose(row, np.asarray(by_hand(hidden)), atol=1e-5)


def test_a_decoder_sums_up_a_text_in_its_last_token(served):
    """SRV-4"""
    from lorasmith.families.embedding import plugin

    model, tokenizer = served("language", "llama")
    made = plugin.answer(model, tokenizer, EmbeddingCall(texts=TEXTS[:3], normalize=False), [], untold).value
    for text, row in zip(TEXTS, made["embeddings"], strict=False):
        by_hand = model.model(input_ids=tokenizer(text, return_tensors="pt")["input_ids"])[0][0, -1]
        np.testing.assert_allclose(row, by_hand.numpy(), atol=1e-5)


def test_a_model_that_guesses_words_embeds_with_what_is_below_its_head(served):
    """SRV-4: vectors, not scores of words."""
    import transformers

    encoder, tokenizer = served("embedding", "bert")
    model = transformers.BertForMaskedLM(encoder.config).eval()
    made = _value("embedding", (model, tokenizer), EmbeddingCall(texts=TEXTS))
    np.testing.assert_allclose(
        made["embeddings"], _mean_pooled(model.bert, tokenizer, TEXTS).detach().numpy(), atol=1e-5
    )


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_texts_and_pictures_share_one_space(served, name):
    """SRV-4: the dot products are the model's own scores, before its scale."""
    import torch

    model, processor = served("embedding", name)
    pictures = [PICTURE, _noise(40, 60, 1)]
    call = EmbeddingCall(texts=["quick fox", "the lazy dog jumps"], images=["x", "x"])
    rows = torch.tensor(_value("embedding", (model, processor), call, map(_png, pictures))["embeddings"])
    padding = {"padding": "max_length", "max_length": 64} if name == "siglip" else {"padding": True}
    with torch.inference_mode():
        own = model(**processor(images=pictures, text=list(call.texts), return_tensors="pt", **padding))
    np.testing.assert_allclose(
        (rows[2:] @ rows[:2].T).numpy(), (own.image_embeds @ own.text_embeds.T).numpy(), atol=1e-5
    )


def test_a_model_that_embeds_texts_takes_no_pictures(served):
    """SRV-4"""
    with pytest.raises(UsageProblem, match="of texts, not of pictures"):
        _value("embedding", served("embedding", "bert"), EmbeddingCall(images=["x"]), [FILE])


def test_a_text_with_half_a_character_is_read(served):
    """REL-4: JSON can hold what no tokenizer reads."""
    assert _value("embedding", served("embedding", "bert"), EmbeddingCall(texts=["fox \ud800"]))["embeddings"]


# Classifier.


def test_labels_are_shares_of_one(served):
    """SRV-6: as softmax by hand, batched or one by one; text_pairs go in as pairs."""
    model, tokenizer = served("classifier", "bert_sequence")
    made = _value("classifier", (model, tokenizer), ClassifierCall(texts=TEXTS, text_pairs=TEXTS[::-1], top_k=2))
    assert made["truncated"] == 2
    for text, pair, result in zip(TEXTS, TEXTS[::-1], made["results"], strict=True):
        logits = model(**tokenizer(text, pair, truncation=True, return_tensors="pt")).logits[0]
        best = logits.softmax(-1).topk(2)
        assert [one["label"] for one in result["labels"]] == [model.config.id2label[int(at)] for at in best.indices]
        np.testing.assert_allclose([one["score"] for one in result["labels"]], best.values.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("problem", "labels", "score"),
    [
        ("multi_label_classification", 3, lambda logits: logits.sigmoid()),
        ("regression", 2, lambda logits: logits),
        (None, 1, lambda logits: logits),
    ],
)
def test_scores_are_as_the_kind_of_problem_says(served, problem, labels, score):
    """SRV-6: labels that do not exclude each other, numbers, and rewards."""
    import transformers

    encoder, tokenizer = served("embedding", "bert")
    config = transformers.BertConfig(**{**encoder.config.to_dict(), "problem_type": problem, "num_labels": labels})
    model = transformers.BertForSequenceClassification(config).eval()
    result = _result("classifier", (model, tokenizer), ClassifierCall(texts=["the fox"]))
    logits = model(**tokenizer("the fox", return_tensors="pt")).logits[0].detach()
    wanted = score(logits).sort(descending=True).values
    np.testing.assert_allclose([one["score"] for one in result["labels"]], wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("pad", [None, 0])
def test_a_reward_is_that_of_the_whole_text_whatever_it_is_batched_with(served, pad):
    """SRV-6: a decoder's head looks for the last token that is no padding."""
    import transformers

    decoder, tokenizer = served("language", "llama")
    config = transformers.LlamaConfig(**{**decoder.config.to_dict(), "pad_token_id": pad, "num_labels": 1})
    model = transformers.LlamaForSequenceClassification(config).eval()
    results = _value("classifier", (model, tokenizer), ClassifierCall(texts=TEXTS[:3]))["results"]
    by_hand = [model(input_ids=tokenizer(text, return_tensors="pt")["input_ids"]).logits.item() for text in TEXTS[:3]]
    np.testing.assert_allclose([one["labels"][0]["score"] for one in results], by_hand, atol=1e-5)


def test_an_encoder_decoder_labels_texts_with_several_ends(served):
    """SRV-6, REL-4: its head wants as many end tokens in each text of a batch."""
    import transformers

    from lorasmith.testing.tiny.sizes import SEQ2SEQ

    _, tokenizer = served("embedding", "roberta")
    config = transformers.BartConfig(**SEQ2SEQ, vocab_size=384, num_labels=3)
    model = transformers.BartForSequenceClassification(config).eval()
    made = _value("classifier", (model, tokenizer), ClassifierCall(texts=["a fox", "a </s> fox", "b </s>", "two"]))
    assert [len(one["labels"]) for one in made["results"]] == [3] * 4


def test_words_of_one_label_are_joined_to_entities(served):
    """SRV-6: characters of the text as it was given, words labelled as their first tokens."""
    model, tokenizer = served("classifier", "bert_tokens")
    text = "The  Quick brown foxy, assistant!"
    found = _result("classifier", (model, tokenizer), ClassifierCall(texts=[text]))["entities"]
    read = tokenizer(text, return_tensors="pt")
    shares = model(**read).logits[0].softmax(-1)
    words = {word: at for at, word in reversed(list(enumerate(read.word_ids()))) if word is not None}
    labels = [model.config.id2label[int(shares[at].argmax())][-3:] for _, at in sorted(words.items())]
    assert "".join(one["text"] for one in found).replace(" ", "") == "TheQuickbrownfoxy,assistant!"
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found)
    assert list(dict.fromkeys(one["label"] for one in found)) == list(dict.fromkeys(labels))
    assert found[0]["score"] == pytest.approx(float(shares[1].max()), abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ("B-A I-A O B-A B-A", [("A", 0, 1), ("A", 3, 3), ("A", 4, 4)]),
        ("I-A I-A I-B", [("A", 0, 1), ("B", 2, 2)]),
        ("B-A E-A I-A S-B S-B", [("A", 0, 1), ("A", 2, 2), ("B", 3, 3), ("B", 4, 4)]),
        ("B-A L-A U-A", [("A", 0, 1), ("A", 2, 2)]),
        ("E-mail E-mail O phone", [("E-mail", 0, 1), ("phone", 3, 3)]),
    ],
)
def test_marks_of_entities_are_understood(labels, spans):
    """SRV-6: BIO, BIOES, BILOU, and plain labels that only look marked."""
    from transformers import PretrainedConfig

    from lorasmith.families._labels import joined

    names = labels.split()
    found = joined(PretrainedConfig(id2label=dict(enumerate(sorted({*names, "O"})))), names, [0.5] * len(names))
    assert [(one.label, one.first, one.last) for one in found] == spans


def test_halves_that_do_not_match_are_refused(served):
    """SRV-9"""
    with pytest.raises(UsageProblem, match="There are 2 texts and 1 text_pairs"):
        _value("classifier", served("classifier", "bert_sequence"), ClassifierCall(texts=["a", "b"], text_pairs=["c"]))
    with pytest.raises(UsageProblem, match="takes no pairs"):
        _value("classifier", served("classifier", "bert_tokens"), ClassifierCall(texts=["a"], text_pairs=["c"]))


def test_numbers_that_are_none_are_an_error(served):
    """SRV-9: never an answer."""
    import copy

    model, tokenizer = served("classifier", "bert_sequence")
    broken = copy.deepcopy(model)
    broken.classifier.bias[0] = float("nan")
    with pytest.raises(ArithmeticError):
        _value("classifier", (broken, tokenizer), ClassifierCall(texts=["a"]))
    reader, processor = served("document", "trocr")
    broken = copy.deepcopy(reader)
    broken.get_output_embeddings().weight[5] = float("nan")
    with pytest.raises(ArithmeticError):
        _value("document", (broken, processor), DocumentCall(images=["x"], max_tokens=3), [FILE])


# Vision.


def _mask(answer, number):
    return np.array(Image.open(io.BytesIO(answer.blobs[number])))


def test_pictures_are_labelled_as_by_hand_and_upright(served):
    """SRV-6: a picture on its side with its orientation said is the picture."""
    model, processor = served("vision", "vit")
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = io.BytesIO()
    PICTURE.rotate(-90, expand=True).save(turned, "PNG", exif=exif)
    call = VisionCall(images=["x", "x"], top_k=2)
    upright, lying = _value("vision", (model, processor), call, [FILE, turned.getvalue()])["results"]
    assert upright == lying
    best = model(**processor(PICTURE, return_tensors="pt")).logits[0].softmax(-1).topk(2)
    assert (upright["width"], upright["height"]) == PICTURE.size
    assert [one["label"] for one in upright["labels"]] == [model.config.id2label[int(at)] for at in best.indices]
    np.testing.assert_allclose([one["score"] for one in upright["labels"]], best.values.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["detr", "yolos", "rt_detr"])
def test_boxes_are_in_pixels_of_the_picture(served, name):
    """SRV-6, UI-5"""
    model, processor = served("vision", name)
    found = _result("vision", (model, processor), VisionCall(images=["x"], threshold=0), [FILE])["boxes"]
    output = model(**processor(PICTURE, return_tensors="pt"))
    wanted = processor.post_process_object_detection(output, threshold=0, target_sizes=[(70, 90)])[0]
    order = wanted["scores"].argsort(descending=True, stable=True)
    boxes = wanted["boxes"][order].clamp(min=0)
    np.testing.assert_allclose([one["box"] for one in found], boxes.numpy(), atol=1e-4)
    np.testing.assert_allclose([one["score"] for one in found], wanted["scores"][order].numpy(), atol=1e-5)
    assert not _result("vision", (model, processor), VisionCall(images=["x"], threshold=0.9), [FILE])["boxes"]


def test_points_of_one_label_are_one_mask(served):
    """SRV-6, UI-5: of the picture's own size, as transformers' own map says."""
    model, processor = served("vision", "segformer")
    answer = _answer("vision", (model, processor), VisionCall(images=["x"], threshold=0), [FILE])
    output = model(**processor(PICTURE, return_tensors="pt"))
    wanted = processor.post_process_semantic_segmentation(output, target_sizes=[(70, 90)])[0].numpy()
    masks = answer.value["results"][0]["masks"]
    assert {one["label"] for one in masks} == {model.config.id2label[label] for label in np.unique(wanted).tolist()}
    for one in masks:
        mask = _mask(answer, one["mask"]["$blob"])
        np.testing.assert_array_equal(mask, wanted == model.config.label2id[one["label"]])


def test_masks_of_large_pictures_are_found_smaller_and_enlarged(served, monkeypatch):
    """SEC-4: at each pixel every label has a number."""
    monkeypatch.setattr("lorasmith.families._seeing.MOST_MASK_PIXELS", 1000)
    answer = _answer("vision", served("vision", "segformer"), VisionCall(images=["x"], threshold=0), [FILE])
    masks = [_mask(answer, number) for number in range(len(answer.blobs))]
    assert {mask.shape for mask in masks} == {(70, 90)}
    assert np.sum(masks, axis=0).min() == np.sum(masks, axis=0).max() == 1


def test_things_and_areas_have_masks(served):
    """SRV-6: panoptic segmentation as transformers does it."""
    import transformers

    from lorasmith.testing.tiny.vision import MODELS

    fields = {
        **MODELS["detr"].fields,
        "d_model": 64,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "num_queries": 1,
    }
    backbone = {**fields["backbone_config"], "hidden_sizes": [8, 16, 16, 32], "depths": [1] * 4, "out_features": [f"stage{at}" for at in range(1, 5)]}  # fmt: skip
    config = transformers.DetrConfig(**{**fields, "backbone_config": backbone})
    model = transformers.DetrForSegmentation(config).eval().requires_grad_(False)
    model.detr.class_labels_classifier.bias[1] = 5
    _, processor = served("vision", "detr")
    answer = _answer("vision", (model, processor), VisionCall(images=["x"], threshold=0.1), [FILE])
    output = model(**processor(PICTURE, return_tensors="pt"))
    wanted = processor.post_process_panoptic_segmentation(
        output, threshold=0.1, target_sizes=[(70, 90)], label_ids_to_fuse=set()
    )[0]
    masks = answer.value["results"][0]["masks"]
    assert masks
    for one, segment in zip(masks, sorted(wanted["segments_info"], key=lambda one: -one["score"]), strict=True):
        assert one["label"] == config.id2label[segment["label_id"]] == "dog"
        np.testing.assert_array_equal(_mask(answer, one["mask"]["$blob"]), wanted["segmentation"] == segment["id"])


@pytest.mark.parametrize("name", ["depth_anything", "dpt"])
def test_depth_has_a_grey_level_for_each_pixel(served, name):
    """SRV-6"""
    model, processor = served("vision", name)
    answer = _answer("vision", (model, processor), VisionCall(images=["x"]), [FILE])
    output = model(**processor(PICTURE, return_tensors="pt"))
    depth = processor.post_process_depth_estimation(output, target_sizes=[(70, 90)])[0]["predicted_depth"].numpy()
    result = answer.value["results"][0]
    np.testing.assert_allclose(result["depth_range"], [depth.min(), depth.max()], rtol=1e-4)
    wanted = (depth - depth.min()) / (depth.max() - depth.min()) * 255
    assert np.abs(_mask(answer, result["depth"]["$blob"]).astype(float) - wanted).max() < 1


def test_points_cut_out_what_is_there(served):
    """SRV-6, UI-5: the best mask first, as SAM's own processing draws it; a point must be in the picture."""
    model, processor = served("vision", "sam")
    points = [(20, 20), (30.5, 25)]
    answer = _answer("vision", (model, processor), VisionCall(images=["x"], points=points, threshold=0), [FILE])
    read = processor(PICTURE, input_points=[[list(map(list, points))]], return_tensors="pt")
    output = model(**{name: read[name].float() for name in ("pixel_values", "input_points")})
    masks = processor.post_process_masks(output.pred_masks, read["original_sizes"], read["reshaped_input_sizes"])[0][0]
    best = int(output.iou_scores.argmax())
    found = answer.value["results"][0]["masks"]
    assert found[0]["score"] == pytest.approx(float(output.iou_scores.max()), abs=1e-5)
    np.testing.assert_array_equal(_mask(answer, found[0]["mask"]["$blob"]), masks[best].numpy())
    with pytest.raises(UsageProblem, match=r"\[90, 20\] is outside the picture, which has 90 × 70 pixels"):
        _value("vision", (model, processor), VisionCall(images=["x"], points=[(90, 20)]), [FILE])
    with pytest.raises(UsageProblem, match="no points were given"):
        _value("vision", (model, processor), VisionCall(images=["x"]), [FILE])


@pytest.fixture(scope="module")
def finder():
    """OWL-ViT, small and random: it finds what words describe."""
    import transformers

    from lorasmith.testing.tiny.embedding import CLIP_TEXT
    from lorasmith.testing.tiny.sizes import PATCHES, SQUARE
    from lorasmith.testing.tiny.tokenizers import make

    text = {**CLIP_TEXT, "max_position_embeddings": 16}
    config = transformers.OwlViTConfig(text_config=text, vision_config=PATCHES, projection_dim=32)
    pixels = transformers.OwlViTImageProcessorPil(size=SQUARE, crop_size=SQUARE)
    processor = transformers.OwlViTProcessor(image_processor=pixels, tokenizer=make("clip"))
    return transformers.OwlViTForObjectDetection(config).eval().requires_grad_(False), processor


def test_words_say_what_to_look_for(finder):
    """SRV-6"""
    model, processor = finder
    words = ["a cat", "a dog"]
    found = _result("vision", finder, VisionCall(images=["x"], words=words, threshold=0), [FILE])["boxes"]
    output = model(**processor(images=PICTURE, text=[words], padding=True, return_tensors="pt"))
    wanted = processor.post_process_grounded_object_detection(
        output, threshold=0, target_sizes=[(70, 90)], text_labels=[words]
    )[0]
    assert len(found) == len(wanted["scores"]) > 0
    assert sorted(one["label"] for one in found) == sorted(wanted["text_labels"])
    inside = wanted["boxes"].clamp(min=0).numpy().clip(max=[90, 70, 90, 70])
    np.testing.assert_allclose(sorted(one["box"] for one in found), sorted(inside.tolist()), atol=1e-3)


def test_what_a_model_cannot_look_for_is_refused(served, finder):
    """SRV-9"""
    for call, problem in [
        (VisionCall(images=["x"], words=["cat"]), "does not look for words"),
        (VisionCall(images=["x"], points=[(1, 1)]), "cuts nothing out"),
    ]:
        with pytest.raises(UsageProblem, match=problem):
            _value("vision", served("vision", "vit"), call, [FILE])
    with pytest.raises(UsageProblem, match="no words were given"):
        _value("vision", finder, VisionCall(images=["x"]), [FILE])
    with pytest.raises(UsageProblem, match="tokens long, and the model reads 16"):
        _value("vision", finder, VisionCall(images=["x"], words=["cat " * 30]), [FILE])
    with pytest.raises(DataProblem, match="Image 2 is no picture"):
        _value("vision", served("vision", "vit"), VisionCall(images=["x", "x"]), [FILE, b"no picture"])


def test_what_no_form_is_known_for_is_refused():
    """SRV-9: videos, larger pictures, and models that see a random part."""
    import transformers as hf

    from lorasmith.testing.tiny.sizes import PATCHES, SQUARE

    pixels = hf.ViTImageProcessorPil(size=SQUARE)
    scaled = hf.Swin2SRConfig(image_size=32, embed_dim=16, depths=[1], num_heads=[2], window_size=4)
    hidden = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    for model, problem in [
        (hf.VideoMAEForVideoClassification(hf.VideoMAEConfig(**PATCHES, num_frames=4)), "looks at videos"),
        (hf.Swin2SRForImageSuperResolution(scaled), "makes of a picture cannot be served yet"),
        (hf.ViTMAEForPreTraining(hf.ViTMAEConfig(**PATCHES, **hidden)), "a random part"),
    ]:
        with pytest.raises(UsageProblem, match=problem):
            _value("vision", (model.eval(), pixels), VisionCall(images=["x"]), [FILE])


# Document.


@pytest.mark.parametrize("name", ["donut", "trocr", "trocr_deit"])
def test_pages_are_written_down_as_generate_does(served, name):
    """SRV-6: one result for each page, from the task that the model was made for."""
    model, processor = served("document", name)
    pages = [PICTURE, _noise(seed=3)]
    made = _value("document", (model, processor), DocumentCall(images=["x", "x"], max_tokens=9), map(_png, pages))
    for page, result in zip(pages, made["results"], strict=True):
        pixels = processor.image_processor(page, return_tensors="pt")["pixel_values"]
        ids = model.generate(pixels, max_new_tokens=9)
        assert result["text"] == processor.tokenizer.batch_decode(ids, skip_special_tokens=True)[0].strip()
        assert (result["fields"], result["words"]) == ({}, [])


def test_a_prompt_begins_what_is_written_and_must_leave_room(served):
    """SRV-6, SRV-9"""
    pair = served("document", "donut")
    assert _result("document", pair, DocumentCall(images=["x"], prompt="total", max_tokens=3), [FILE])[
        "text"
    ].startswith("total")
    with pytest.raises(UsageProblem, match="knows no <s_invoice>"):
        _value("document", pair, DocumentCall(images=["x"], prompt="<s_invoice>"), [FILE])
    with pytest.raises(UsageProblem, match="tokens long, and the model reads and writes 256"):
        _value("document", pair, DocumentCall(images=["x"], prompt="total " * 300), [FILE])
    with pytest.raises(UsageProblem, match="takes no words"):
        _value("document", pair, DocumentCall(words=["a"], boxes=[(0, 0, 1, 1)]), [])


def test_tags_become_fields(tmp_path):
    """SRV-6: the task's tag is no field, and a question takes Donut's form."""
    from lorasmith.core.samples import ModelChanges
    from lorasmith.families._reading import _beginning, _page

    plugin, folder = FAMILIES.get("document"), tiny.build("donut", tmp_path / "donut")
    model = plugin.load(folder, dtype="float32", device="cpu")
    processor = plugin.processor(folder, model)
    tags = ["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "<s_total>", "</s_total>", "<s_items>", "</s_items>", "<sep/>"]  # fmt: skip
    processor.tokenizer.add_tokens(tags)
    text = "<s_docvqa><s_total>100</s_total><s_items><s_total>1</s_total><sep/><s_total>2</s_total></s_items><|im_end|>"
    ids = processor.tokenizer(text, return_tensors="pt")["input_ids"][0]
    page = _page(processor, processor.tokenizer, ids, ModelChanges())
    assert page["fields"] == {"total": "100", "items": [{"total": "1"}, {"total": "2"}]}
    assert page["text"].startswith("<s_total>100")
    begun = _beginning(model, processor.tokenizer, "what total?")[0]
    assert processor.tokenizer.decode(begun) == "<s_docvqa><s_question>what total?</s_question><s_answer>"


@pytest.mark.parametrize("name", ["layoutlm", "layoutlmv3", "lilt"])
def test_words_are_labelled_where_they_stand(served, name):
    """SRV-6: by the first token of each, as by hand; long pages in windows, no word without a label."""
    import torch

    from lorasmith.families._probes import for_model, words_in_boxes

    model, processor = served("document", name)
    media = [FILE] * (name == "layoutlmv3")
    words, boxes = ["total", "date"], [(10, 20, 90, 30), (100, 20, 200, 30)]
    short = _result("document", (model, processor), DocumentCall(words=words, boxes=boxes), media)
    tokenizer = getattr(processor, "tokenizer", processor)
    if name == "layoutlm":
        read = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        read["bbox"] = torch.tensor([[[0] * 4, *map(list, boxes), [1000] * 4]])
    else:
        read = tokenizer(words, boxes=list(map(list, boxes)), return_tensors="pt")
    seen = processor.image_processor(PICTURE, return_tensors="pt") if media else {}
    best = model(**for_model(model, {**read, **seen})).logits[0].softmax(-1).max(-1)
    firsts = [read.word_ids(0).index(number) for number in range(2)]
    assert [one["label"] for one in short["words"]] == [model.config.id2label[int(best.indices[at])] for at in firsts]
    np.testing.assert_allclose([one["score"] for one in short["words"]], best.values[firsts].numpy(), atol=1e-5)
    assert [one["box"] for one in short["words"]] == list(map(list, boxes))
    assert words_in_boxes(model, processor)  # the load test's input goes in as before

    long = _result("document", (model, processor), DocumentCall(words=WORDS, boxes=BOXES), media)
    assert [one["text"] for one in long["words"]] == WORDS
    assert all(one["label"] and one["score"] > 0 for one in long["words"])
    assert {text for texts in long["fields"].values() for part in ([texts] if isinstance(texts, str) else texts) for text in part.split()} == {one["text"] for one in long["words"] if one["label"] != "O"}  # fmt: skip


def test_a_word_is_labelled_in_the_window_that_shows_most_around_it():
    """SRV-6"""
    import torch
    from transformers import PretrainedConfig

    from lorasmith.families._layouts import Page, Window, _labelled

    config = PretrainedConfig(id2label={0: "first", 1: "second"})
    page = Page(["a", "b", "c", "d", "e"], [[0, 0, 1, 1]] * 5, {})
    shares = {number: {"logits": torch.eye(2)[[number] * 6][None] * 9} for number in (0, 1)}
    windows = [(Window({}, [None, 0, 1, 2, 3, None]), shares[0]), (Window({}, [None, 2, 3, 3, 4, None]), shares[1])]
    made = _labelled(config, page, windows)
    assert [one["label"] for one in made["words"]] == ["first", "first", "first", "second", "second"]
    assert made["fields"] == {"first": "a b c", "second": "d e"}


@pytest.mark.parametrize("name", ["layoutlm", "layoutlmv3"])
def test_a_question_is_answered_with_words_of_the_page(served, name):
    """SRV-6: the likeliest span after the question, wherever it is on the page."""
    import transformers

    from lorasmith.families._batches import reads_at_most
    from lorasmith.families._layouts import Page, windows_of

    labeller, processor = served("document", name)
    config = type(labeller.config)(
        **{**labeller.config.to_dict(), "id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    )
    kind = getattr(transformers, type(labeller).__name__.replace("Token", "Sequence").replace("SequenceClassification", "QuestionAnswering"))  # fmt: skip
    model = kind(config).eval().requires_grad_(False)
    media = [FILE] * (name == "layoutlmv3")
    call = DocumentCall(words=WORDS, boxes=BOXES, prompt="which word is it?")
    result = _result("document", (model, processor), call, media)
    tokenizer = getattr(processor, "tokenizer", processor)
    windows = list(windows_of(tokenizer, Page(WORDS, BOXES, {}), call.prompt, reads_at_most(model, tokenizer)))
    assert len(windows) > 1
    for window in windows:  # each holds the whole question, whose tokens are no words of the page
        ids = window.inputs["input_ids"][0].tolist()
        asked = tokenizer.decode([token for token, word in zip(ids, window.places, strict=True) if word is None])
        assert "whichwordisit?" in asked.replace(" ", "")
        assert "word1" not in asked
    first = WORDS.index(result["words"][0]["text"])
    assert result["text"] == " ".join(WORDS[first : first + len(result["words"])])
    with pytest.raises(UsageProblem, match="none was asked"):
        _value("document", (model, processor), DocumentCall(words=WORDS, boxes=BOXES), media)
    with pytest.raises(UsageProblem, match="no place for the page's words"):
        _value("document", (model, processor), DocumentCall(words=WORDS, boxes=BOXES, prompt="why " * 200), media)


def test_boxes_and_pages_that_do_not_fit_are_refused(served):
    """SRV-9"""
    pair, box = served("document", "layoutlmv3"), (5, 5, 9, 9)
    for call, media, kind, problem in [
        (DocumentCall(words=["a"], boxes=[(9, 5, 5, 9)]), [FILE], DataProblem, r"Box 1 is no place.*\[9, 5, 5, 9\]"),
        (DocumentCall(words=["a"], boxes=[(0, 0, 1001, 9)]), [FILE], DataProblem, "Box 1 is no place"),
        (DocumentCall(words=["a"]), [FILE], UsageProblem, "the boxes are missing"),
        (DocumentCall(words=["a"], boxes=[box]), [], UsageProblem, "no picture was given"),
        (DocumentCall(words=["a"], boxes=[box]), [FILE] * 2, UsageProblem, "2 pictures were given"),
    ]:
        with pytest.raises(kind, match=problem):
            _value("document", pair, call, media)


_STAND_IN = """
class TesseractNotFoundError(Exception): pass

def image_to_data(image, output_type):
    assert (image.size, output_type) == ((90, 70), "dict")
    return {"text": ["", "total", " 100 "], "left": [0, 9, 45], "top": [0, 7, 7], "width": [90, 27, 60], "height": [70, 14, 14]}
"""


def test_words_are_found_in_the_picture_where_tesseract_is(served, tmp_path, monkeypatch):
    """SRV-6: without it the refusal says what is needed. A stand-in for the package; the same picture is read once (DOC-3)."""
    pair = served("document", "layoutlm")
    monkeypatch.setenv("LORASMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "pytesseract", None)
    with pytest.raises(EnvironmentProblem, match="none were given\nThe package pytesseract"):
        _value("document", pair, DocumentCall(images=["x"]), [FILE])
    (tmp_path / "pytesseract.py").write_text(_STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pytesseract", raising=False)
    words = _result("document", pair, DocumentCall(images=["x"]), [FILE])["words"]
    assert [(one["text"], one["box"]) for one in words] == [
        ("total", [100, 100, 400, 300]),
        ("100", [500, 100, 1000, 300]),
    ]
    monkeypatch.setitem(sys.modules, "pytesseract", None)  # what was read once is remembered
    again = _result("document", pair, DocumentCall(images=["x"]), [FILE])["words"]
    assert again == words


# Multimodal: what goes in. How it is answered is the token loop's.


@pytest.mark.parametrize("name", tiny.names_of("multimodal"))
def test_every_architecture_reads_several_pictures_in_their_places(served, name):
    """SRV-5"""
    model, processor = served("multimodal", name)
    inputs = FAMILIES.get("multimodal").inputs
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "first"}, PLACE]},
             {"role": "assistant", "content": "QQ"}, {"role": "user", "content": "and then?"}]  # fmt: skip
    read = inputs(model, processor, turns, [FILE, FILE], {})
    made = model.generate(**read, max_new_tokens=2, do_sample=False)
    assert made.shape[1] == read["input_ids"].shape[1] + 2
    one = inputs(model, processor, QUESTION, [FILE], {})
    assert read["pixel_values"].numel() == 2 * one["pixel_values"].numel()
    text = getattr(processor, "tokenizer", processor).decode(read["input_ids"][0])
    assert text.index("Be kind.") < text.index("first") < text.index("QQ") < text.index("and then?")
    image = getattr(model.config, "image_token_id", None) or model.config.image_token_index
    ids, per_picture = read["input_ids"][0].tolist(), one["input_ids"][0].tolist().count(image)
    tokenizer = getattr(processor, "tokenizer", processor)
    befores = [tokenizer.decode(ids[:at]) for at, each in enumerate(ids) if each == image]
    assert len(befores) == 2 * per_picture > 0
    assert sum("QQ" in before for before in befores) == per_picture


@pytest.mark.parametrize("name", ["llava", "idefics3", "gemma3_vision"])
def test_a_conversation_is_what_the_processor_makes_of_it(served, name):
    """SRV-5"""
    model, processor = served("multimodal", name)
    parts = [PLACE, PLACE, {"type": "text", "text": "Which is older?"}]
    wanted = processor(
        text=[processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)],
        images=[PICTURE, _noise(seed=5)],
        return_tensors="pt",
    )
    made = FAMILIES.get("multimodal").inputs(
        model, processor, [{"role": "user", "content": "Which is older?"}], [FILE, _png(_noise(seed=5))], {}
    )
    assert {"input_ids", "pixel_values", "attention_mask"} <= made.keys()
    for key in made:
        np.testing.assert_array_equal(made[key].numpy(), wanted[key].numpy())


def test_pictures_keep_the_order_in_which_they_are_named():
    """SRV-5: those without a place go before the last user's text, behind what stands before it."""
    from lorasmith.families._conversations import _placed

    text = {"type": "text", "text": "x"}
    turns = [
        {"role": "user", "content": [text, PLACE]},
        {"role": "user", "content": [PLACE, text, PLACE]},
        {"role": "assistant", "content": None},
    ]
    placed, shown = _placed(turns, ["a", "b", "c", "d", "e"])
    assert shown == ["a", "b", "d", "e", "c"]
    assert [len(turn["content"]) for turn in placed] == [2, 5, 0]
    assert placed[1]["content"] == [PLACE, PLACE, PLACE, text, PLACE]


def test_a_conversation_that_cannot_be_read_is_refused(served):
    """SRV-9: never an error of a library."""
    model, processor = served("multimodal", "llava")
    inputs = FAMILIES.get("multimodal").inputs
    for turns, files, problem in [
        ([{"role": "user", "content": [PLACE]}], [], "places for 1 pictures, and 0 were given"),
        ([{"role": "user", "content": "a <image> b"}], [FILE], "holds <image>"),
        ([{"role": "user", "content": [{"type": "video"}]}], [], "of the kind 'video'"),
        ([{"role": "assistant", "content": "x"}], [FILE], "no message of the user"),
    ]:
        with pytest.raises(UsageProblem, match=problem):
            inputs(model, processor, turns, files, {})
    with pytest.raises(UsageProblem, match="does not take this conversation"):
        inputs(*served("multimodal", "paligemma"), QUESTION, [], {})
    with pytest.raises(DataProblem, match="Image 1 is no picture"):
        inputs(model, processor, QUESTION, [b"nothing"], {})


@pytest.mark.parametrize(
    "template",
    [
        "{% for turn in messages %}{{ turn['content'][0]['text'] }}|{% endfor %}",  # parts alone
        "{% for turn in messages %}{{ turn['content'] | trim }}|{% endfor %}",  # texts alone
    ],
)
def test_templates_get_contents_in_the_form_that_they_know(served, template):
    """SRV-5: neither a missing text nor Python's print of a part reaches the model."""
    from transformers import AutoTokenizer

    from lorasmith.families._conversations import _parts, _rendered

    model, _ = served("language", "llama")
    tokenizer = AutoTokenizer.from_pretrained(model.config._name_or_path)
    tokenizer.chat_template = template
    turns = [{"role": role, "content": _parts(text)} for role, text in (("system", "Be kind."), ("user", "Why?"))]
    assert _rendered(tokenizer.apply_chat_template, turns, {}) == "Be kind.|Why?|"


def test_the_token_that_begins_a_text_stands_once(served):
    """SRV-5: where the template writes it, the tokenizer adds none."""
    model, processor = served("multimodal", "llava")
    tokenizer, template = processor.tokenizer, processor.chat_template
    backend = tokenizer.backend_tokenizer
    from tokenizers.processors import TemplateProcessing

    before = backend.post_processor
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    processor.chat_template = "<s>" + template
    try:
        read = FAMILIES.get("multimodal").inputs(model, processor, QUESTION, [FILE], {})
        assert read["input_ids"][0].tolist().count(1) == 1
        processor.chat_template = template
        read = FAMILIES.get("multimodal").inputs(model, processor, QUESTION, [FILE], {})
        assert read["input_ids"][0].tolist().count(1) == 1
    finally:
        processor.chat_template, backend.post_processor = template, before
