"""Folders of examples in the studio: uploaded as an archive, looked at, learnt from, taken away again (STU-3, DAT-1)."""

from __future__ import annotations

import io
import json
import resource
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests import lessons
from tests.integration.test_studio_datasets import reading_of, rows_of, until_read
from tests.studio import StudioServer, begin, running

from lorasmith.testing import tiny


def packed(folder: Path, top: str = "") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return target.getvalue()


def captions(folder: Path) -> Path:
    for number in range(lessons.ROWS):
        lessons.picture(folder / f"{number}.png", number)
        (folder / f"{number}.txt").write_text(f"number {number}", encoding="utf-8")
    return folder


FOLDERS = {**lessons.DATASETS, "captions": captions}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


def sent(studio: StudioServer, name: str, data: bytes) -> Any:
    made = studio.upload(name, data)
    assert not made["is_read"]
    return until_read(studio, made["id"])


def left_of(studio: StudioServer) -> list[str]:
    return [one.name for one in studio.home.glob("datasets/*/*") if one.name != ".reading"]


def of_kind(studio: StudioServer, tmp_path: Path, kind: str) -> Any:
    (tmp_path / kind).mkdir()
    made = FOLDERS[kind](tmp_path / kind)
    folder = made if made.is_dir() else made.parent
    return sent(studio, f"{kind}.zip", packed(folder, f"{kind}/"))


@pytest.mark.parametrize(
    ("kind", "format_name", "shown"),
    [
        ("donut", "donut", {"file_name": ["0.png"]}), ("image-text", "image-text", {"image": ["0.png"]}),
        ("captions", "image-text", {"image": ["0.png"]}), ("layout", "layout", {"image": ["0.png"]}),
        ("labelled-pictures", "labelled", {"image": ["dark/1.png"]}), ("audio-text", "audio-text", {"audio": ["0.wav"]}),
        ("openai", "openai", {"images": ["0.png"]}), ("masks", "masks", {"image": ["0.png"], "mask": ["0-mask.png"]}),
    ],
)  # fmt: skip
def test_every_kind_of_folder_is_recognised_and_shown(
    studio: StudioServer, tmp_path: Path, kind: str, format_name: str, shown: dict[str, list[str]]
) -> None:
    """DAT-1, STU-3: format, rows, statistics, and what its rows name."""
    one = of_kind(studio, tmp_path, kind)
    assert one["error"] is None
    assert (one["format"], one["num_rows"], one["is_folder"], one["name"]) == (
        format_name,
        lessons.ROWS,
        True,
        f"{kind}.zip",
    )
    assert one["facts"]["num_rows"] == lessons.ROWS
    page = studio.get(f"/datasets/{one['id']}/rows", limit=5)
    assert (len(page["items"]), page["total"]) == (5, lessons.ROWS)
    assert page["items"][0]["media"] == shown
    for name in (name for names in shown.values() for name in names):
        answer = httpx2.get(f"{studio.url}/datasets/{one['id']}/media", params={"name": name})
        assert answer.content == (tmp_path / kind / name).read_bytes()
        assert answer.headers["content-type"] == ("audio/wav" if name.endswith(".wav") else "image/png")


def test_a_folder_is_learnt_from(studio: StudioServer, tmp_path: Path) -> None:
    """STU-1, DOC-1: from a zip file of pictures to an adapter that reads them; it can be looked at beforehand."""
    base = tiny.build("donut", tmp_path / "base")
    one = of_kind(studio, tmp_path, "donut")
    plan = studio.post("/plan", {"base_model": str(base), "dataset_id": one["id"]})
    assert plan["train_rows"] + plan["eval_rows"] == lessons.ROWS
    seen = studio.get(f"/datasets/{one['id']}/seen", model=str(base), limit=3)
    assert [item["media"] for item in seen["items"]] == [["0.png"], ["1.png"], ["2.png"]]
    assert "to be read: {'total': '0'" in seen["items"][0]["pieces"][0]["text"]
    task = begin(studio, base, one, {"max_steps": 2, "eval_fraction": 0.3, "no_tensorboard": True})
    done = studio.until(task["id"], "completed", "failed", seconds=300)
    assert done["status"] == "completed", done["error"]
    assert (Path(done["output_path"]) / "lora" / "adapter_model.safetensors").is_file()


def test_what_is_taken_away_is_what_was_brought(studio: StudioServer, tmp_path: Path) -> None:
    """STU-3: every file; and uploaded again it is the next version."""
    one = of_kind(studio, tmp_path, "labelled-pictures")
    answer = httpx2.get(f"{studio.url}/datasets/{one['id']}/file")
    assert "labelled-pictures.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        brought = {name: archive.read(name) for name in archive.namelist()}
    folder = tmp_path / "labelled-pictures"
    assert brought == {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }
    again = sent(studio, one["name"], answer.content)
    assert (again["version"], again["num_rows"]) == (one["version"] + 1, one["num_rows"])


def test_nothing_of_a_folder_is_left_when_it_is_deleted(studio: StudioServer, tmp_path: Path) -> None:
    """STU-3"""
    before = sorted((studio.home / "datasets").iterdir())
    one = of_kind(studio, tmp_path, "captions")
    (made,) = set((studio.home / "datasets").iterdir()) - set(before)
    assert [entry.name for entry in made.iterdir() if not entry.name.startswith(".")] == ["captions"], "no archive"
    studio.delete(f"/datasets/{one['id']}")
    assert sorted((studio.home / "datasets").iterdir()) == before
    studio.get(f"/datasets/{one['id']}/media", 404, name="0.png")


def test_rows_of_a_folder_are_not_edited(studio: StudioServer, tmp_path: Path) -> None:
    """STU-3: said with what to do instead; nothing is made."""
    one = of_kind(studio, tmp_path, "image-text")
    for path, asked in (("versions", {"added": [{"image": "0.png", "text": "1"}]}), ("split", {"share": 0.5})):
        said = studio.post(f"/datasets/{one['id']}/{path}", asked, 400)["error"]
        assert "is a folder" in said["message"]
        assert "upload it again" in said["hint"]
    assert len(rows_of(studio, one["id"])) == lessons.ROWS


def test_only_pictures_and_sounds_of_that_folder_are_given_out(studio: StudioServer, tmp_path: Path) -> None:
    """SEC-1, SEC-6: no rows, no other dataset's files, no page; and a browser takes none of it for one."""
    folder = lessons.donut(tmp_path / "set")
    (folder / "page.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    (folder / "page.svg").write_text("<svg onload='alert(1)'/>", encoding="utf-8")
    (folder / "false.png").write_text("<script>alert(1)</script>", encoding="utf-8")
    one = sent(studio, "set.zip", packed(folder))
    other = sent(studio, "other.zip", packed(folder))
    plain = studio.upload("a.jsonl", b'{"image": "0.png", "text": "1"}\n')
    (place,) = (studio.home / "datasets").glob("*/other")
    (inside,) = (studio.home / "datasets").glob("*/set")
    (inside / "link.png").symlink_to(place / "0.png")
    for name in (
        "metadata.jsonl", "page.html", "page.svg", "../other/0.png", f"../../{place.parent.name}/other/0.png", f"{place}/0.png",
        "link.png", "gone.png", ".png", "0.png\0.png", "..\\0.png", "file:///etc/a.png", "./../set/../set/0.png",
    ):  # fmt: skip
        studio.get(f"/datasets/{one['id']}/media", 404, name=name)
    studio.get(f"/datasets/{plain['id']}/media", 404, name="a.jsonl")
    studio.get(f"/datasets/{plain['id']}/media", 404, name="0.png")
    answer = httpx2.get(f"{studio.url}/datasets/{one['id']}/media", params={"name": "false.png"})
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert studio.get(f"/datasets/{other['id']}/media", name="0.png")


def test_pictures_ask_for_an_account_as_everything_does(tmp_path: Path) -> None:
    """STU-11"""
    with running(tmp_path / "home", "--host", "0.0.0.0") as server:  # noqa: S104  that is what is tested
        url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        for path in ("datasets/1/media?name=0.png", "datasets/1/file"):
            assert httpx2.get(f"{url}/{path}").status_code == 401


def test_rows_of_a_folder_say_where_they_stand(studio: StudioServer, tmp_path: Path) -> None:
    """STU-3: several files; what is named beside its table, and what leads out of the folder, which is not shown."""
    lessons.image_text(tmp_path / "set" / "a")
    secret = {"image": "../../../../secret.png", "text": "x", "images": ["/etc/a.png", "http://example.com/a.png"]}
    lessons.write_rows(tmp_path / "set" / "b.jsonl", [{"image": "a/1.png", "text": "one"}, secret])
    one = sent(studio, "set.zip", packed(tmp_path / "set"))
    items = studio.get(f"/datasets/{one['id']}/rows")["items"]
    assert [(item["file"], item["line"], item["media"]) for item in (items[0], *items[-2:])] == [
        ("a/rows.jsonl", 1, {"image": ["a/0.png"]}), ("b.jsonl", 1, {"image": ["a/1.png"]}), ("b.jsonl", 2, {}),
    ]  # fmt: skip


def test_an_archive_that_is_refused_says_why(studio: StudioServer, tmp_path: Path) -> None:
    """STU-11: beside the dataset, as of any file that cannot be learnt from; its rows are not there, and it can be deleted."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr("../../evil.txt", "evil")
    one = sent(studio, "evil.zip", target.getvalue())
    assert "'../../evil.txt' is no name" in one["error"]["what"]
    assert (one["is_folder"], one["num_rows"]) == (False, 0)
    assert "is no name" in studio.get(f"/datasets/{one['id']}/rows", 400)["error"]["message"]
    asked = {"task_name": "a", "base_model": "demo", "dataset_id": one["id"]}
    assert "Nothing can be learnt" in studio.post("/train", asked, 400)["error"]["message"]
    assert not list(studio.home.rglob("evil.txt"))
    assert not list(studio.home.rglob("good.txt"))
    studio.delete(f"/datasets/{one['id']}")
    damaged = sent(studio, "cut.zip", packed(captions(tmp_path / "c"))[:-30])
    assert "damaged" in damaged["error"]["what"]


def test_an_upload_may_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    """SEC-4: the setting for uploads holds for what they unpack to; a full disk is told, and leaves nothing half."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", b'{"question": "1", "answer": "1"}\n' * 60_000)
    with running(tmp_path / "home", "--max-body-mb", "1") as studio:
        assert "more than 1 MB" in sent(studio, "a.zip", target.getvalue())["error"]["what"]
        assert left_of(studio) == ["a.zip"]
    with running(tmp_path / "other") as studio:
        assert studio.process is not None
        unlimited = resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE, (1_000_000, unlimited[1]))
        assert "cannot be unpacked" in sent(studio, "a.zip", target.getvalue())["error"]["what"]
        assert left_of(studio) == ["a.zip"]
        resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert sent(studio, "a.zip", target.getvalue())["num_rows"] == 60_000


def test_unpacking_that_is_killed_is_done_again(tmp_path: Path) -> None:
    """REL-1: by whoever finds that nobody does it; until then it says so, and shows nothing half."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(3_000):
            archive.writestr(f"{number % 2}/{number}.txt", f"{json.dumps(number)} is a number")
    with running(tmp_path / "home") as studio:
        left = studio.upload("left.zip", target.getvalue())
        assert "still being read" in studio.get(f"/datasets/{left['id']}/rows", 400)["error"]["message"]
        studio.kill()
        process = reading_of(left["id"])
        deadline = time.monotonic() + 20
        while not any(studio.home.glob("datasets/*/.left.partial/*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        studio.start()
        read = until_read(studio, left["id"])
        assert (read["num_rows"], read["is_folder"], read["error"]) == (3_000, True, None)
        assert not any(studio.home.glob("datasets/*/.left.partial"))
