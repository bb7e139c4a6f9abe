"""A good row of every format of examples, for the tests of its readers."""

from __future__ import annotations

import json

import orjson

from lorasmith.data.load import open_source

USER, ANSWER = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
SUM = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
FILES = ("a.png", "b.jpg", "c.wav", "sub/d.png")
GOOD = {
    "alpaca": {"instruction": "2+2?", "output": "4"},
    "self-instruct": {"instruction": "Add.", "instances": [{"input": "2+2", "output": "4"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
    "openai": {"messages": [USER, ANSWER]},
    "prompt-completion": {"prompt": "2+2?", "completion": "4"},
    "question-answer": {"question": "2+2?", "answer": "4"},
    "text": {"text": "Once upon a time."},
    "preference": {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
    "kto": {"prompt": "2+2?", "completion": "4", "label": True},
    "image-text": {"image": "a.png", "text": "a cat"},
    "donut": {"file_name": "a.png", "ground_truth": {"gt_parse": {"total": "12.00"}}},
    "layout": {"words": ["Total", "12"], "bboxes": [[0, 0, 9, 9], [10, 0, 20, 1000]], "ner_tags": [1, 2], "image": "a.png"},
    "audio-text": {"audio": "c.wav", "text": "good morning"},
    "labelled": {"text": "Great film!", "label": "positive"},
    "tagged": {"tokens": ["Anna", "sleeps"], "ner_tags": ["B-PER", "O"]},
    "pairs": {"anchor": "capital of France", "positive": "Paris", "negative": "Rome"},
    "masks": {"image": "a.png", "mask": "a.png"},
    "objects": {"file_name": "a.png", "objects": {"bbox": [[20, 10, 64, 48]], "category": ["cat"]}},
    "coco": {
        "images": [{"id": 7, "file_name": "a.png"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [20, 10, 64, 48]}],
        "categories": [{"id": 3, "name": "cat"}],
    },
    "images": {"image": "a.png"},
}  # fmt: skip

TOOL_CHATS = {
    "openai": {
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **SUM}]},
                     {"role": "tool", "tool_call_id": "c1", "name": "add", "content": {"sum": 4}}, ANSWER],
        "tools": [TOOL],
    },
    "arguments in a string": {
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}]},
            {"role": "tool", "tool_call_id": "c1", "name": "add", "content": '{"sum":4}'}, ANSWER],
        "tools": json.dumps([TOOL]),
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": "2+2?"},
                          {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2, "b": 2}}'},
                          {"from": "observation", "value": '{"sum":4}'}, {"from": "gpt", "value": "4"}],
        "tools": json.dumps([TOOL["function"]]),
    },
}  # fmt: skip


def save(folder, *rows, name="data.jsonl"):
    path = folder / name
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    return path


def dataset_folder(parent):
    """A dataset's folder with pictures and recordings, and a secret beside it."""
    root = parent / "set"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (parent / "secret.png").write_bytes(b"secret")
    return root


def read_one(folder, row):
    (example,) = open_source(save(folder, row))
    return example
