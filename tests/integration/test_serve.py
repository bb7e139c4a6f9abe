"""`lorasmith serve` on the demo model, over HTTP and WebSocket as clients use it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import demo_adapters
from tests.servers import Server, serving

from lorasmith.serve import launch

ANYWHERE = "0.0.0.0"  # noqa: S104  that it asks for a key there is what is tested
PROMPT = "Copy this text: bread and milk"
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")  # PEFT's own


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return demo_adapters(tmp_path_factory.mktemp("serve") / "adapters", 3, size=6)


@pytest.fixture(scope="module")
def server(adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model with two adapters; a third lies in home."""
    home = tmp_path_factory.mktemp("home")
    (home / "adapters").mkdir()
    adapters["a2"].rename(home / "adapters" / "a2")
    given = [f"--adapter={name}={adapters[name]}" for name in ("a0", "a1")]
    with serving("demo", home, *given, "--max-body-mb", "5", "--max-queue", "8") as running:
        yield running


def generate(server: Server, **fields: Any) -> Any:
    answer = server.post("/generate", {"prompt": PROMPT, "max_tokens": 12, "temperature": 0, **fields})
    assert answer.status == 200, answer.body
    return answer.body


def pieces(server: Server, **fields: Any) -> list[dict[str, Any]]:
    return list(server.events("/generate/stream", {"prompt": PROMPT, "max_tokens": 12, "temperature": 0, **fields}))


def test_it_answers_and_counts(server: Server) -> None:
    """SRV-1, SRV-2: a text, why it ended, its tokens; every way says the same."""
    whole = generate(server)
    assert whole["text"]
    assert whole["finish_reason"] in ("stop", "length")
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["answer_tokens"]
    streamed = pieces(server)
    assert "".join(event["token"] for event in streamed) == whole["text"]
    assert [event["finished"] for event in streamed] == [False] * (len(streamed) - 1) + [True]
    assert streamed[-1]["usage"] == usage
    chat = generate(server, prompt="", messages=[{"role": "user", "content": PROMPT}])
    assert chat["text"] == whole["text"]
    got = server.get("/generate/stream?max_tokens=12&temperature=0&prompt=" + PROMPT.replace(" ", "%20")).body
    last = [json.loads(line[6:]) for line in got.splitlines() if line.startswith("data: ")]
    assert "".join(event["token"] for event in last) == whole["text"]


def test_health_info_and_metrics(server: Server) -> None:
    """SRV-1: what it is, what it can, what /generate takes, and figures for Prometheus."""
    assert server.get("/health").body["status"] == "ready"
    info = server.get("/info").body
    assert (info["family"], info["context_tokens"]) == ("language", 1024)
    assert {adapter["name"] for adapter in info["adapters"]} >= {"a0", "a1"}
    assert info["capabilities"]["batches"]
    assert "max_tokens" in info["parameters"]["properties"]
    generate(server)
    text = server.get("/metrics").body
    for name in (
        "lorasmith_requests_total",
        "time_to_first_token",
        "time_per_output_token",
        "generated_tokens_total",
        "memory_bytes",
    ):
        assert name in text
    memory = next(line for line in text.splitlines() if line.startswith("lorasmith_engine_memory_bytes "))
    assert float(memory.split()[1]) > 10**8


def test_memory_is_told_beside_the_plan(server: Server) -> None:
    """SRV-11: in /info and in the log, and the plan is near it."""
    info = server.get("/info").body
    assert info["memory_bytes"] == pytest.approx(info["planned_memory_bytes"], rel=0.15)
    assert info["load_seconds"] > 0
    log = (server.home / "logs" / "server.log").read_text()
    assert re.search(r"Ready after \d+\.\d s: \d+ MB of memory, \d+ MB planned\.", log)


def test_small_answers_are_not_held_back() -> None:
    """SRV-13: the connections that are accepted send what they are given at once."""
    listening = launch.listen("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_adapters_by_name_under_traffic(server: Server, adapters: dict[str, Path]) -> None:
    """SRV-7, SRV-8, ADP-2: requests name their adapter; one is loaded and unloaded while others are answered, and none is lost."""
    base, first = generate(server, adapter="base")["text"], generate(server, adapter="a1")["text"]
    assert base != first
    assert generate(server)["text"] == base  # of two adapters none is the default

    async def all_at_once() -> list[Any]:
        ask = [asyncio.to_thread(generate, server, adapter=name) for name in ("a1", "base", "a0", "a1")]
        load = asyncio.to_thread(server.post, "/v1/load_lora_adapter", {"lora_name": "late", "lora_path": "a2"})
        return await asyncio.gather(*ask, load)

    *answers, loaded = asyncio.run(all_at_once())
    assert loaded.status == 200, loaded.body
    assert [answer["text"] for answer in answers][::3] == [first, first]
    assert generate(server, adapter="late")["adapter"] == "late"
    assert server.post("/v1/unload_lora_adapter", {"lora_name": "late"}).status == 200
    gone = server.post("/generate", {"prompt": "x", "adapter": "late"})
    assert gone.status == 404
    assert "a0" in gone.body["error"]["message"]


@pytest.mark.parametrize("path", ["/etc", "../../../../etc", "a0\0b", "", "~", "/proc/self"])
def test_adapters_only_from_where_adapters_are_kept(server: Server, path: str, tmp_path: Path) -> None:
    """SEC-1, SRV-7: nothing outside the allowed folders is read."""
    answer = server.post("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": path})
    assert answer.status in (400, 404), answer.body


def test_an_adapter_beside_the_allowed_folders_is_refused(
    server: Server, adapters: dict[str, Path], tmp_path: Path
) -> None:
    """SEC-1: a real adapter outside, by its path and by a link inside."""
    outside = demo_adapters(tmp_path, 1)["a0"]
    link = server.home / "adapters" / "link"
    link.symlink_to(outside)
    for path in (str(outside), "link"):
        answer = server.post("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": path})
        assert answer.status == 400, answer.body
        assert "outside" in answer.body["error"]["message"]


def test_wrong_requests_are_told_what_is_wrong(server: Server) -> None:
    """SRV-9: one shape, the field's name, the numbers, a right example; never a 500."""
    wrong: list[tuple[Any, int, str]] = [
        ({"promt": "x"}, 400, "promt"), ({}, 400, "prompt or messages"), ([1], 400, "object"), (b"{", 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"), ({"prompt": "x", "max_tokens": 5000}, 400, "1,024"),
        ({"prompt": "x", "max_tokens": 0}, 400, "max_tokens"), ({"prompt": "word " * 3000}, 400, "1,024"),
        ({"prompt": "x", "temperature": "hot"}, 400, "temperature"), ({"prompt": "x", "stop": ["a"] * 99}, 400, "stop"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "wizard"), ({"messages": [{"role": "user", "content": 5}]}, 400, "content"),
        ({"prompt": "x", "adapter": "nobody"}, 404, "a0"), ({"prompt": "x", "json_schema": {"type": "nonsense"}}, 400, ""),
        ({"prompt": "x", "tools": [{"type": "function"}]}, 400, ""), ({"prompt": "x", "tools": [5]}, 400, ""),
        ({"prompt": "y" * 3_000_000}, 400, "characters"),
    ]  # fmt: skip
    for body, status, words in wrong:
        answer = server.post("/generate", body)
        assert answer.status == status, (str(body)[:100], answer.body)
        error = answer.body["error"]
        assert set(error) == {"message", "type", "param", "code", "hint"}
        assert words in error["message"] + error["hint"]
    assert server.get("/nowhere").status == 404
    assert server.get("/generate").status == 405


def test_large_and_foreign_requests_are_refused_unread(server: Server) -> None:
    """SRV-12, SEC-3, SEC-4: by size before the body comes, by kind, by origin, by host."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", "/generate")
    for name, value in (("Content-Type", "application/json"), ("Content-Length", str(2 * 10**9))):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    chunks = (b"x" * 10**6 for _ in range(20))
    try:
        connection.request("POST", "/generate", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it hung up in the middle: as good
    connection.close()
    assert server.post("/generate", {"prompt": "x"}, Content_Type="text/plain").status == 415
    assert server.post("/generate", {"prompt": "x"}, Origin="http://evil.example").status == 403
    assert server.post("/generate", {"prompt": "x"}, Origin="null").status == 403
    assert server.get("/info", Host="evil.example:80").status == 403
    assert server.post("/generate", {"prompt": "x", "max_tokens": 1}, Origin=server.url).status == 200


def test_a_client_that_vanishes_frees_its_place(server: Server) -> None:
    """SRV-2: in mid-stream and while it waits for a whole answer; the server is idle again at once."""
    body = json.dumps(
        {"prompt": PROMPT, "max_tokens": 900, "temperature": 2.0, "seed": 1, "logit_bias": {"2": -100}}
    ).encode()
    for path in ("/generate/stream", "/generate"):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            deadline = time.monotonic() + 20
            while server.get("/health").body["busy"] == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.get("/health").body["busy"] == 1
        deadline = time.monotonic() + 20
        while server.get("/health").body["busy"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.get("/health").body["busy"] == 0


def test_more_than_may_wait_are_told_to_come_back(server: Server) -> None:
    """SEC-4: a queue of eight; the ninth hears 429, and those in it are answered."""

    async def crowd() -> list[int]:
        ask = {"prompt": PROMPT, "max_tokens": 150, "temperature": 1.0, "logit_bias": {"2": -100}}
        answers = await asyncio.gather(*[asyncio.to_thread(server.post, "/generate", ask) for _ in range(24)])
        return [answer.status for answer in answers]

    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(24))
    statuses = loop.run_until_complete(crowd())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 8


def test_websocket(server: Server) -> None:
    """SRV-1: many answers over one connection, each by its id; cancelled by a word; bad frames end nothing."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    whole = generate(server)["text"]
    address = f"ws://127.0.0.1:{server.port}/ws"
    with connect(address) as talk:
        ask = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0}
        for id_ in ("1", "2"):
            talk.send(json.dumps({"id": id_, "generate": ask}))
        talk.send("{")
        talk.send(b"\xff\xfe")
        talk.send("[]")
        talk.send(json.dumps({"id": "3", "generate": {"prompt": PROMPT, "max_tokens": 900, "logit_bias": {"2": -100}}}))
        heard: dict[str, list[dict[str, Any]]] = {}
        while sum(events[-1].get("finished", False) for events in heard.values()) < 4:
            event = json.loads(talk.recv(timeout=60))
            heard.setdefault(event["id"], []).append(event)
            if event["id"] == "3" and len(heard["3"]) == 1:
                talk.send(json.dumps({"id": "3", "cancel": True}))
        assert (
            "".join(event["token"] for event in heard["1"]) == whole == "".join(event["token"] for event in heard["2"])
        )
        assert heard["3"][-1]["finish_reason"] == "cancelled"
        assert heard[""][-1]["error"]["code"] == "invalid_json"
        talk.send('{"ping": true}')
        while "pong" not in (event := json.loads(talk.recv(timeout=20))):
            assert event["id"] == ""
    with pytest.raises(InvalidStatus):
        connect(address, additional_headers={"Origin": "http://evil.example"})


def test_the_page_may_run_what_it_was_built_with_and_nothing_else(server: Server) -> None:
    """SEC-6: a policy with the hashes of its own scripts."""
    page = server.get("/")
    policy = page.headers["content-security-policy"]
    assert page.status == 200
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "src=" not in page.body.split("<body")[0].replace('src="data:', "")


def test_the_api_describes_itself(server: Server) -> None:
    """SEC-6, SRV-1: every route, and what this model's one call takes, on a page that runs no script and may load nothing."""
    described = server.get("/docs")
    assert described.status == 200
    assert "script-src" not in described.headers["content-security-policy"]
    assert described.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert not re.findall(r"<script|https?://|(?:src|href)=\"//", described.body)
    for path, methods in server.get("/openapi.json").body["paths"].items():
        for method in methods:
            assert f"<b>{method.upper()}</b><code>{path}</code>" in described.body, (method, path)
    assert "<code>max_tokens</code>" in described.body
    assert server.get("/redoc").status == 404
    assert "/docs, and in /info" in server.post("/generate", {"nothing": 1}).body["error"]["hint"]


def test_a_key_is_asked_for_where_others_can_reach_it(tmp_path: Path) -> None:
    """SRV-12: any other address than loopback needs a key; without one, one is made; only health and page go without."""
    with serving("demo", tmp_path, "--host", ANYWHERE, ready=False) as server:
        assert len(server.key) >= 32
        url = f"http://127.0.0.1:{server.port}"
        server.url = url
        assert server.get("/health").status in (200, 503)
        assert server.get("/").status == 200
        for path in ("/info", "/metrics", "/v1/models", "/docs", "/openapi.json", "/tokenize"):
            assert server.get(path).status == 401, path
            assert server.get(path, Authorization="Bearer wrong").status == 401
            assert server.get(path, Authorization=f"Basic {server.key}").status == 401
        assert server.get("/info", Authorization=f"Bearer {server.key}").status == 200
        assert server.get("/info", x_api_key=server.key).status == 200
        assert server.key not in (tmp_path / "logs" / "server.log").read_text()


def test_a_dead_engine_is_started_again_and_a_term_ends_all(tmp_path: Path) -> None:
    """SRV-9, SRV-10: the server outlives its engine; prompts are not in the log; SIGTERM lets what runs come to its end."""
    with serving("demo", tmp_path) as server:
        os.kill(server.worker_pid(), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while server.get("/health").status == 200:
            assert time.monotonic() < deadline
        server.wait_until_ready()
        assert generate(server, prompt="a confidential word")["finish_reason"]
        worker = server.worker_pid()
        stream = server.events(
            "/generate/stream", {"prompt": PROMPT, "max_tokens": 300, "temperature": 1.0, "logit_bias": {"2": -100}}
        )
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        assert list(stream)[-1]["finish_reason"] == "length"
        assert server.process.wait(timeout=40) in (0, -signal.SIGTERM)
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
        log = (tmp_path / "logs" / "server.log").read_text()
        assert "engine ended" in log
        assert "confidential" not in log
        assert "POST /generate 200 in " in log


def test_a_model_that_does_not_fit_says_so(tmp_path: Path) -> None:
    """SRV-9: what it takes, what is free, and the command to try."""
    from lorasmith.engines import EngineSpec
    from lorasmith.hub.recognise import know_model
    from lorasmith.workers.serve import told_as

    spec = EngineSpec(model=know_model("demo", serving=True), log_path=tmp_path / "log")
    problem = told_as(RuntimeError("DefaultCPUAllocator: can't allocate memory"), spec)
    assert "2.1 MB" in problem.why
    assert "free" in problem.why
    assert "./start.sh --load-in-8bit" in problem.fix
