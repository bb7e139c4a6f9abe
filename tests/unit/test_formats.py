"""Every format of examples: what a row becomes, what is wrong with one, which files it may name; folders; and noise."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.rows import ANSWER, GOOD, SUM, TOOL, TOOL_CHATS, USER, dataset_folder, read_one, save

from lorasmith.core.errors import DataProblem
from lorasmith.data.examples import RowProblem
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import open_source


@pytest.fixture
def folder(tmp_path):
    return dataset_folder(tmp_path)


def test_the_formats_are_those_of_the_table():
    """DAT-1: and each says which training it is for, the natural one first."""
    assert set(GOOD) == set(FORMATS.names())
    trains = {plugin.name: plugin.objectives for plugin in FORMATS.all() if plugin.objectives != ("sft",)}
    media = dict.fromkeys(
        (
            "image-text",
            "donut",
            "layout",
            "audio-text",
            "labelled",
            "tagged",
            "pairs",
            "masks",
            "objects",
            "coco",
            "images",
        ),
        (),
    )
    assert trains == {"text": ("pretrain",), "preference": ("dpo", "orpo", "sft"), "kto": ("kto", "sft"), **media}


@pytest.mark.parametrize("name", GOOD)
def test_a_row_is_claimed_by_one_format_alone(folder, name):
    """DAT-1"""
    assert [plugin.name for plugin in FORMATS.all() if plugin.claims(GOOD[name])] == [name]
    source = open_source(save(folder, GOOD[name], GOOD[name]))
    assert (source.format.name, len(list(source))) == (name, 2)
    assert len(list(source)) == 2  # again, from the start


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [{"role": "assistant", "content": "5"}]},
        {"chosen": [USER, ANSWER], "rejected": [USER, {"role": "assistant", "content": "5"}]},
        {"prompt": "2+2?", "chosen": [USER, ANSWER], "rejected": [USER, {"role": "assistant", "content": "5"}]},
        {"conversations": [{"from": "human", "value": "2+2?"}], "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"}},
        {"chosen": "\n\nHuman: 2+2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2+2?\n\nAssistant: 5"},
        {"instruction": "2+2?", "input": "", "chosen": "4", "rejected": "5"},
    ],
)  # fmt: skip
def test_preferences_have_a_prompt_and_two_answers(folder, row):
    """DAT-1"""
    example = read_one(folder, row)
    assert example.messages == [USER, ANSWER]
    assert example.rejected == [{"role": "assistant", "content": "5"}]
    assert example.prompt_turns == 1


def test_a_preference_may_branch_late_in_a_conversation(folder):
    """DAT-1"""
    before = [{"role": "system", "content": "s"}, USER, ANSWER, {"role": "user", "content": "And?"}]
    one, two = {"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"}
    example = read_one(folder, {"chosen": [*before, one], "rejected": [*before, two]})
    assert (example.messages, example.rejected, example.prompt_turns) == ([*before, one], [two], 4)


@pytest.mark.parametrize("label", [True, False, 1, 0, "true", "False", "1"])
def test_a_judgement_says_whether_the_answer_was_liked(folder, label):
    """DAT-1"""
    example = read_one(folder, {"prompt": [USER], "completion": [ANSWER], "label": label})
    assert (example.messages, example.is_good, example.prompt_turns) == (
        [USER, ANSWER], str(label).lower() in ("true", "1"), 1
    )  # fmt: skip


@pytest.mark.parametrize("name", TOOL_CHATS)
def test_calls_of_tools_come_in_the_form_of_chat_templates(folder, name):
    """DAT-1"""
    example = read_one(folder, TOOL_CHATS[name])
    assert example.tools == [TOOL]
    user, call, result, answer = example.messages
    assert (user, answer) == (USER, ANSWER)
    assert (call["role"], call["content"]) == ("assistant", "")
    assert [made["function"] for made in call["tool_calls"]] == [SUM["function"]]
    assert (result["role"], result["content"]) == ("tool", '{"sum":4}')
    if name != "sharegpt":
        assert (call["tool_calls"][0]["id"], result["tool_call_id"], result["name"]) == ("c1", "c1", "add")


def test_thoughts_are_handed_through(folder):
    """DAT-1"""
    answer = {**ANSWER, "reasoning_content": "two and two"}
    assert read_one(folder, {"messages": [USER, answer]}).messages == [USER, answer]


@pytest.mark.parametrize(
    ("row", "images", "audio"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}, ANSWER], "images": ["a.png"]}, ("a.png",), ()),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "sub/d.png"}}]}, ANSWER]}, ("sub/d.png",), ()),
        ({"messages": [{"role": "user", "content": [{"type": "audio", "audio": "c.wav"}]}, ANSWER]}, (), ("c.wav",)),
        ({"conversations": [{"from": "human", "value": "<image>\n?"}, {"from": "gpt", "value": "4"}], "image": "a.png"}, ("a.png",), ()),
        ({"question": "?", "answer": "4", "image": {"path": "b.jpg"}}, ("b.jpg",), ()),
        ({"file_name": "b.jpg", "text": "a cat"}, ("b.jpg",), ()),
        ({"images": ["a.png", "b.jpg"], "caption": "two cats"}, ("a.png", "b.jpg"), ()),
        ({"file_name": "c.wav", "transcription": "hello"}, (), ("c.wav",)),
        ({"path": "c.wav", "sentence": "hello"}, (), ("c.wav",)),
        ({"file_name": "a.png", "label": 3}, ("a.png",), ()),
    ],
)  # fmt: skip
def test_pictures_and_recordings_are_found_wherever_rows_name_them(folder, row, images, audio):
    """DAT-1"""
    example = read_one(folder, row)
    assert (example.images, example.audio) == (images, audio)
    assert example.needs


def test_what_a_document_says_may_be_json_in_a_string(folder):
    """DAT-1"""
    row = {"file_name": "a.png", "ground_truth": json.dumps({"gt_parse": {"menu": [{"nm": "tea"}]}})}
    assert read_one(folder, row).target == {"menu": [{"nm": "tea"}]}


def test_words_have_places_and_classes(folder):
    """DAT-1"""
    example = read_one(folder, GOOD["layout"])
    assert (example.words, example.boxes, example.tags) == (("Total", "12"), ((0, 0, 9, 9), (10, 0, 20, 1000)), (1, 2))
    assert example.images == ("a.png",)


AREAS = ((20, 10, 84, 58), (0, 0, 1.5, 2))
COCO = {
    "images": [{"id": "one", "file_name": "a.png"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": "one", "category_id": 3, "bbox": [20, 10, 64, 48]},
        {"image_id": "one", "category_id": 3, "bbox": [0, 0, 64, 48], "iscrowd": 1},
        {"image_id": "one", "category_id": 9, "bbox": [0, 0, 1.5, 2], "iscrowd": 0},
    ],
    "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
}


@pytest.mark.parametrize(
    "objects",
    [
        {"bbox": [[20, 10, 64, 48], [0, 0, 1.5, 2]], "category": ["cat", "dog"]},
        {"id": [1, 2], "area": [1, 1], "bboxes": [[20, 10, 64, 48], [0, 0, 1.5, 2]], "label": ["cat", "dog"]},
        [{"bbox": [20, 10, 64, 48], "category": "cat"}, {"bbox": [0, 0, 1.5, 2], "category": "dog"}],
    ],
)
def test_things_have_boxes_and_classes(folder, objects):
    """DAT-1: boxes are COCO's, left, top, width and height; as lists side by side or as objects, as the Hub has both."""
    example = read_one(folder, {"file_name": "a.png", "objects": objects})
    assert (example.images, example.areas, example.tags) == (("a.png",), AREAS, ("cat", "dog"))
    assert read_one(folder, {"image": "a.png", "objects": {"bbox": [], "category": []}}).areas == ()
    assert read_one(folder, {"image": "a.png", "objects": {"bbox": [[1, 2, 3, 4]], "category": [0]}}).tags == ("0",)


def test_one_file_of_coco_is_many_pictures(folder):
    """DAT-1: boxes by picture and names of classes by number; crowds are left out; a picture without things stays."""
    source = open_source(save(folder, COCO, name="instances.json"))
    one, two = source
    assert source.format.name == "coco"
    assert (one.images, one.areas, one.tags) == (("a.png",), AREAS, ("cat", "dog"))
    assert (two.images, two.areas, two.tags) == (("b.jpg",), (), ())
    (folder / "instances.json").write_text(json.dumps(COCO, indent=2))
    assert list(open_source(folder)) == [replace(example, file="instances.json") for example in (one, two)]
    assert one.key() != replace(one, areas=AREAS[::-1]).key()


def wrong(name, **changes):
    row = GOOD[name] | changes
    return {key: value for key, value in row.items() if value is not ...}


CHAT = [USER, ANSWER]
BAD = [
    (wrong("alpaca", output=...), "'output' is missing"),
    (wrong("alpaca", output=None), "'output' is null"),
    (wrong("alpaca", output={"a": 1}), "'output' must be text, found an object"),
    (wrong("alpaca", output=True), "found true/false"),
    (wrong("alpaca", history=5), "'history' must be a list"),
    (wrong("alpaca", history=[["a"]]), "pairs"),
    (wrong("alpaca", history=[["a", None]]), "'history' must be text, found null"),
    (wrong("alpaca", tools="x"), "'tools' is no JSON"),
    (wrong("self-instruct", instances=[]), "found an empty list"),
    (wrong("self-instruct", instances={"input": ""}), "found an object"),
    (wrong("self-instruct", instances=[5]), "found a number"),
    (wrong("self-instruct", instances=[{"input": "x"}]), "'output' is missing"),
    (wrong("sharegpt", conversations=None), "found null"),
    (wrong("sharegpt", conversations=[]), "is empty"),
    (wrong("sharegpt", conversations=[5]), "turn 1 must be an object"),
    (wrong("sharegpt", conversations=[{"value": "x"}]), "turn 1 must be an object with 'role'"),
    (wrong("sharegpt", conversations=[{"from": "wizard", "value": "x"}]), "unknown role 'wizard'"),
    (wrong("sharegpt", conversations=[{"from": ["gpt"], "value": "x"}]), "unknown role"),
    (wrong("sharegpt", conversations=[{"from": "human", "value": "x"}]), "no answer"),
    (wrong("sharegpt", conversations=[{"from": "function_call", "value": "x"}]), "must call a function"),
    (wrong("sharegpt", system=[]), "'system' must be text"),
    (wrong("openai", messages="hello"), "must be a list of turns, found a string"),
    (wrong("openai", messages=[USER, {"role": "assistant"}]), "turn 2 has no text"),
    (wrong("openai", messages=[USER, {"role": "assistant", "content": 5}]), "turn 2 has no text, but a number"),
    (wrong("openai", messages=[USER, {"role": "assistant", "content": []}]), "turn 2 has no text, but a list"),
    (wrong("openai", messages=[USER, {"role": "assistant", "content": [{"type": "video"}]}]), "unknown type 'video'"),
    (wrong("openai", messages=[USER, {"role": "assistant", "content": [{"type": "text"}]}]), "found null"),
    (wrong("openai", messages=[{"role": "user", "content": [{"type": "image", "image": [1]}]}, ANSWER]), "must name a file"),
    (wrong("openai", messages=[{**USER, "tool_calls": [SUM]}, ANSWER]), "is not the assistant's"),
    (wrong("openai", messages=[USER, {"role": "assistant", "tool_calls": 5}]), "'tool_calls' of turn 2 must be a list"),
    (wrong("openai", messages=[USER, {"role": "assistant", "tool_calls": [{}]}]), "has no name"),
    (wrong("openai", messages=[USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]), "must be a JSON object"),
    (wrong("openai", messages=[USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}]), "must be a JSON object"),
    (wrong("openai", tools=[{"type": "function"}]), "'name'"),
    (wrong("openai", tools={"name": "f"}), "'tools' must be a list"),
    (wrong("prompt-completion", completion=...), "'completion' is missing"),
    (wrong("prompt-completion", prompt={"a": 1}), "'prompt' must be text"),
    (wrong("prompt-completion", completion=[USER]), "no answer"),
    (wrong("question-answer", answer=...), "'answer' is missing"),
    (wrong("question-answer", answer=["4"]), "found a list"),
    (wrong("text", text="  "), "'text' is empty"),
    (wrong("text", text=["a"]), "found a list"),
    (wrong("preference", rejected=...), "'rejected' is missing"),
    (wrong("preference", rejected=None), "'rejected' must be text or a list of turns, found null"),
    (wrong("preference", rejected="4"), "are the same"),
    (wrong("preference", prompt=...), "'prompt' is missing"),
    (wrong("preference", prompt=None), "'prompt' is null"),
    (wrong("preference", chosen=[USER]), "no answer"),
    (wrong("kto", label="maybe"), "must be true or false, found 'maybe'"),
    (wrong("kto", label=None), "must be true or false, found null"),
    (wrong("kto", label=2), "must be true or false"),
    (wrong("kto", completion=...), "'completion' is missing"),
    (wrong("image-text", image=None), "names no file"),
    (wrong("image-text", image=[5]), "must name a file, found a number"),
    (wrong("image-text", image={"bytes": "abc", "path": "a.png"}), "holds the file itself"),
    (wrong("image-text", text=" "), "is empty"),
    (wrong("image-text", image="none.png"), "there is no file 'none.png'"),
    (wrong("image-text", image="sub"), "is no file"),
    (wrong("donut", ground_truth="{"), "'ground_truth' is no JSON"),
    (wrong("donut", ground_truth=[]), "must be an object with 'gt_parse'"),
    (wrong("donut", ground_truth={}), "'gt_parse' must be an object"),
    (wrong("donut", file_name=None), "names no file"),
    (wrong("layout", words=[]), "there are no words"),
    (wrong("layout", words=["a"]), "1 words, 2 boxes and 2 tags"),
    (wrong("layout", bboxes=[[0, 0, 1], [0, 0, 1, 1]]), "box 1 must be four numbers"),
    (wrong("layout", bboxes=[[0, 0, 1, 1], [0, 0, 1, 1001]]), "box 2 must hold numbers from 0 to 1000, found 1001"),
    (wrong("layout", bboxes=[[5, 0, 1, 1], [0, 0, 1, 1]]), "box 1 ends before it begins"),
    (wrong("layout", ner_tags=...), "'ner_tags' is missing"),
    (wrong("layout", ner_tags=[None, 1]), "a tag must be a name or a number"),
    (wrong("audio-text", audio=""), "names no file"),
    (wrong("audio-text", text=5.5, audio="x.wav"), "there is no file"),
    (wrong("labelled", label=None), "'label' must be a name or a number, found null"),
    (wrong("labelled", label=[1]), "found a list"),
    (wrong("labelled", text=""), "neither a text nor a file"),
    (wrong("objects", objects={"bbox": [[1, 2, 3, 4]]}), "'category' is missing; there is: bbox"),
    (wrong("objects", objects={"bbox": [[1, 2, 3, 4]], "category": []}), "1 boxes and 0 classes"),
    (wrong("objects", objects={"bbox": [[1, 2, 3]], "category": ["a"]}), "box 1 must be four numbers"),
    (wrong("objects", objects={"bbox": [[1, 2, 0, 4]], "category": ["a"]}), "box 1 has no area: 0 × 4"),
    (wrong("objects", objects={"bbox": [[1, 2, "3", 4]], "category": ["a"]}), "box 1 must hold numbers, found 3"),
    (wrong("objects", objects={"bbox": [[1, 2, 3, 4]], "category": [None]}), "'category' must be text, found null"),
    (wrong("objects", objects={"bbox": 5, "category": []}), "'objects' must hold two lists"),
    (wrong("objects", objects=[5]), "thing 1 must be an object with bbox and category, found a number"),
    (wrong("objects", objects=5), "found a number"),
    (wrong("objects", file_name=None), "there must be one picture, found 0"),
    (wrong("objects", file_name="none.png"), "there is no file 'none.png'"),
    (wrong("coco", annotations=[{"image_id": 8, "category_id": 3}]), "annotation 1 is of the picture 8, which is not among"),
    (wrong("coco", annotations=[{"image_id": 7, "category_id": 4}]), "annotation 1 is of the category 4, which is not among"),
    (wrong("coco", annotations=[{"image_id": 7, "category_id": 3}]), "annotation 1 ('a.png') must be four numbers"),
    (wrong("coco", annotations=[{"category_id": 3}]), "annotation 1 has no 'image_id'"),
    (wrong("coco", annotations=[5]), "annotation 1 must be an object, found a number"),
    (wrong("coco", images=[{"id": 7}]), "image has no 'file_name'"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "said"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_row_among_good_ones_is_named_by_its_line(folder, row, said):
    """DAT-4: and is left out only when that is asked for."""
    best = max(GOOD, key=lambda name: len(GOOD[name].keys() & row.keys()) - len(GOOD[name].keys() ^ row.keys()))
    good = GOOD[best]
    path = save(folder, good, row, good)
    with pytest.raises(DataProblem) as caught:
        list(open_source(path, format_name=best))
    assert caught.value.what.startswith("Line 2 of 'data.jsonl' cannot be used: ")
    assert said in caught.value.what
    assert "--skip-bad-rows" in caught.value.fix
    source = open_source(path, format_name=best, skip_bad_rows=True)
    assert len(list(source)) == 2
    assert [line for line, _ in source.bad_rows.problems] == [2]


def test_rows_of_parquet_may_hold_what_json_cannot(folder):
    """DAT-4"""
    import datetime

    calls = [{"name": "f", "arguments": {"when": datetime.date(2020, 1, 1)}}]
    for column in ({"answer": b"bytes"}, {"answer": datetime.date(2020, 1, 1)}):
        pq.write_table(pa.Table.from_pylist([{"question": "?", **column}]), folder / "t.parquet")
        with pytest.raises(DataProblem, match="'answer' must be text, found a value of type"):
            list(open_source(folder / "t.parquet"))
    assert orjson.dumps(calls)
    with pytest.raises(RowProblem, match="cannot be written as JSON"):
        FORMATS.get("openai").read(
            1, {"messages": [USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": b"x"}}]}]}
        )
