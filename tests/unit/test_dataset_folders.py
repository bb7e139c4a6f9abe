"""Folders as datasets, and which files a row may name."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pytest
from tests.rows import ANSWER, GOOD, dataset_folder, read_one, save

from lorasmith.core.errors import DataProblem
from lorasmith.data.load import open_source


@pytest.fixture
def folder(tmp_path):
    return dataset_folder(tmp_path)


OUTSIDE = [
    "../secret.png", "sub/../../secret.png", "/etc/passwd", "~/secret.png", "..\\secret.png", "a.png\0.txt", "C:\\x.png", "C:/x.png",
    "http://example.com/a.png", "https://169.254.169.254/a.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "s3://b/a.png",
    "link.png", "linked/secret.png", "ring.png", "a\n.png", "x" * 2000, "．．/secret.png", "sub/..", ".", "",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: name[:30])
def test_a_row_names_nothing_outside_its_folder(folder, tmp_path, name):
    """SEC-1: and nothing is fetched (SEC-3)."""
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "ring.png").symlink_to(folder / "ring.png")
    rows = [
        GOOD["image-text"] | {"image": name},
        GOOD["donut"] | {"file_name": name},
        GOOD["layout"] | {"image": [name]},
        GOOD["audio-text"] | {"audio": name},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": name}}]}, ANSWER]},
        {"question": "?", "answer": "!", "image": name or "."},
    ]
    reasons = {
        "http": "is an address",
        "file:": "is an address",
        "C:": "is an address",
        "../": "name files below it",
        "/etc": "name files below it",
        "..\\": "is no file name",
        "a.png\0": "is no file name",
    }
    reason = next((said for start, said in reasons.items() if name.startswith(start)), "")
    for row in rows:
        with pytest.raises(DataProblem, match=rf"Line 1 of 'data\.jsonl' cannot be used.*{reason}"):
            list(open_source(save(folder, row), format_name="" if name else "image-text" if "text" in row else ""))


def test_links_inside_the_folder_and_in_the_hubs_cache_are_fine(folder, tmp_path):
    """SEC-1: the cache keeps files as links from a snapshot to blobs of the same repository."""
    (folder / "inner.png").symlink_to(folder / "a.png")
    assert read_one(folder, GOOD["image-text"] | {"image": "inner.png"}).images == ("inner.png",)
    cache = tmp_path / "datasets--x"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots/abc").mkdir(parents=True)
    (cache / "blobs/1").write_text(json.dumps(GOOD["image-text"]))
    (cache / "blobs/2").write_bytes(b"x")
    (cache / "snapshots/abc/train.jsonl").symlink_to("../../blobs/1")
    (cache / "snapshots/abc/a.png").symlink_to("../../blobs/2")
    (example,) = open_source(cache / "snapshots/abc")
    assert example.images == ("a.png",)
    (cache / "snapshots/abc/more.jsonl").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataProblem, match=r"'more\.jsonl' in 'abc' is a link that leads outside"):
        open_source(cache / "snapshots/abc")


def test_a_folder_is_its_files_in_order_and_problems_name_file_and_line(tmp_path):
    """DAT-1"""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name, text in [
        ("b.jsonl", "b"),
        ("a.jsonl", "a"),
        ("sub/c.jsonl", "c"),
        (".hidden.jsonl", "x"),
        (".git/x.jsonl", "x"),
    ]:
        save(tmp_path, {"prompt": text, "completion": "1"}, {"prompt": text, "completion": "2"}, name=name)
    (tmp_path / "README.md").write_text("# About")
    source = open_source(tmp_path)
    found = [(example.file, example.line, example.messages[0]["content"]) for example in source]
    assert found == [(file, line, file[-7]) for file in ("a.jsonl", "b.jsonl", "sub/c.jsonl") for line in (1, 2)]
    assert source.where(next(iter(source))) == "Line 1 of 'a.jsonl'"
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write("\nnonsense\n")
    with pytest.raises(DataProblem, match=r"Line 3 of 'b\.jsonl' cannot be used: broken JSON"):
        list(source)
    lenient = open_source(tmp_path, skip_bad_rows=True)
    assert len(list(lenient)) == 6
    assert lenient.bad_rows.problems[0][1].startswith("'b.jsonl': broken JSON")
    save(tmp_path, GOOD["alpaca"], name="z.jsonl")
    with pytest.raises(DataProblem, match=r"'a\.jsonl' looks like prompt-completion, 'z\.jsonl' like alpaca"):
        open_source(tmp_path)


def test_folders_saved_by_datasets_are_read(tmp_path):
    """DAT-1: as `save_to_disk` writes them; left-overs of its cache are no data."""
    table = pa.Table.from_pylist([GOOD["prompt-completion"]] * 3)
    for split in ("test", "train"):
        (tmp_path / split).mkdir()
        for name in ("data-00000-of-00001.arrow", "cache-1.arrow"):
            with pa.OSFile(str(tmp_path / split / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        (tmp_path / split / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        (tmp_path / split / "dataset_info.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert [(example.file[:5], example.line) for example in open_source(tmp_path)] == [
        (split, line) for split in ("test/", "train") for line in (1, 2, 3)
    ]
    assert len(list(open_source(tmp_path / "train"))) == 3


def test_a_folder_of_texts_is_one_text_after_another(tmp_path):
    """DAT-1"""
    (tmp_path / "a.txt").write_text("One.\n\nTwo.")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"Three."))
    assert [example.text for example in open_source(tmp_path)] == ["One.", "Two.", "Three."]


def test_pictures_with_a_text_beside_each(folder):
    """DAT-1: captions."""
    for name, text in [("a.txt", "a cat\n"), ("b.txt", "\ufeffa dog"), ("sub/d.txt", "a fish"), ("c.txt", "hello")]:
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "c.wav").unlink()
    source = open_source(folder)
    assert source.format.name == "image-text"
    assert [(example.images, example.text) for example in source] == [
        (("a.png",), "a cat"), (("b.jpg",), "a dog"), (("sub/d.png",), "a fish")
    ]  # fmt: skip
    (folder / "sub/d.txt").unlink()
    with pytest.raises(DataProblem, match=r"^'sub/d\.png' cannot be used: there is no 'd\.txt'"):
        list(source)


def test_recordings_with_a_text_beside_each(tmp_path):
    """DAT-1"""
    (tmp_path / "1.wav").write_bytes(b"x")
    (tmp_path / "1.txt").write_text("hello")
    (example,) = open_source(tmp_path)
    assert (example.audio, example.text) == (("1.wav",), "hello")


def test_folders_of_pictures_are_classes(tmp_path):
    """DAT-1"""
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    source = open_source(tmp_path)
    assert source.format.name == "labelled"
    assert [(example.label, example.images) for example in source] == [
        ("cat", ("train/cat/1.png",)), ("cat", ("train/cat/2.png",)), ("dog", ("train/dog/1.png",))
    ]  # fmt: skip


def test_pictures_without_texts_are_of_one_thing(folder):
    """DAT-1: for DreamBooth; a folder that also has classes is none."""
    assert open_source(save(folder, {"image": "a.png"}).parent).format.name == "images"
    (folder / "data.jsonl").unlink()
    flat = folder / "flat"
    flat.mkdir()
    (flat / "one.png").write_bytes(b"x")
    source = open_source(flat)
    assert (source.format.name, [example.images for example in source]) == ("images", [("one.png",)])
    with pytest.raises(DataProblem, match="in no folder that names its class"):
        list(open_source(folder))
