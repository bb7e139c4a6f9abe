"""Who may do what in a studio, and what it stands: sign-in, sessions, limits, a database that goes, lists and logs without end."""

from __future__ import annotations

import json
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from sqlalchemy import make_url
from tests.gate import Gate
from tests.stand_in_ollama import ollama
from tests.studio import LONG, QUICK, StudioServer, begin, running

from lorasmith.store.tables import Base

COOKIE = "lorasmith_session"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StudioServer, str]]:
    """A studio that listens everywhere, and the token that it has printed."""
    with running(tmp_path_factory.mktemp("locked"), "--host", "0.0.0.0") as server:  # noqa: S104  that is what is tested
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        token = next(line.split()[1] for line in server.printed if line.strip().startswith("token"))
        yield server, token


def test_elsewhere_one_has_to_sign_in(locked: tuple[StudioServer, str]) -> None:
    """STU-11: a token or a session; the token is printed once and kept nowhere."""
    server, token = locked
    assert httpx2.get(f"{server.url}/health").status_code == 200
    assert httpx2.get(server.url.removesuffix("/api") + "/").status_code == 200, "the page asks for the token"
    for path in (
        "tasks",
        "datasets",
        "system",
        "events",
        "simple-lora/tasks",
        "openapi.json",
        "docs",
        "assistants/v1/models",
    ):
        assert httpx2.get(f"{server.url}/{path}").status_code == 401, path
    with_token = {"Authorization": f"Bearer {token}"}
    assert httpx2.get(f"{server.url}/tasks", headers=with_token).status_code == 200
    assert httpx2.get(f"{server.url}/tasks", headers={"Authorization": "Bearer wrong"}).status_code == 401
    for file in server.home.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file
    # Any name may be used for it there: who has no token gets nothing, whatever the name.
    assert httpx2.get(f"{server.url}/tasks", headers=with_token | {"Host": "studio.example"}).status_code == 200


def test_a_session_carries_its_word(locked: tuple[StudioServer, str]) -> None:
    """STU-11: the cookie alone changes nothing; signed out it opens nothing."""
    server, token = locked
    with httpx2.Client(base_url=server.url) as page:
        assert page.get("/session").json() == {"needs_sign_in": True, "account": None, "csrf": ""}
        signed = page.post("/session", json={"token": token})
        attributes = signed.headers["set-cookie"].lower()
        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        word = {"X-CSRF-Token": signed.json()["csrf"]}
        assert page.get("/session").json()["account"] == "admin"
        assert page.post("/projects", json={"name": "a"}).status_code == 403
        assert page.post("/projects", json={"name": "a"}, headers={"X-CSRF-Token": "0" * 64}).status_code == 403
        assert page.post("/projects", json={"name": "a"}, headers=word).status_code == 201
        cookie = page.cookies[COOKIE]
        assert cookie.encode() not in (server.home / "studio.db").read_bytes()
        audit = page.get("/system/audit").json()
        assert next(one["who"] for one in audit if one["about"]["status"] == 201) == "admin"
        assert page.delete("/session", headers=word).status_code == 204
    old = httpx2.get(f"{server.url}/tasks", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert old.status_code == 401
    for broken in ("x" * 5000, "=;=;", f'{COOKIE}="', "\xff"):
        assert httpx2.get(f"{server.url}/tasks", headers={"Cookie": broken.encode("latin-1")}).status_code == 401


def test_a_guest_names_no_file_and_no_database(locked: tuple[StudioServer, str]) -> None:
    """SEC-1, SEC-3: what only this machine's own user may name: a template's file, a study's database, a way out of home."""
    server, token = locked
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as guest:
        number = guest.post("/datasets/sample", json={}).json()["id"]
        asked: dict[str, Any] = {"task_name": "a", "base_model": "demo", "dataset_id": number}
        for path in ("/train", "/plan"):
            body = {key: value for key, value in asked.items() if path == "/train" or key != "task_name"}
            for wrong in (
                {"template": "/etc/passwd"},
                {"template": "../../secret.jinja"},
                {"output": "/elsewhere"},
            ):
                assert guest.post(path, json=body | {"training_params": wrong}).status_code == 400, wrong
            assert guest.post(path, json=body | {"training_params": {"max_steps": 1}}).is_success
        search = {
            "dataset_id": number,
            "fine_tuning_params": {"use_llm_judge": False, "base_model_name": "demo", "n_trials": 5},
        }
        for wrong in (
            {"storage": "postgresql://10.0.0.1/x"},
            {"template": "/etc/passwd"},
            {"output": "/elsewhere"},
        ):
            assert guest.post("/tune", json=search | {"tuning_params": wrong}).status_code == 400, wrong


def test_a_guest_neither_looks_around_nor_says_whom_it_talks_to(
    locked: tuple[StudioServer, str], tmp_path: Path
) -> None:
    """SEC-1, SEC-3, SEC-5: folders of the machine, addresses, and which variable is sent to them."""
    server, token = locked
    folder = str(tmp_path)
    judge = {"kind": "openai", "base_url": "https://elsewhere.example/v1", "key_env": "HOME"}
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as guest:
        number = guest.post("/datasets/sample", json={}).json()["id"]
        refused: list[tuple[str, str, Any]] = [
            ("GET", f"/scan?folder={folder}", None),
            ("POST", "/installs", {"model": folder}),
            ("POST", "/checks", {"model": folder}),
            ("POST", "/checks", {"model": "../.."}),
            ("POST", "/adapters/import", {"source": folder}),
            ("POST", "/train", {"task_name": "a", "base_model": folder, "dataset_id": number}),
            ("POST", "/evaluate", {"base_model": "demo", "dataset_id": number, "adapters": [folder]}),
            ("POST", "/evaluate", {"base_model": "demo", "dataset_id": number, "evaluation_params": {"judge": f"local:{folder}"}}),
            ("POST", "/exports", {"base_model": "demo", "adapter": folder}),
            ("POST", "/servings", {"base_model": "demo", "adapters": {"a": folder}}),
            ("POST", "/assistants", {"name": "a", "base_model": folder}),
            ("PUT", "/judges/mine", judge),
            ("PUT", "/system/settings/mlflow_tracking_uri", {"value": "http://elsewhere.example"}),
        ]  # fmt: skip
        for method, path, body in refused:
            answer = guest.request(method, path, json=body)
            assert answer.status_code == 400, (path, answer.text)
            assert "machine" in answer.json()["error"]["message"], (path, answer.text)
        assert guest.post("/checks", json={"model": "demo"}).is_success
        assert guest.get("/judges").is_success


def test_a_copy_is_asked_for_as_its_original_was(studio: StudioServer) -> None:
    """SEC-1: what a task may not be given, its copy may not either."""
    number = httpx2.post(f"{studio.url}/exports", json={"base_model": "demo"}).json()["id"]
    httpx2.post(f"{studio.url}/tasks/{number}/stop")
    for wrong in ({"out": "/elsewhere"}, {"model": "x"}):
        assert httpx2.post(f"{studio.url}/tasks/{number}/clone", json={"training_params": wrong}).status_code == 400
    number = httpx2.post(f"{studio.url}/servings", json={"base_model": "demo"}).json()["id"]
    httpx2.post(f"{studio.url}/tasks/{number}/stop")
    for wrong in ({"host": "0.0.0.0"}, {"allow_origin": ["https://elsewhere.example"]}, {"api_key": ""}):  # noqa: S104
        assert httpx2.post(f"{studio.url}/tasks/{number}/clone", json={"training_params": wrong}).status_code == 400


def test_no_service_lies_at_a_link_local_address(studio: StudioServer) -> None:
    """SEC-3: where clouds keep the keys of a machine."""
    for address in ("http://169.254.169.254/latest", "http://[fe80::1]/v1"):
        body = {"kind": "openai", "base_url": address}
        assert httpx2.put(f"{studio.url}/judges/mine", json=body).status_code in (400, 422)
        where = {"value": address}
        assert httpx2.put(f"{studio.url}/system/settings/mlflow_tracking_uri", json=where).status_code in (400, 422)


def test_guessing_gets_slower(tmp_path: Path) -> None:
    """STU-11: after five wrong tokens an address waits, also with the right one."""
    with running(tmp_path / "home", "--host", "0.0.0.0") as server:  # noqa: S104
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        token = next(line.split()[1] for line in server.printed if line.strip().startswith("token"))
        said = [
            httpx2.post(f"{server.url}/session", json={"token": f"wrong {number}"}).status_code for number in range(8)
        ]
        assert said[:5] == [403] * 5
        assert 429 in said[5:]
        refused = httpx2.post(f"{server.url}/session", json={"token": token})
        assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
        time.sleep(5)
        assert httpx2.post(f"{server.url}/session", json={"token": token}).status_code == 200


def test_accounts_come_and_go(tmp_path: Path) -> None:
    """STU-11: one more account, and one less; the first start makes one, later ones do not."""
    everywhere = ("--host", "0.0.0.0")  # noqa: S104
    with running(tmp_path / "home", *everywhere) as server:
        first = next(line.split()[1] for line in server.printed if line.strip().startswith("token"))
        server.kill(signal.SIGINT)
        server.options = (*everywhere, "--add-account", "ann", "--remove-account", "admin")
        server.start()
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        ann = next(line.split()[1] for line in server.printed if line.strip().startswith("token"))
        statuses = [
            httpx2.get(f"{server.url}/tasks", headers={"Authorization": f"Bearer {token}"}).status_code
            for token in (first, ann)
        ]
        assert statuses == [401, 200]
        server.kill(signal.SIGINT)
        server.options = everywhere
        server.start()
        assert not any("token" in line for line in server.printed)


def test_the_page_may_reach_nothing_else(studio: StudioServer) -> None:
    """STU-11, SEC-6: its policy; and it is one file that names no other host."""
    for place in ("/", "/tasks/1", "/datasets/2?tab=table", "/models/check"):
        page = httpx2.get(studio.url.removesuffix("/api") + place)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "connect-src 'self'" in policy
        assert "'unsafe-eval'" not in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    nowhere = httpx2.get(studio.url.removesuffix("/api") + "/nowhere")
    assert (nowhere.status_code, nowhere.text) == (404, page.text), "the page itself says that there is nothing"
    assert "/api/docs" in httpx2.get(f"{studio.url}/nowhere").json()["error"]["hint"]


def test_what_is_changed_is_written_down(studio: StudioServer) -> None:
    """STU-11: who, what, when, with which outcome; reading is not."""
    studio.post("/projects", {"name": "written down"}, 201)
    studio.get("/projects")
    newest = studio.get("/system/audit")[0]
    assert (newest["who"], newest["what"], newest["about"]["status"]) == ("local", "POST /projects", 201)
    assert newest["about"]["address"] == "127.0.0.1"


def test_settings_and_judges_keep_their_secrets(studio: StudioServer) -> None:
    """STU-7, SEC-5: a secret is written and never read; a judge's key is named, not held."""
    known = {one["name"]: one for one in studio.get("/system/settings")}
    assert known["huggingface_token"]["is_secret"]
    studio.put("/system/settings/huggingface_token", {"value": "hf_very_secret"})
    after = httpx2.get(f"{studio.url}/system/settings")
    assert "hf_very_secret" not in after.text
    assert next(one for one in after.json() if one["name"] == "huggingface_token")["is_set"]
    studio.put("/system/settings/huggingface_token", {"value": None})
    assert not next(one for one in studio.get("/system/settings") if one["name"] == "huggingface_token")["is_set"]
    studio.put("/system/settings/max_download_workers", {"value": 2})
    assert next(one for one in studio.get("/system/settings") if one["name"] == "max_download_workers")["value"] == 2
    assert (
        "max_download_workers"
        in studio.put("/system/settings/max_download_workers", {"value": 99}, 400)["error"]["message"]
    )
    studio.put("/system/settings/models_dir", {"value": "/etc"}, 400)
    studio.put("/system/settings/nothing", {"value": 1}, 404)

    made = studio.put(
        "/judges/mine", {"kind": "openai", "model": "x", "base_url": "http://127.0.0.1:9/v1", "key_env": ""}
    )
    assert (made["id"], made["has_key"]) == ("mine", True)
    assert studio.post("/judges/mine/test")["ok"] is False
    key = studio.put("/judges/mine", {"kind": "openai", "model": "x", "key_env": "sk-this-is-a-key"}, 400)
    assert "sk-this" not in json.dumps(key)
    odd = "¬\U0003d943Q«À§\x9e¶{\x84ô\x8d\x0e\U0002cba8\x1b\u2028"
    kept = studio.put("/judges/odd", {"kind": "serve", "model": odd})
    assert (kept["model"], studio.get("/judges")[-1]["model"]) == (odd, odd), "written so that it can be read again"
    studio.delete("/judges/odd")
    studio.delete("/judges/mine")
    studio.delete("/judges/mine", 404)
    assert studio.post("/system/trackers/mlflow/test")["ok"] is False
    assert studio.post("/system/trackers/tensorboard/test")["ok"] is True
    assert {one["level"] for one in studio.get("/system/doctor")} <= {"ok", "warning", "error"}


def test_a_full_disk_leaves_nothing_of_an_upload(tmp_path: Path) -> None:
    """STU-11, REL-2: what does not fit is refused, and the next upload goes through."""
    with running(tmp_path / "home") as studio:
        assert studio.process is not None
        unlimited = resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE, (1_000_000, unlimited[1]))
        refused = studio.upload("large.jsonl", b'{"question": "1", "answer": "1"}\n' * 60_000, 503)
        assert "cannot be written" in refused["error"]["message"]
        assert not list((studio.home / "datasets").iterdir())
        resource.prlimit(studio.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert studio.upload("large.jsonl", b'{"question": "1", "answer": "1"}\n' * 60_000)["num_rows"] == 60_000


def test_a_json_body_has_a_limit_that_a_file_has_not(studio: StudioServer) -> None:
    """STU-11: what is held in memory is limited; what is written to disk may be as large as an upload."""

    def pieces() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(70):
            yield b"x" * 1_000_000
        yield b'"}'

    refused = httpx2.post(
        f"{studio.url}/projects", content=pieces(), headers={"Content-Type": "application/json"}, timeout=60
    )
    assert refused.status_code == 413
    assert studio.upload("large.jsonl", b'{"question": "1", "answer": "1"}\n' * 2_200_000)["num_bytes"] > 70e6


def test_ten_thousand_tasks_are_listed_by_pages(tmp_path: Path) -> None:
    """STU-8, STU-10: the first page and the last are small; a search finds one of them."""
    with running(tmp_path / "home") as studio:
        with sqlite3.connect(studio.home / "studio.db") as database:
            names = [column.name for column in Base.metadata.tables["tasks"].columns]
            row: dict[str, Any] = dict.fromkeys(names, "") | {
                "kind": "train", "status": "completed", "progress": 100, "training_params": "{}", "predicted": "{}",
                "measured": "{}", "error": None, "project": None, "dataset": None, "parent": None, "process": None,
                "priority": 0, "created_at": "2026-01-01 00:00:00.000000", "started_at": None, "completed_at": None,
                "heartbeat": None, "current_epoch": None, "runner": "local",
            }  # fmt: skip
            rows = [row | {"id": number, "task_name": f"run {number}"} for number in range(1, 10_001)]
            marks = ", ".join(f":{name}" for name in names)
            database.executemany(f"INSERT INTO tasks ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608
        page = studio.get("/tasks", limit=200)
        assert (page["total"], len(page["items"]), page["items"][0]["id"]) == (10_000, 200, 10_000)
        assert studio.get("/tasks", before=2)["items"][0]["id"] == 1
        assert [one["id"] for one in studio.get("/tasks", search="run 7777")["items"]] == [7777]


def test_a_log_of_two_gigabytes_is_read_at_its_end(studio: StudioServer, tiny_llama: Path, sums: Path) -> None:
    """STU-2: the log's end, and events read in places; the server's memory stays."""
    dataset = studio.upload("sums.jsonl", sums.read_bytes())
    number = studio.until(begin(studio, tiny_llama, dataset, QUICK)["id"], "completed")["id"]
    folder = studio.home / "tasks" / str(number)
    last = (folder / "events.jsonl").read_bytes()
    for name in ("process.log", "events.jsonl"):
        with (folder / name).open("ab") as file:
            file.truncate(2 * 10**9)
            file.seek(0, 2)
            file.write(b"\n" + last)
    assert studio.process is not None
    before = psutil.Process(studio.process.pid).memory_info().rss
    assert len(studio.get(f"/tasks/{number}/log")) <= 2**20
    metrics = studio.get(f"/tasks/{number}/metrics")
    assert [step for step, _ in metrics["series"]["loss/train"]] == list(range(1, 13))
    assert metrics["next"] == (folder / "events.jsonl").stat().st_size
    assert psutil.Process(studio.process.pid).memory_info().rss - before < 100e6


@pytest.mark.parametrize("database_server", ["postgresql"], indirect=True)
def test_the_database_goes_and_comes_back(database: str, tmp_path: Path, tiny_llama: Path, sums: Path) -> None:
    """STU-8, STU-9, REL-1: calls say so meanwhile, the training goes on, and its end is known afterwards."""
    url = make_url(database)
    gate = Gate(url.port or 0)
    through = url.set(port=gate.port).render_as_string(hide_password=False)
    with running(tmp_path / "home", "--database", through) as studio:
        number = begin(studio, tiny_llama, studio.upload("sums.jsonl", sums.read_bytes()), LONG)["id"]
        while "loss/train" not in studio.get(f"/tasks/{number}/metrics")["series"]:
            time.sleep(0.1)
        file = studio.home / "tasks" / str(number) / "events.jsonl"
        gate.shut()
        refused = studio.get("/tasks", 503)
        assert "database" in refused["error"]["message"].lower()
        size = file.stat().st_size
        time.sleep(3)
        assert file.stat().st_size > size, "it goes on"
        assert httpx2.get(f"{studio.url}/health").status_code == 200
        gate.open()
        task = studio.until(number, "running")
        assert task["status"] == "running"
        studio.post(f"/tasks/{number}/stop")
        assert studio.until(number, "stopped")["progress"] > 0
    gate.shut()


def test_the_clock_may_be_changed(tmp_path: Path, tiny_llama: Path, sums: Path) -> None:
    """STU-9: a heartbeat from the future, as after the clock was set back, takes nothing for dead and hides no change."""
    with running(tmp_path / "home") as studio:
        number = begin(studio, tiny_llama, studio.upload("sums.jsonl", sums.read_bytes()), LONG)["id"]
        while "loss/train" not in studio.get(f"/tasks/{number}/metrics")["series"]:
            time.sleep(0.1)
        for moment in ("2000-01-01 00:00:00.000000", "2050-01-01 00:00:00.000000"):
            with sqlite3.connect(studio.home / "studio.db", timeout=20) as database:
                database.execute("UPDATE tasks SET heartbeat = ?, created_at = ?", (moment, moment))
            time.sleep(1.5)
            assert studio.get(f"/tasks/{number}")["status"] == "running"
        studio.post(f"/tasks/{number}/stop")
        studio.until(number, "stopped")


def test_no_request_makes_it_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REL-4, STU-11: schemathesis over the whole OpenAPI; nothing is an internal error, and it answers on."""
    with ollama(monkeypatch), running(tmp_path / "home") as studio:
        studio.post("/datasets/sample", {}, 201)
        command = [
            Path(sys.executable).with_name("schemathesis"), "run", f"{studio.url}/openapi.json", "--checks", "not_a_server_error",
            "--max-examples", "8", "--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-time", "60", "--no-color",
            "--request-timeout", "30", "--exclude-path", "/api/events", "--exclude-path-regex", "/events$|/installs$|/doctor$|/test$|/search$",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-6000:]
        assert studio.get("/health") == {"status": "ok"}
