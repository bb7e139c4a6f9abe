"""Datasets in the studio: as a model sees them, edited into versions, split (STU-3)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.studio import StudioServer, running

ROWS = [{"instruction": f"What is {number} + 1?", "output": str(number + 1)} for number in range(10)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture
def dataset(studio: StudioServer) -> Any:
    return studio.upload("plus.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS).encode())


def rows_of(studio: StudioServer, number: int) -> list[dict[str, Any]]:
    return [one["row"] for one in studio.get(f"/datasets/{number}/rows", limit=500)["items"]]


def test_an_edit_is_a_new_version(studio: StudioServer, dataset: Any) -> None:
    """STU-3: rows changed, left out, added; what was there before stays as it was."""
    changes = {"2": {"instruction": "What is two?", "output": "2"}, "3": None}
    added = {"instruction": "Сколько будет 1 + 1?", "output": "2"}
    made = studio.post(f"/datasets/{dataset['id']}/versions", {"changes": changes, "added": [added]}, 201)
    assert (made["name"], made["version"], made["parent"]) == ("plus.jsonl", dataset["version"] + 1, dataset["id"])
    assert rows_of(studio, made["id"]) == [ROWS[0], changes["2"], *ROWS[3:], added]
    assert made["num_rows"] == 10
    assert rows_of(studio, dataset["id"]) == ROWS
    again = studio.post(f"/datasets/{made['id']}/versions", {"changes": {"1": None}}, 201)
    assert again["version"] == made["version"] + 1


def test_an_edit_that_cannot_be_leaves_nothing(studio: StudioServer, dataset: Any) -> None:
    """STU-3, REL-2"""
    before = sorted((studio.home / "datasets").rglob("*"))
    wrong = studio.post(f"/datasets/{dataset['id']}/versions", {"changes": {"99": None}}, 400)
    assert "line 99" in wrong["error"]["message"]
    studio.post(f"/datasets/{dataset['id']}/versions", {}, 400)
    everything = {str(line): None for line in range(1, 11)}
    assert (
        "No row" in studio.post(f"/datasets/{dataset['id']}/versions", {"changes": everything}, 400)["error"]["message"]
    )
    assert sorted((studio.home / "datasets").rglob("*")) == before


def test_an_edited_table_is_still_read(studio: StudioServer) -> None:
    """STU-3: a CSV file becomes JSON lines; its name stays, and what is downloaded says what it is."""
    made = studio.upload("plus.csv", b"instruction,output\nWhat is 1?,1\nWhat is 2?,2\n")
    edited = studio.post(
        f"/datasets/{made['id']}/versions", {"added": [{"instruction": "What is 3?", "output": "3"}]}, 201
    )
    assert (edited["name"], edited["version"], edited["num_rows"]) == ("plus.csv", 2, 3)
    assert len(studio.get(f"/datasets/{edited['id']}/file").splitlines()) == 3


def test_parts_hold_every_row_once(studio: StudioServer, dataset: Any) -> None:
    """STU-3: by the seed, the share that was asked for."""
    larger, held = studio.post(f"/datasets/{dataset['id']}/split", {"share": 0.3, "seed": 7}, 201)
    assert (larger["num_rows"], held["num_rows"]) == (7, 3)
    both = rows_of(studio, larger["id"]) + rows_of(studio, held["id"])
    assert sorted(map(json.dumps, both)) == sorted(map(json.dumps, ROWS))
    same = studio.post(f"/datasets/{dataset['id']}/split", {"share": 0.3, "seed": 7}, 201)
    assert rows_of(studio, same[1]["id"]) == rows_of(studio, held["id"])
    assert (
        "cannot be split" in studio.post(f"/datasets/{dataset['id']}/split", {"share": 0.01}, 400)["error"]["message"]
    )


def test_a_row_as_the_model_sees_it(studio: StudioServer, dataset: Any, tiny_llama: Path) -> None:
    """STU-3: what is learnt is the answer, and the pieces put together are the row."""
    page = studio.get(f"/datasets/{dataset['id']}/seen", model=str(tiny_llama), start=4, limit=2)
    assert page["total"] == 10
    row = page["items"][0]
    assert row["line"] == 5
    assert ROWS[4]["instruction"] in "".join(piece["text"] for piece in row["pieces"])
    learnt = "".join(piece["text"] for piece in row["pieces"] if piece["learnt"])
    assert ROWS[4]["output"] in learnt
    assert ROWS[4]["instruction"] not in learnt
    assert 0 < row["num_learnt"] < row["num_tokens"]
    facts = studio.get(f"/datasets/{dataset['id']}/facts", model=str(tiny_llama))
    assert facts["unit"] == "tokens"
    assert dataset["facts"]["unit"] == "characters"
    studio.get(f"/datasets/{dataset['id']}/seen", 404, model="/nowhere/at/all")


def test_the_sample_is_there_once(studio: StudioServer) -> None:
    """STU-1: the first step for who has no data yet."""
    one = studio.post("/datasets/sample", {}, 201)
    assert one["num_rows"] == 300
    assert studio.post("/datasets/sample", {}, 201)["id"] == one["id"]


def test_a_large_file_is_read_by_a_process_of_its_own(tmp_path: Path) -> None:
    """STU-3, STU-10: the upload is answered at once, what it holds is known later; a reading that dies is told or done again."""
    line = b'{"question": "How much is one and one?", "answer": "It is two."}\n'
    with running(tmp_path / "home") as studio:
        made = studio.upload("large.jsonl", line * 100_000)
        assert (made["is_read"], made["num_rows"]) == (False, 0)
        asked = {"task_name": "a", "base_model": "demo", "dataset_id": made["id"]}
        assert "still being read" in studio.post("/train", asked, 400)["error"]["message"]
        assert (
            "still being read"
            in studio.post("/plan", {"base_model": "demo", "dataset_id": made["id"]}, 400)["error"]["message"]
        )
        until_read(studio, made["id"])
        assert studio.get(f"/datasets/{made['id']}")["num_rows"] == 100_000

        broken = studio.upload("broken.jsonl", line * 100_000)
        reading_of(broken["id"]).kill()
        assert "broken off" in until_read(studio, broken["id"])["error"]["what"]

        left = studio.upload("left.jsonl", line * 100_000)
        studio.kill()
        reading_of(left["id"]).kill()
        studio.start()
        assert until_read(studio, left["id"])["num_rows"] == 100_000


def reading_of(number: int) -> psutil.Process:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for one in psutil.process_iter(["cmdline"]):
            if (one.info["cmdline"] or [])[-3:-1] == ["lorasmith.studio.reading", str(number)]:
                return one
        time.sleep(0.02)
    raise AssertionError("nothing reads it")


def until_read(studio: StudioServer, number: int) -> Any:
    deadline = time.monotonic() + 60
    while not (one := studio.get(f"/datasets/{number}"))["is_read"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return one
