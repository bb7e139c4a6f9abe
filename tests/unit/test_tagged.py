"""JSON as tagged text and back (DOC-1)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lorasmith.families._tagged import as_read, keys_of, tags_for, to_json, to_tags

INVOICE = {
    "total": 3,
    "items": [{"name": "a", "n": 1}, {"name": "b"}],
    "paid": True,
    "note": None,
    "to": {"first name": "x"},
}


def test_an_invoice_is_written_as_donut_writes_it() -> None:
    """DOC-1: `<s_key>…</s_key>`, entries of lists apart by `<sep/>`."""
    assert to_tags(INVOICE) == (
        "<s_total>3</s_total><s_items><s_name>a</s_name><s_n>1</s_n><sep/><s_name>b</s_name></s_items><s_paid>true</s_paid>"
        "<s_note></s_note><s_to><s_first_name>x</s_first_name></s_to>"
    )


def made(rng: random.Random, depth: int = 0) -> Any:
    if depth > 2 or rng.random() < 0.4:
        return rng.choice(["", "x", "two words", 7, 1.5, None, False, "a < b"])
    keys = rng.sample(["a", "b", "long_key", "d e", "ключ"], rng.randint(1, 4))
    return {key: made(rng, depth + 1) for key in keys}


@pytest.mark.parametrize("seed", range(50))
def test_objects_come_back_as_they_were(seed: int) -> None:
    """DOC-1: both ways, for objects of any depth."""
    rng = random.Random(seed)
    value = {"top": made(rng), "items": [{"n": "1"}, {"n": "2"}], "one": [{"n": "3"}], "words": ["a", "b"]}
    _, lists = keys_of(value)
    assert to_json(to_tags(value), tuple(lists)) == as_read(value)


def test_a_list_of_one_is_a_list_where_the_data_say_so() -> None:
    """DOC-1"""
    text = to_tags({"items": ["x"]})
    assert to_json(text) == {"items": "x"}
    assert to_json(text, ("items",)) == {"items": ["x"]}
    assert to_json("<s_items></s_items>", ("items",)) == {"items": []}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [[1]]}, "list inside a list"), ({"a": "x<s_b>y"}, "mark '<s_b>'"), ({"a": "</s_a>"}, "mark '</s_a>'"),
        ({"a": "<sep/>"}, "mark '<sep/>'"), ({"<s_a>": 1}, "cannot be written as a tag"), ({"": 1}, "cannot be written as a tag"),
        ({"a/b": 1}, "cannot be written as a tag"), ({"a b": 1, "a_b": 2}, "keys 'a b' and 'a_b' are both written as <s_a_b>"),
    ],
)  # fmt: skip
def test_what_could_not_be_read_back_is_refused(value: Any, why: str) -> None:
    """DOC-1: nested lists, keys and values with marks in them, two keys for one tag."""
    with pytest.raises(ValueError, match=why):
        to_tags(value)


def test_deep_nesting_is_refused_and_read_without_end() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested"):
        to_tags(deep)
    assert to_json("<s_a>" * 5000)
    assert to_json("</s_a>" * 50) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""), ("plain", "plain"), ("<s_a>x", {"a": "x"}), ("<s_a>x<s_b>y</s_a><s_c>z", {"a": {"b": "y"}, "c": "z"}),
        ("</s_z><s_a>x</s_a>", {"a": "x"}), ("<s_a>1</s_a><s_a>2</s_a>", {"a": ["1", "2"]}), ("<sep/>", ["", ""]),
    ],
)  # fmt: skip
def test_half_written_answers_are_read_as_far_as_they_go(text: str, said: Any) -> None:
    """DOC-1: a model stops where its tokens end."""
    assert to_json(text) == said


def test_tokens_for_keys() -> None:
    assert tags_for({"b", "a"}) == ["<s_a>", "</s_a>", "<s_b>", "</s_b>", "<sep/>"]
