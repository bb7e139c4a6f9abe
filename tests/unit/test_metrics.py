"""Every metric beside the library or the example that defines it, and the combined score."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem
from lorasmith.evaluation._base import Answered, Parts
from lorasmith.evaluation._libraries import need
from lorasmith.evaluation.choose import suitable
from lorasmith.evaluation.combine import Combined
from lorasmith.evaluation.metrics import METRICS, metrics_of

PAIRS = [
    ("the cat sat on the mat", "the cat sat on a mat"),
    ("Der Hund schläft", "Der Hund schläft"),
    ("кошка сидит на ковре", "кошка лежит на ковре"),
    ("我喜欢苹果", "我喜欢梨"),
    ("one two three", ""),
    ("invoice total 9675.92 GBP", "total invoice 9675.92"),
]


def row(wanted: str, answer: str, *, nll: float = 1.0, tokens: int = 1) -> Answered:
    return Answered(prompt="", wanted=wanted, answer=answer, nll=nll, tokens=tokens)


def parts_of(name: str, pairs: list[tuple[str, str]]) -> list[Parts]:
    found = [METRICS.get(name).parts(row(wanted, answer)) for wanted, answer in pairs]
    return [one for one in found if one is not None]


def figures(name: str, pairs: list[tuple[str, str]]) -> dict[str, float]:
    return METRICS.get(name).total(parts_of(name, pairs))


@pytest.mark.parametrize(("name", "kind"), [("bleu", "BLEU"), ("chrf", "CHRF")])
def test_sacrebleus_figures_are_its_own(name: str, kind: str) -> None:
    """EVA-5: added up row by row they are what the library gives for the whole."""
    import sacrebleu.metrics

    wanted, answers = zip(*PAIRS, strict=True)
    own = getattr(sacrebleu.metrics, kind)().corpus_score(list(answers), [list(wanted)]).score
    assert figures(name, PAIRS)[name] == pytest.approx(own / 100)
    assert own > 10


@pytest.mark.parametrize(("name", "function"), [("cer", "cer"), ("wer", "wer")])
def test_error_rates_are_jiwers(name: str, function: str) -> None:
    """EVA-5"""
    import jiwer

    wanted, answers = zip(*PAIRS, strict=True)
    assert figures(name, PAIRS)[name] == pytest.approx(getattr(jiwer, function)(list(wanted), list(answers)))


@pytest.mark.parametrize(
    ("name", "answer", "rate"), [("cer", "abc", 3), ("cer", "", 0), ("wer", "a b", 2), ("wer", "", 0)]
)
def test_an_answer_to_nothing_counts_what_is_too_much(name: str, answer: str, rate: float) -> None:
    """EVA-5: jiwer refuses an empty wanted text."""
    assert figures(name, [("", answer)])[name] == rate


def test_rouge_is_googles_for_english_and_counts_other_alphabets() -> None:
    """EVA-5: the library's own tokenizer would find nothing in Russian or Chinese."""
    from rouge_score.rouge_scorer import RougeScorer

    own = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(PAIRS[0][0], PAIRS[0][1])
    found = figures("rouge", PAIRS[:1])
    assert found == pytest.approx(
        {"rouge_1": own["rouge1"].fmeasure, "rouge_2": own["rouge2"].fmeasure, "rouge_l": own["rougeL"].fmeasure}
    )
    assert figures("rouge", [PAIRS[2]])["rouge_1"] == pytest.approx(0.75)
    assert figures("rouge", [PAIRS[3]])["rouge_1"] == pytest.approx(2 * 3 / 5 * 3 / 4 / (3 / 5 + 3 / 4))


def test_accuracy_and_macro_f1_of_labels() -> None:
    """EVA-5: worked by hand: b is wanted twice and found once, an unknown answer is wrong for all."""
    pairs = [("a", " A "), ("a", "a"), ("b", "a"), ("b", "b"), ("c", "who knows")]
    found = figures("accuracy", pairs)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (2 + 1) + 0) / 3)


def test_anls_is_nothing_below_a_half() -> None:
    """EVA-5: example values of the definition: 1 - distance / longer, 0 below 0.5."""
    assert figures("anls", [("Paris", "paris ")])["anls"] == 1
    assert figures("anls", [("Paris", "Pariss")])["anls"] == pytest.approx(1 - 1 / 6)
    assert figures("anls", [("Paris", "London")])["anls"] == 0


def test_field_f1_counts_fields_at_their_paths() -> None:
    """EVA-5: lists may be in another order; an answer that is no JSON has no field right."""
    wanted = {"total": 12.5, "items": [{"name": "bread"}, {"name": "milk"}], "note": ""}
    shuffled = {"items": [{"name": "milk"}, {"name": "bread"}], "note": "", "total": 12.5}
    wrong = {"total": 12, "items": [{"name": "bread"}], "extra": 1}
    found = figures("field_f1", [(json.dumps(wanted), json.dumps(shuffled))])
    assert (found["field_f1"], found["json_exact"]) == (1, 0)
    found = figures("field_f1", [(json.dumps(wanted), json.dumps(wrong))])
    assert found["field_precision"] == pytest.approx(1 / 3)
    assert found["field_recall"] == pytest.approx(1 / 4)
    assert figures("field_f1", [(json.dumps(wanted), "no JSON")])["field_f1"] == 0
    assert parts_of("field_f1", [("a text", "a text"), ("12", "12")]) == []
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    assert figures("field_f1", [('{"a": 1}', deep)])["field_f1"] == 0


def test_trees_are_as_near_as_the_edits_between_them_are_few() -> None:
    """EVA-5: worked by hand. {"a": 1, "b": 2} is a root, two keys and two values: four edits from nothing."""
    wanted = json.dumps({"a": "1", "b": "2"})
    answers = {
        json.dumps({"b": "2", "a": "1"}): 1.0,  # keys have no order
        json.dumps({"a": "1", "b": "3"}): 1 - 1 / 4,  # one value is another
        json.dumps({"a": "1"}): 1 - 2 / 4,  # a key and its value are missing
        json.dumps({"a": "1", "c": "4"}): 1 - 2 / 4,  # both are another
        json.dumps({"x": "7", "y": "8", "z": "9"}): 0.0,  # four renamed, two too many: more edits than from nothing
        "no JSON": 0.0,
    }
    for answer, near in answers.items():
        assert figures("json_tree", [(wanted, answer)])["json_tree"] == pytest.approx(near), answer
    listed, turned = json.dumps({"a": ["1", "2"]}), json.dumps({"a": ["2", "1"]})
    assert figures("json_tree", [(listed, turned)])["json_tree"] == pytest.approx(1 - 2 / 5)  # lists have one
    assert figures("json_tree", [(wanted, wanted), (wanted, "")])["json_tree"] == pytest.approx(0.5)
    assert parts_of("json_tree", [("a text", "a text")]) == []


def test_areas_are_added_up_before_they_are_divided() -> None:
    """EVA-5: mean IoU worked by hand, of [given, wanted, both] for each class over two pictures; no mask has the third class."""
    first = json.dumps({"pixels": {"0": [6, 8, 6], "1": [4, 2, 2], "2": [0, 0, 0]}})
    second = json.dumps({"pixels": {"0": [2, 0, 0], "1": [6, 10, 6], "2": [2, 0, 0]}})
    found = figures("mean_iou", [("", first), ("", second)])
    assert found["mean_iou"] == pytest.approx((6 / (8 + 8 - 6) + 8 / (10 + 12 - 8)) / 2)
    assert found["pixel_accuracy"] == pytest.approx((6 + 8) / (8 + 12))
    assert parts_of("mean_iou", [("", "no JSON"), ("", "{}")]) == []


def _pictures_with_boxes(draws: random.Random, number: int) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """What is in each picture, and what was found: much of it moved a little, some missed, some invented, scores often alike."""
    rows: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
    for _ in range(number):
        there: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for _ in range(draws.randrange(6)):
            left, top, width, height = (draws.uniform(1, 60) for _ in range(4))
            label = draws.choice("abc")
            if there and draws.random() < 0.4:  # beside another of its kind: a box can be meant for either
                (left, top, *_), label = there[-1]["box"], there[-1]["label"]
                left, top = left + draws.uniform(0, 5), top + draws.uniform(0, 5)
            there.append({"label": label, "box": [left, top, left + width, top + height]})
            for _ in range(draws.choice([0, 1, 1, 2])):
                moved = [edge + draws.uniform(-8, 8) * draws.random() for edge in there[-1]["box"]]
                box = [*moved[:2], max(moved[0] + 1, moved[2]), max(moved[1] + 1, moved[3])]
                found.append({"label": draws.choice(label * 4 + "abcd"), "score": round(draws.random(), 1), "box": box})
        rows.append((there, found))
    return rows


def _by_pycocotools(rows: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]) -> list[float]:
    """AP, AP50 and AP75."""

    def listed(boxes: list[dict[str, Any]], picture: int) -> Iterator[dict[str, Any]]:
        for box in boxes:
            left, top, right, bottom = box["box"]
            size = {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
            yield {
                **size,
                "image_id": picture,
                "category_id": ord(box["label"]),
                "iscrowd": 0,
                "score": box.get("score", 1),
            }

    wanted = [one for number, (there, _) in enumerate(rows, 1) for one in listed(there, number)]
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": number} for number in range(1, len(rows) + 1)],
        "categories": [{"id": ord(name)} for name in "abcd"],
        "annotations": [{"id": number, **one} for number, one in enumerate(wanted, 1)],
    }
    dataset.createIndex()
    found = dataset.loadRes([one for number, (_, found) in enumerate(rows, 1) for one in listed(found, number)])
    evaluation = COCOeval(dataset, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats[:3]]


@pytest.mark.parametrize("seed", range(5))
def test_mean_average_precision_is_cocos(seed: int) -> None:
    """EVA-5: the figures of pycocotools, with scores alike, classes mixed up, pictures without things, and one with 150 boxes."""
    draws = random.Random(seed)
    rows = _pictures_with_boxes(draws, 30)
    rows[0][1].extend(_many(draws))
    pairs = [(json.dumps({"boxes": there}), json.dumps({"boxes": found})) for there, found in rows]
    assert list(figures("map", pairs).values()) == pytest.approx(_by_pycocotools(rows), abs=1e-9)


def _many(draws: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(150):
        left, top = draws.uniform(0, 60), draws.uniform(0, 60)
        yield {"label": "a", "score": draws.random(), "box": [left, top, left + 9, top + 9]}


def test_mean_average_precision_of_ends() -> None:
    """EVA-5: everything found is 1, nothing is 0; a class that is nowhere is not counted, but a box too many costs."""
    there = json.dumps({"boxes": [{"label": "a", "box": [0, 0, 9, 9]}, {"label": "a", "box": [20, 20, 30, 40]}]})
    found = [{"label": "a", "score": 0.9, "box": [0, 0, 9, 9]}, {"label": "a", "score": 0.8, "box": [20, 20, 30, 40]}]
    other = {"label": "b", "score": 0.99, "box": [0, 0, 9, 9]}
    assert figures("map", [(there, json.dumps({"boxes": found}))]) == {"map": 1, "ap_50": 1, "ap_75": 1}
    assert figures("map", [(there, json.dumps({"boxes": [*found, other]}))])["map"] == 1
    assert (
        figures("map", [(there, json.dumps({"boxes": [{**other, "label": "a", "box": [50, 50, 60, 60]}, *found]}))])[
            "map"
        ]
        < 0.7
    )
    assert figures("map", [(there, '{"boxes": []}')])["map"] == 0
    assert figures("map", [('{"boxes": []}', '{"boxes": []}')])["map"] == 0
    assert parts_of("map", [(there, "no JSON"), (there, "{}")]) == []


def test_ranks_become_gains() -> None:
    """EVA-5: nDCG@10 worked by hand: 1 / log2(1 + rank) for one right text, nothing below the tenth."""
    found = figures("retrieval", [("", json.dumps({"rank": rank})) for rank in (1, 3, 10, 11)])
    assert found == pytest.approx(
        {
            "ndcg_at_10": (1 + 1 / 2 + 0.2890648 + 0) / 4,
            "recall_at_1": 1 / 4,
            "recall_at_10": 3 / 4,
            "mrr": (1 + 1 / 3 + 1 / 10 + 1 / 11) / 4,
        }
    )
    assert parts_of("retrieval", [("", "no JSON"), ("", "[1]")]) == []


@pytest.mark.parametrize(
    ("wanted", "answer", "counts"),
    [
        ("O B-PER I-PER O B-LOC", "O B-PER I-PER O B-LOC", (2, 2, 2)),
        ("O B-PER I-PER O B-LOC", "O B-PER O O B-LOC", (1, 2, 2)),
        ("B-PER B-PER", "B-PER I-PER", (0, 2, 1)),
        ("O I-PER I-PER", "O B-PER I-PER", (1, 1, 1)),
        ("B-PER I-LOC", "B-PER O", (1, 2, 1)),
        ("B-A O", "nonsense", (0, 1, 0)),
        ("B-A O", "B-A O B-A B-A", (1, 1, 1)),
    ],
)
def test_entities_count_where_label_and_ends_are_right(wanted: str, answer: str, counts: tuple[int, ...]) -> None:
    """EVA-5: (right, wanted, given); the first five are what seqeval 1.2.2 finds."""
    assert parts_of("seqeval", [(wanted, answer)]) == [counts]


def test_rows_without_tags_say_nothing_of_entities() -> None:
    """EVA-5"""
    assert parts_of("seqeval", [("plain text", "O"), ("", "")]) == []


def test_the_combined_score_is_that_of_the_means() -> None:
    """EVA-4: the example of the specification, and BERTScore alone without a judge."""
    combined = Combined(0.4, 0.6)
    bertscore: list[Parts | None] = [(0.0, 0.0, 0.8234)] * 10
    judge: list[Parts | None] = [(78.5,)] * 5 + [None] * 5
    assert combined.total([one for one in combined.joined(bertscore, judge) if one])["combined"] == pytest.approx(
        0.8004, abs=5e-5
    )
    even = Combined(0.5, 0.5)
    assert even.total([one for one in even.joined(bertscore, judge) if one])["combined"] == pytest.approx(
        (0.8234 + 0.785) / 2
    )
    assert combined.total([one for one in combined.joined(bertscore, []) if one])["combined"] == pytest.approx(0.8234)


def test_names_may_be_cut_short_and_unknown_ones_are_refused() -> None:
    """EVA-1"""
    assert [metric.name for metric in metrics_of("exact, bertscore,,EXACT_MATCH")] == ["exact_match", "bertscore"]
    with pytest.raises(NotFoundProblem, match="bertscore"):
        metrics_of("b")


def test_what_suits_the_answers_is_chosen() -> None:
    """EVA-5: fields for JSON, labels for few short answers, wording for texts."""
    always = ["exact_match", "perplexity"]
    assert suitable(['{"a": 1}'] * 10) == [*always, "field_f1"]
    assert suitable(["yes", "no"] * 10) == [*always, "accuracy"]
    assert suitable([f"a text of some length, number {number}" for number in range(10)]) == [*always, "chrf", "rouge"]
    assert suitable([f"name {number}" for number in range(30)]) == always


def test_a_library_that_is_missing_is_named_with_its_cure() -> None:
    """EVA-5"""
    with pytest.raises(EnvironmentProblem, match="lorasmith\\[evaluate\\]"):
        need("no_such_library.metrics")
