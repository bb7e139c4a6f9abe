"""Assistants, and what is served for pages: many voices over one base, answering OpenAI's own client (STU-6)."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image
from tests.conftest import Run, write_sums
from tests.studio import QUICK, StudioServer, begin, running

from lorasmith.data.tokenizer import printable
from lorasmith.testing import tiny

SAID = [{"role": "user", "content": "1 + 1 ="}]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture(scope="module")
def adapter(studio: StudioServer, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    dataset = studio.upload("sums.jsonl", write_sums(tmp_path_factory.mktemp("data")).read_bytes())
    done = studio.until(
        begin(studio, tiny_llama, dataset, QUICK | {"learning_rate": 0.05})["id"], "completed", "failed"
    )
    return str(done["measured"]["adapter"])


def until_ready(studio: StudioServer, number: int) -> Any:
    deadline = time.monotonic() + 60
    while True:
        one = next(one for one in studio.get("/assistants") if one["id"] == number)
        if one["state"] in ("ready", "failed"):
            return one
        assert time.monotonic() < deadline, one
        time.sleep(0.2)


def test_assistants_answer_openais_client(studio: StudioServer, adapter: str, tiny_llama: Path) -> None:
    """STU-6: two over one loaded base, each with its own adapter and prompt; a stream; stopped, they say so."""
    asked = {"base_model": str(tiny_llama), "sampling": {"temperature": 0, "max_tokens": 8}}
    plain = studio.post("/assistants", {"name": "Помощник", **asked}, 201)
    tuned = studio.post(
        "/assistants", {"name": "tuned", "adapter": adapter, "system_prompt": "Answer with a number.", **asked}, 201
    )
    assert "already" in studio.post("/assistants", {"name": "tuned", **asked}, 400)["error"]["message"]
    client = openai.OpenAI(base_url=f"{studio.url}/assistants/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.APIStatusError, match="not started"):
        client.chat.completions.create(model="tuned", messages=SAID)
    for one in (plain, tuned):
        studio.post(f"/assistants/{one['id']}/start")
    ready = [until_ready(studio, one["id"]) for one in (plain, tuned)]
    assert [one["state"] for one in ready] == ["ready", "ready"], ready
    assert ready[0]["serving"] == ready[1]["serving"], "one base, loaded once"
    assert {one.id for one in client.models.list()} == {"Помощник", "tuned"}

    answers = {
        name: client.chat.completions.create(model=name, messages=SAID, temperature=0).choices[0].message.content
        for name in ("Помощник", "tuned")
    }
    assert answers["Помощник"] != answers["tuned"]
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(model="tuned", messages=SAID, stream=True)
        if chunk.choices
    ]
    assert "".join(pieces) == answers["tuned"]
    used = client.chat.completions.create(model="tuned", messages=SAID).usage
    longer = client.chat.completions.create(model="tuned", messages=[{"role": "system", "content": "x"}, *SAID]).usage
    assert used is not None
    assert longer is not None
    assert used.completion_tokens <= 8
    assert longer.prompt_tokens > used.prompt_tokens, "its own prompt stays before the client's"
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.chat.completions.create(model="nobody", messages=SAID)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tuned", messages=[])

    studio.post(f"/assistants/{plain['id']}/stop")
    assert until_ready(studio, tuned["id"])["state"] == "ready", "the other needs the base"
    assert studio.post(f"/assistants/{tuned['id']}/stop")["state"] == "stopped"
    studio.until(ready[0]["serving"], "stopped", "completed")
    studio.delete(f"/assistants/{plain['id']}")
    studio.delete(f"/assistants/{tuned['id']}")
    assert studio.get("/assistants") == []


def test_base_and_adapter_side_by_side(studio: StudioServer, adapter: str, tiny_llama: Path) -> None:
    """STU-2: a finished training is tried beside its base; a second adapter comes to the server that runs."""
    one = studio.post("/servings", {"base_model": str(tiny_llama), "adapters": {"first": adapter}}, 201)
    deadline = time.monotonic() + 60
    while (seen := studio.get(f"/servings/{one['id']}"))["state"] != "ready":
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    assert "first" in seen["voices"]
    again = studio.post("/servings", {"base_model": str(tiny_llama), "adapters": {"second": adapter}}, 201)
    assert again["id"] == one["id"]
    while "second" not in studio.get(f"/servings/{one['id']}")["voices"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    path = f"/servings/{one['id']}/v1/chat/completions"
    said = {"messages": SAID, "temperature": 0, "max_tokens": 8}
    answers = [
        studio.post(path, said | {"model": voice})["choices"][0]["message"]["content"]
        for voice in (seen["voices"][0], "first", "second")
    ]
    assert answers[0] != answers[1] == answers[2]
    studio.get(f"/servings/{one['id']}/metrics", 404)
    studio.post(f"/tasks/{one['id']}/stop")
    studio.until(one["id"], "stopped", "completed")
    studio.post(path, said | {"model": "first"}, 503)


def test_a_model_that_reads_pages_has_its_own_page(studio: StudioServer, tmp_path: Path) -> None:
    """STU-6, DOC-4: served for an assistant like any other; its own page, with the form for documents, stands behind the studio."""
    model = tiny.build("donut", tmp_path / "donut")
    one = studio.post("/assistants", {"name": "reader", "base_model": str(model)}, 201)
    studio.post(f"/assistants/{one['id']}/start")
    ready = until_ready(studio, one["id"])
    assert (ready["state"], ready["family"]) == ("ready", "document")
    place = f"{studio.url}/servings/{ready['serving']}/"
    page = httpx2.get(place)
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert "<html" in page.text
    assert httpx2.get(f"{place}info").json()["family"] == "document"
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(picture, "PNG")
    call = {"images": [f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"], "max_tokens": 6}
    read = httpx2.post(f"{place}generate", json=call, timeout=60)
    assert read.status_code == 200, read.text
    assert [one.keys() >= {"fields", "text"} for one in read.json()["results"]] == [True]
    with httpx2.stream(
        "POST", f"{place}generate/stream", json=call, headers={"Accept": "text/event-stream"}, timeout=60
    ) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        assert any(line.startswith("data:") for line in events.iter_lines())
    studio.post(f"/assistants/{one['id']}/stop")
    studio.delete(f"/assistants/{one['id']}")


def test_an_adapter_that_is_not_there_is_said(studio: StudioServer, tiny_llama: Path) -> None:
    """STU-6, QLT-1"""
    asked = {"name": "lost", "base_model": str(tiny_llama), "adapter": "/nowhere/lora"}
    number = studio.post("/assistants", asked, 201)["id"]
    assert "/nowhere/lora" in studio.post(f"/assistants/{number}/start", status=404)["error"]["message"]
    wrong = studio.post("/assistants", asked | {"name": "x", "sampling": {"colour": 1}}, 400)
    assert "colour" in wrong["error"]["message"]
    studio.put(f"/assistants/{number}", asked | {"name": "renamed", "adapter": ""})
    assert [one["name"] for one in studio.get("/assistants")] == ["renamed"]


def test_assistants_on_the_command_line(
    studio: StudioServer, adapter: str, tiny_llama: Path, lorasmith: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STU-6: made, talked to without a studio, started for one that runs, replaced and removed; what is wrong is said."""
    monkeypatch.setenv("LORASMITH_HOME", str(studio.home))
    base = ("--base", str(tiny_llama), "--max-tokens", "8", "--temperature", "0")

    def said(*arguments: str, code: int = 0, typed: str | None = None) -> str:
        done = lorasmith("assistants", *arguments, code=code, text=typed)
        return str(done.stderr if code else done.stdout)

    for one in studio.get("/assistants"):
        said("remove", one["name"])
    assert "assistants add" in said("list")
    said("add", "Clerk", *base, "--adapter", adapter)
    assert "already" in said("add", "Clerk", *base, code=2)
    assert "no adapter" in said("add", "Other", *base, "--adapter", "nowhere", code=3)
    assert "Known: Clerk" in said("chat", "Nobody", code=3)
    listed = json.loads(said("list", "--json"))
    assert listed == [
        {
            "name": "Clerk", "base_model": str(tiny_llama), "adapter": adapter, "system_prompt": "",
            "sampling": {"temperature": 0.0, "max_tokens": 8}, "is_started": False,
        }
    ]  # fmt: skip
    tuned = said("chat", "Clerk", typed=f"{SAID[0]['content']}\n").strip()
    said("add", "Clerk", *base, "--system", "Answer with a number.", "--replace")
    told = said("chat", "Clerk", typed=f"{SAID[0]['content']}\n").strip()
    assert told
    assert told != tuned
    one = studio.get("/assistants")[0]
    assert (one["system_prompt"], one["adapter"]) == ("Answer with a number.", "")
    said("start", "Clerk")
    assert until_ready(studio, one["id"])["state"] == "ready", "the studio that runs has started it"
    client = openai.OpenAI(base_url=f"{studio.url}/assistants/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(model="Clerk", messages=SAID).choices[0].message.content
    assert printable(answer or "").strip() == told, "the same assistant in both places"
    said("stop", "Clerk")
    assert studio.get("/assistants")[0]["state"] == "stopped"
    said("remove", "Clerk")
    assert studio.get("/assistants") == []


def test_an_assistant_follows_its_adapter(studio: StudioServer, adapter: str, tiny_llama: Path) -> None:
    """STU-6, ADP-1: one whose adapter is called otherwise goes on with it, whether it named it or its folder."""
    name = next(one["name"] for one in studio.get("/adapters") if one["path"] == adapter)
    made = [
        studio.post(
            "/assistants", {"name": f"follower {len(one)}", "base_model": str(tiny_llama), "adapter": one}, 201
        )["id"]
        for one in (adapter, name)
    ]
    studio.patch(f"/adapters/{name}", {"name": "renamed"})
    found = {one["id"]: one["adapter"] for one in studio.get("/assistants")}
    assert [found[number] for number in made] == [adapter.replace(name, "renamed"), "renamed"]
    for number in made:
        studio.delete(f"/assistants/{number}")
    studio.patch("/adapters/renamed", {"name": name})
