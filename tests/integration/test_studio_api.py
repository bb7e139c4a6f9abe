"""The studio's API as a client meets it: a real server, real trainings (STU)."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.studio import LONG, QUICK, StudioServer, begin, running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture
def dataset(studio: StudioServer, sums: Path) -> Any:
    return studio.upload("sums.jsonl", sums.read_bytes())


def test_from_an_upload_to_an_adapter(studio: StudioServer, tiny_llama: Path, sums: Path, dataset: Any) -> None:
    """STU-2, STU-3, STU-8: the dataset's facts, the training's course, its curve, its log, its end."""
    assert dataset["name"] == "sums.jsonl"
    assert dataset["num_rows"] == len(sums.read_text().splitlines())
    assert dataset["error"] is None
    first = studio.get(f"/datasets/{dataset['id']}/rows", limit=2)
    assert [row["row"] for row in first["items"]] == [json.loads(line) for line in sums.read_text().splitlines()[:2]]
    task = begin(studio, tiny_llama, dataset, QUICK)
    assert task["status"] in ("pending", "running")
    done = studio.until(task["id"], "completed", "failed")
    assert done["status"] == "completed", done
    assert done["progress"] == 100
    assert done["dataset"] == dataset["id"]
    assert Path(done["measured"]["adapter"], "adapter_config.json").exists()
    points = studio.get(f"/tasks/{task['id']}/metrics")
    assert [step for step, _ in points["series"]["loss/train"]] == list(range(1, 13))
    assert studio.get(f"/tasks/{task['id']}/metrics", after=points["next"])["series"] == {}
    assert studio.get("/tasks", search="A RUN")["items"][0]["id"] == task["id"]
    assert studio.get("/simple-lora/tasks") == studio.get("/tasks")
    studio.get(f"/tasks/{task['id']}/log")


def test_events_come_live_and_go_on_where_they_were_cut_off(
    studio: StudioServer, tiny_llama: Path, dataset: Any
) -> None:
    """STU-2: after `Last-Event-ID` comes exactly what was missed; the task itself whenever it changes, its end last."""
    number = begin(studio, tiny_llama, dataset, QUICK)["id"]
    whole = list(_events(studio, number))
    told = [(one["id"], one["data"]) for one in whole if one["event"] == "told"]
    assert whole[-1]["event"] == "over"
    task: dict[str, Any] = {}
    for one in whole:
        if one["event"] == "task":
            task |= json.loads(one["data"])
    assert task == studio.get(f"/tasks/{number}")
    assert sum('"loss/train"' in data for _, data in told) == 12
    half = told[len(told) // 2]
    rest = [(one["id"], one["data"]) for one in _events(studio, number, last=half[0]) if one["event"] == "told"]
    assert [half, *rest] == told[len(told) // 2 :]


def test_one_stream_tells_of_all_tasks(studio: StudioServer, tiny_llama: Path, dataset: Any) -> None:
    """STU-2, STU-9: what is put together of it is what the tasks are; a page that comes later hears of what is new."""
    tasks: dict[int, dict[str, Any]] = {}
    with httpx2.stream("GET", f"{studio.url}/events", timeout=60) as response:
        lines = response.iter_lines()
        assert next(lines) == ": here"
        numbers = {begin(studio, tiny_llama, dataset, QUICK)["id"] for _ in range(2)}
        while {number for number in numbers if tasks.get(number, {}).get("status") == "completed"} != numbers:
            line = next(lines)
            if line.startswith("data: "):
                new = json.loads(line.removeprefix("data: "))
                tasks.setdefault(new["id"], {}).update(new)
    for number in numbers:
        assert tasks[number] == studio.get(f"/tasks/{number}")


def _events(studio: StudioServer, number: int, last: str = "") -> Iterator[dict[str, str]]:
    headers = {"Last-Event-ID": last} if last else {}
    with httpx2.stream("GET", f"{studio.url}/tasks/{number}/events", headers=headers, timeout=60) as response:
        event: dict[str, str] = {}
        for line in response.iter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                yield event
                event = {}


def test_stop_resume_clone_delete(studio: StudioServer, tiny_llama: Path, dataset: Any) -> None:
    """STU-2"""
    number = begin(studio, tiny_llama, dataset, LONG)["id"]
    while "loss/train" not in studio.get(f"/tasks/{number}/metrics")["series"]:
        time.sleep(0.1)
    assert "Stop it first" in studio.delete(f"/tasks/{number}", 400)["error"]["hint"]
    studio.post(f"/tasks/{number}/stop")
    stopped = studio.until(number, "stopped")
    clone = studio.post(f"/tasks/{number}/clone", {"task_name": "again", "training_params": {"max_steps": 5}}, 201)
    assert clone["parent"] == number
    assert studio.until(clone["id"], "completed", "failed")["status"] == "completed"
    assert studio.post(f"/tasks/{clone['id']}/resume", status=400)["error"]["message"].startswith("Task")
    studio.post(f"/tasks/{number}/resume")
    studio.until(number, "running")
    studio.post(f"/tasks/{number}/stop")
    studio.until(number, "stopped")
    assert Path(stopped["output_path"]).exists()
    studio.delete(f"/tasks/{number}", result=True)
    studio.get(f"/tasks/{number}", 404)
    assert not Path(stopped["output_path"]).exists()


def test_what_is_wrong_is_refused_by_name(studio: StudioServer, tiny_llama: Path, dataset: Any) -> None:
    """STU-11, QLT-1: before it is a task."""
    assert "lora_rank" in begin(studio, tiny_llama, dataset, {"lora_rank": 8}, 400)["error"]["message"]
    assert "dataset 999" in begin(studio, tiny_llama, {"id": 999}, {}, 404)["error"]["message"]
    for name in ("data", "output", "model"):
        assert name in begin(studio, tiny_llama, dataset, {name: "/etc/passwd"}, 400)["error"]["message"]
    assert "task_name" in begin(studio, tiny_llama, dataset, {}, 400, task_name="")["error"]["message"]
    studio.get("/tasks/0", 400)
    studio.get("/tasks/99999999999999999999", 400)
    studio.get("/tasks", 400, limit=10_000)
    studio.get("/tasks", search="\0")


def test_no_name_leads_out_of_home(studio: StudioServer) -> None:
    """SEC-1: uploads, whatever they are called."""
    before = set(studio.home.parent.iterdir())
    for name in (
        "../../evil.jsonl",
        "/etc/evil.jsonl",
        "..\\..\\evil.jsonl",
        "a\0b.jsonl",
        "…/ﾉ..jsonl",
        "." * 300,
        "CON",
        "a\r\nb",
        "Счета за 2026.jsonl",
    ):
        made = studio.upload(name, b'{"question": "1", "answer": "1"}\n')
        assert not set("/\\\0\r\n") & set(made["name"])
    assert set(studio.home.parent.iterdir()) == before
    for file in (studio.home / "datasets").rglob("*"):
        assert file.resolve().is_relative_to(studio.home / "datasets")


def test_what_cannot_be_learnt_from_is_told_and_not_begun(studio: StudioServer, tiny_llama: Path) -> None:
    """STU-3"""
    made = studio.upload("broken.jsonl", b'{"question": "1"\n[[[')
    assert made["error"]["what"]
    assert begin(studio, tiny_llama, made, {}, 400)["error"]["message"].startswith("Nothing can be learnt")


def test_an_upload_that_is_cut_off_leaves_nothing(studio: StudioServer) -> None:
    """STU-11, REL-2: half of what was announced, then silence."""
    before = sorted((studio.home / "datasets").rglob("*")) if (studio.home / "datasets").exists() else []
    number = len(studio.get("/datasets"))
    host, port = studio.url.removeprefix("http://").removesuffix("/api").split(":")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="half.jsonl"\r\n\r\n'
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/upload-dataset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000\r\n\r\n" + head + b"x" * 500_000
        )
        time.sleep(0.5)
    deadline = time.monotonic() + 10
    while sorted((studio.home / "datasets").rglob("*")) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sorted((studio.home / "datasets").rglob("*")) == before
    assert len(studio.get("/datasets")) == number
    whole = httpx2.post(
        f"{studio.url}/upload-dataset", content=head + b"no end", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )  # fmt: skip
    assert whole.status_code == 400
    assert "cut off" in whole.json()["error"]["message"]
    assert httpx2.post(f"{studio.url}/upload-dataset", json={}).status_code == 400


def test_two_uploads_of_one_name_are_two_versions(studio: StudioServer) -> None:
    """STU-3"""
    one = studio.upload("twice.jsonl", b'{"question": "1", "answer": "1"}\n')
    two = studio.upload("twice.jsonl", b'{"question": "2", "answer": "2"}\n')
    assert (one["version"], two["version"]) == (1, 2)
    assert studio.get(f"/datasets/{one['id']}/file") == '{"question": "1", "answer": "1"}\n'
    studio.delete(f"/datasets/{one['id']}")
    studio.get(f"/datasets/{one['id']}", 404)
    assert studio.get(f"/datasets/{two['id']}")["version"] == 2


def test_other_names_and_other_pages_are_refused(studio: StudioServer) -> None:
    """STU-11, SEC-3: DNS rebinding, and pages of other sites."""
    assert httpx2.get(f"{studio.url}/tasks", headers={"Host": "evil.example"}).status_code == 403
    assert httpx2.get(f"{studio.url}/tasks", headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx2.get(f"{studio.url}/tasks", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_models_and_the_machine(studio: StudioServer) -> None:
    """STU-5, STU-7"""
    assert studio.get("/models")[0]["id"] == "demo"
    assert studio.get("/models")[0]["verdicts"] is None
    verdicts = studio.get("/models", verdicts=True)[0]["verdicts"]
    assert {one["method"] for one in verdicts if one["device"] == "cpu"} >= {"lora", "full"}
    system = studio.get("/system")
    assert system["database"] == "sqlite"
    assert system["hardware"]["num_cores"] >= 1


def test_a_training_outlives_its_server(tmp_path: Path, tiny_llama: Path, sums: Path) -> None:
    """STU-9, REL-1: kill -9 in the middle, start again: it never stopped, and is one."""
    with running(tmp_path / "home") as studio:
        number = begin(studio, tiny_llama, studio.upload("sums.jsonl", sums.read_bytes()), LONG)["id"]
        while "loss/train" not in studio.get(f"/tasks/{number}/metrics")["series"]:
            time.sleep(0.1)
        studio.kill()
        before = (tmp_path / "home" / "tasks" / str(number) / "events.jsonl").stat().st_size
        time.sleep(1)
        assert (tmp_path / "home" / "tasks" / str(number) / "events.jsonl").stat().st_size > before
        studio.start()
        task = studio.get(f"/tasks/{number}")
        assert task["status"] == "running"
        assert len(studio.get("/tasks")["items"]) == 1
        studio.kill(signal.SIGINT)
        studio.start()
        assert studio.get(f"/tasks/{number}")["status"] == "running"
        studio.post(f"/tasks/{number}/stop")
        assert studio.until(number, "stopped")["progress"] > 0


def test_a_search_of_a_project(studio: StudioServer, tiny_llama: Path, sums: Path) -> None:
    """STU-4: as the dialog asks for it: the project's newest dataset, no judge, so many trials; its progress and its verdict."""
    project = studio.post("/projects", {"name": "Счета 2026"}, 201)
    assert "already" in studio.post("/projects", {"name": "Счета 2026"}, 400)["error"]["message"]
    assert studio.get("/projects")[0]["name"] == "Счета 2026"
    asked: dict[str, Any] = {
        "project_id": project["id"],
        "fine_tuning_params": {"use_llm_judge": False, "base_model_name": str(tiny_llama), "n_trials": 5},
        "tuning_params": {"metric": "exact_match", "eval_fraction": 0.3, "space": ["epochs=1"], "no_tensorboard": True},
    }
    assert "nothing to learn from" in studio.post("/tune", asked, 400)["error"]["message"]
    files = {"file": ("rows.jsonl", sums.read_bytes(), "application/octet-stream")}
    made = httpx2.post(
        f"{studio.url}/upload-dataset", params={"project": project["id"]}, files=files, timeout=60
    ).json()
    task = studio.post("/tune", asked, 201)
    assert (task["kind"], task["dataset"], task["project"]) == ("tune", made["id"], project["id"])
    done = studio.until(task["id"], "completed", "failed")
    assert done["status"] == "completed", done
    assert done["measured"]["verdict"]
    assert Path(done["measured"]["adapter"], "adapter_config.json").exists()
    assert [one["id"] for one in studio.get("/datasets", project=project["id"])] == [made["id"]]
    for wrong, word in (
        ({"n_trials": 4}, "n_trials"), ({"judge_model_id": "nobody", "use_llm_judge": True}, "nobody"),
    ):  # fmt: skip
        status = 404 if word == "nobody" else 400
        changed = asked | {"fine_tuning_params": asked["fine_tuning_params"] | wrong}
        assert word in studio.post("/tune", changed, status)["error"]["message"]
    studio.post("/tune", asked | {"project_id": 999}, 404)
    flat = {"dataset_id": made["id"], "model": str(tiny_llama), "trials": 6, "no_judge": True, **asked["tuning_params"]}
    task = studio.post("/tune", flat, 201)
    studio.post(f"/tasks/{task['id']}/stop")
    assert task["training_params"] == done["training_params"] | {"trials": 6}
    assert "colour" in studio.post("/tune", flat | {"colour": "red"}, 400)["error"]["message"]
    assert studio.get("/judges") == []
