"""Hostile and unlucky clients against real servers: none makes one fail, leak or hang, or keeps it from the others.

Classes of attack: the SEC and REL requirements, and what was seen on such servers. Broken calls by the OpenAPI are
test_serve_fuzz's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.conftest import Run
from tests.servers import Server, serving

from lorasmith.testing import tiny

PATIENCE = 90.0
"""Seconds for anything to happen, on a machine however loaded."""
ARRIVAL_SECONDS = 3
"""For a request to arrive in: what the servers are started with."""
CONNECTIONS = 250
LONG: dict[str, Any] = {"prompt": "Copy this text: bread and milk", "max_tokens": 900, "logit_bias": {"2": -100}}
"""An answer that does not end by itself: the end token is ruled out."""
KEY = "a-key-of-the-tests"
SECRET = "nobody-may-read-this"  # noqa: S105  what must not come out of a file
RED = "\x1b[31mred\x1b[0m"
FORGED = "2026-01-01 00:00:00 INFO: forged"
JSON_KIND = "Content-Type: application/json"
UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, with small limits; a folder that looks like an adapter lies beside the allowed ones."""
    home = tmp_path_factory.mktemp("attacks")
    outside = home / "outside"
    for folder in (home / "adapters", outside):
        folder.mkdir()
    (outside / "adapter_config.json").write_text(json.dumps({"secret": SECRET}))
    limits = {"--max-connections": CONNECTIONS, "--body-seconds": ARRIVAL_SECONDS, "--max-body-mb": 5}
    given = [str(part) for pair in limits.items() for part in pair]
    with serving("demo", home, "--log-prompts", *given) as running:
        yield running


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model that looks at pictures and may fetch them from the web; it asks for a key."""
    folder = tmp_path_factory.mktemp("eyes")
    model = tiny.build("llava", folder / "model")
    with serving(model, folder / "home", "--allow-urls", "--api-key", KEY) as running:
        yield running


def client_of(server: Server, **headers: str) -> httpx2.Client:
    """For many requests: one connection."""
    return httpx2.Client(base_url=server.url, headers=headers, timeout=PATIENCE)


def still_answers(server: Server, **headers: str) -> None:
    """An ordinary request is answered, and nothing else is under way."""
    answer = server.post("/generate", {"prompt": "Say hello", "max_tokens": 2}, **headers)
    assert answer.status == 200, answer.body
    wait_for(lambda: not server.get("/health").body["busy"], "a request that nobody waits for is still under way")


def words(text: str) -> list[str]:
    """What stands between blanks."""
    return text.split()


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def heard(client: socket.socket, seconds: float = PATIENCE) -> bytes:
    """All that comes until the server hangs up; or until it is silent for so many seconds."""
    client.settimeout(seconds)
    data = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while part := client.recv(65_536):
            data += part
    return data


def told(server: Server, request: bytes, seconds: float = PATIENCE) -> bytes:
    """What comes back for these very bytes."""
    with connected(server) as client:
        with contextlib.suppress(ConnectionError):  # it hung up before the end of what was sent
            client.sendall(request)
        return heard(client, seconds)


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", data)]


def raw(line: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """A request as it is written here, right or wrong, in Latin-1."""
    lines = [line, *([f"Host: {host}"] if host else []), *headers]
    return "".join(f"{one}\r\n" for one in lines).encode("latin-1") + b"\r\n" + body


def got(server: Server, target: str, *headers: str, host: str = "localhost", method: str = "GET") -> bytes:
    """What comes back for this target, byte by byte as it is written, until the server hangs up behind its answer."""
    return told(server, raw(f"{method} {target} HTTP/1.1", "Connection: close", *headers, host=host))


def upgraded(server: Server, *headers: str, path: str = "/ws", host: str = "localhost") -> list[int]:
    """The status with which the request for a WebSocket is answered."""
    with connected(server) as client:
        client.sendall(raw(f"GET {path} HTTP/1.1", *UPGRADE, *headers, host=host))
        return statuses(client.recv(65_536))


def grown_to(pid: int) -> int:
    """The most bytes that a process has held."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


def plain_log(server: Server) -> str:
    """The log, in which every entry begins with its time, goes on indented, and holds no sign that a terminal obeys."""
    text = (server.home / "logs" / "server.log").read_bytes().decode()
    for line in text.removesuffix("\n").split("\n"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+: |    ", line), line
        assert line.isprintable(), line
    return text


# Slowness, silence, sudden ends.


def test_clients_that_send_byte_by_byte_are_hung_up_on_and_disturb_nobody(server: Server) -> None:
    """SEC-4: heads, second heads and bodies that never end; the others are answered meanwhile."""
    head = raw("GET /health HTTP/1.1", "X-Slow: ").removesuffix(b"\r\n\r\n")
    begun = {
        "head": b"", "second head": raw("GET /health HTTP/1.1"),
        "body": raw("POST /generate HTTP/1.1", JSON_KIND, "Content-Length: 100000"),
        "chunks": raw("POST /generate HTTP/1.1", JSON_KIND, "Transfer-Encoding: chunked") + b"fffff\r\n",
    }  # fmt: skip
    clients = {(kind, number): connected(server) for kind in begun for number in range(8)}
    said = dict.fromkeys(clients, b"")
    for (kind, _), client in clients.items():
        client.sendall(begun[kind])
    deadline, rounds = time.monotonic() + PATIENCE, 0
    while clients:
        assert time.monotonic() < deadline, f"still listened to: {sorted(clients)}"
        for name, client in list(clients.items()):
            data, is_gone = dripped(client, head[rounds : rounds + 1] or b"a")
            said[name] += data
            if is_gone:
                clients.pop(name).close()
        rounds += 1
        assert server.post("/generate", {"prompt": "Say hello", "max_tokens": 1}).status == 200
    expected = {"head": [], "second head": [200], "body": [408], "chunks": [408]}
    for (kind, _), data in said.items():
        assert statuses(data) == expected[kind], (kind, data)
    still_answers(server)


def dripped(client: socket.socket, data: bytes) -> tuple[bytes, bool]:
    """Sends a little; what has come back, and whether the server has hung up."""
    said = b""
    try:
        client.sendall(data)
        while select.select([client], [], [], 0)[0]:
            if not (part := client.recv(65_536)):
                return said, True
            said += part
    except ConnectionError:
        return said, True
    return said, False


def test_silent_connections_leave_room_for_others(server: Server) -> None:
    """SEC-4: hundreds that say nothing disturb nobody; more than there may be hold their places for seconds only."""
    idle = [connected(server) for _ in range(CONNECTIONS - 50)]
    try:
        still_answers(server)
        idle += [connected(server) for _ in range(100)]
        wait_for(lambda: server.get("/health").status == 200, "silent connections keep the others out")
        assert {heard(client) for client in idle} == {b""}
    finally:
        for client in idle:
            client.close()
    still_answers(server)


def test_clients_that_break_off_without_a_word(server: Server) -> None:
    """SEC-4, REL-4: resets in a head, in a body, before the answer, in a stream, in a WebSocket; nothing stays."""
    long = json.dumps(LONG).encode()
    sized = (JSON_KIND, f"Content-Length: {len(long)}")
    parts = [
        (b"GET /hea", b""), (raw("POST /generate HTTP/1.1", *sized, body=b'{"prompt": '), b""),
        (raw("POST /generate HTTP/1.1", *sized, body=long), b""), (raw("GET /ws HTTP/1.1", *UPGRADE), b" 101 "),
        (raw("POST /generate/stream HTTP/1.1", *sized, body=long), b"data: "),
    ]  # fmt: skip
    for request, until in parts * 6:
        client = connected(server)
        client.sendall(request)
        data = b""
        while until not in data:
            data += client.recv(65_536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # a reset
    still_answers(server)
    assert "ERROR" not in plain_log(server)


# Requests that can be read in two ways, or have no end.

TWO_WAYS = (
    "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 50", "Content-Length: 5, 50", "Content-Length: +5", "Content-Length: 0x5",
    "Content-Length: -5", "Content-Length: 5 5", "Content-Length: \xb2", "Content-Length:",
    f"Content-Length: {'9' * 5000}", "Transfer-Encoding :chunked", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: xchunked", "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked", "Content-Length\x00: 5",
    "X: a\x00b\r\nContent-Length: 5",
)  # fmt: skip


def test_a_length_that_can_be_read_in_two_ways_is_refused(server: Server) -> None:
    """SEC-3, SEC-4: behind a proxy that reads it the other way, the rest would be a request of its own."""
    hidden = raw("GET /info HTTP/1.1")
    for headers in TWO_WAYS:
        found = told(server, raw("POST /generate HTTP/1.1", JSON_KIND, headers, body=b"0\r\n\r\n" + hidden), 10)
        assert [status // 100 for status in statuses(found)] == [4], (headers, found)
    still_answers(server)


def test_a_broken_request_for_a_websocket_is_refused(server: Server) -> None:
    """SEC-4: and not left open without an answer, which would hold its place for ever."""
    for line, *headers in (
        ("GET /ws HTTP/1.1", f"X: {RED}"), ("GET /ws HTTP/1.1", "X: " + "a" * 20_000), ("POST /ws HTTP/1.1", "X: a"),
        ("GET /ws HTTP/1.1", *["X: a"] * 300), ("GET /ws HTTP/1.1", "Sec-WebSocket-Version: 1"),
        ("GET /ws HTTP/1.1", "Content-Length: 5"), (f"GET /ws?{'a' * 20_000} HTTP/1.1",),
    ):  # fmt: skip
        found = told(server, raw(line, *UPGRADE, *headers, body=b"hello"), 10)
        assert [status // 100 for status in statuses(found)] == [4], (
            line[:50],
            headers[0][:50] if headers else "",
            found,
        )
    still_answers(server)


def test_chunks_of_absurd_sizes_are_refused(server: Server) -> None:
    """SEC-4: or they are waited for no longer than a request may take."""
    head = raw("POST /generate HTTP/1.1", JSON_KIND, "Transfer-Encoding: chunked", "Connection: close")
    for chunks in (
        b"FFFFFFFFFFFFFFFFFFFFF\r\nx", b"f" * 100_000, b"-1\r\nx", b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n", b"7FFFFFFFFFFFFFFF\r\n{",
        b"5;" + b"a" * 200_000 + b"\r\nhello\r\n0\r\n\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n",
    ):  # fmt: skip
        found = told(server, head + chunks)
        assert [status // 100 for status in statuses(found)] in ([4], []), (chunks[:50], found)
    still_answers(server)


@pytest.mark.parametrize("is_behind_a_request", [False, True])
def test_a_head_without_an_end_is_not_read_on(server: Server, is_behind_a_request: bool) -> None:
    """SEC-4: 60 MB of headers, alone and behind a request that is being answered: the server's memory does not grow."""
    before = grown_to(server.process.pid)
    long = json.dumps(LONG).encode()
    with connected(server) as client:
        if is_behind_a_request:
            head = raw("POST /generate/stream HTTP/1.1", JSON_KIND, f"Content-Length: {len(long)}")
            client.sendall(head + long)
        client.settimeout(2)
        with contextlib.suppress(ConnectionError, TimeoutError):  # it hung up, or reads no more
            client.sendall(raw("GET /health HTTP/1.1").removesuffix(b"\r\n"))
            for number in range(60):
                client.sendall(f"X-{number}: ".encode() + b"a" * 10**6 + b"\r\n")
    assert grown_to(server.process.pid) - before < 30 * 10**6
    still_answers(server)


# Other people's pages.

FOREIGN_NAMES = (
    *words(r"""evil.example evil.example:80 localhost.evil.example 127.0.0.1.evil.example localhost. 127.0.0.1. 127.1
    2130706433 0x7f000001 0.0.0.0 [::] [::1 ::1 [evil] a[b] [[::1]] [::ffff:93.184.216.34] localhost@evil.example
    evil.example@localhost localhost:80@evil.example evil.example#localhost evil.example?localhost
    evil.example/localhost evil.example\@localhost localhost,evil.example xn--lcalhost-54a 169.254.169.254
    localhost%00.evil.example"""),
    "localhost evil.example", "l\xf6calhost", " ", "a" * 5000, "localhost\t", "evil.example\x00localhost",
)  # fmt: skip


def test_names_that_only_look_like_this_machine_are_refused(server: Server) -> None:
    """SEC-3: a page whose name was pointed at this machine (DNS rebinding) sends that name, and is not answered."""
    for name in FOREIGN_NAMES:
        if name.strip() != "localhost":
            found = got(server, "/info", host=name)
            assert statuses(found) in ([403], [400]), (name, found)
            assert upgraded(server, host=name) in ([403], [400]), name
    for hosts in (("Host: localhost", "Host: evil.example"), ("Host: evil.example", "Host: localhost"), ()):
        assert statuses(got(server, "/info", *hosts, host="")) in ([403], [400]), hosts
    assert statuses(got(server, "http://localhost/info", host="evil.example")) == [403]
    still_answers(server)


def test_names_of_this_machine_are_answered(server: Server) -> None:
    """SEC-3: in capitals, as an IPv6 address, with whatever port a tunnel has."""
    for name in words("localhost LOCALHOST 127.0.0.1 127.0.0.9 [::1] localhost:1 [::1]:8000"):
        assert statuses(got(server, "/info", host=name)) == [200], name
        assert upgraded(server, host=name) == [101], name


FOREIGN_ORIGINS = (
    *words(r"""null NULL http://localhost http://localhost:1 http://localhost:PORT.evil.example http://localhost.:PORT
    http://localhost:PORT@evil.example http://evil.example@localhost:PORT http://user@localhost:PORT
    http://127.0.0.1:PORT http://[::1]:PORT http://[::1 http://[evil] http://evil.example?localhost:PORT
    http://evil.example#//localhost:PORT http://evil.example/localhost:PORT http://evil.example\localhost:PORT
    localhost:PORT file:// chrome-extension://a http://localhost:PORT,http://evil.example"""),
    "", "http://localhost:PORT http://evil.example", "http://localhost:PORT\xb9",
)  # fmt: skip


def test_pages_from_elsewhere_are_refused(server: Server) -> None:
    """SEC-3: another port is another page; so is another name of the same machine, and a page without a name."""
    host = f"localhost:{server.port}"
    for given in FOREIGN_ORIGINS:
        origin = f"Origin: {given.replace('PORT', str(server.port))}"
        for method in ("GET", "POST", "OPTIONS"):
            found = got(server, "/info", origin, JSON_KIND, host=host, method=method)
            assert statuses(found) == [403], (method, origin, found)
            assert b"access-control-allow" not in found.lower(), origin
        assert upgraded(server, origin, host=host) == [403], origin
    still_answers(server)


def test_its_own_page_is_answered(server: Server) -> None:
    """SEC-3: however the browser writes the name; nobody else is told that he may read it."""
    host, origin = f"LocalHost:{server.port}", f"Origin: HTTP://LOCALHOST:{server.port}"
    found = got(server, "/info", origin, host=host)
    assert statuses(found) == [200]
    assert b"access-control-allow" not in found.lower()
    assert upgraded(server, origin, host=host) == [101]


def test_pictures_and_links_of_other_pages_start_no_work(server: Server) -> None:
    """SEC-3: with an <img> or a link a browser sends no Origin, but says that the page is another's."""
    ask, other = "/generate/stream?prompt=hello&max_tokens=2", "Sec-Fetch-Site: cross-site"
    for mode in ("no-cors", "navigate"):
        assert statuses(got(server, ask, other, f"Sec-Fetch-Mode: {mode}")) == [403]
    assert statuses(got(server, "/", other, "Sec-Fetch-Mode: navigate")) == [200]  # a link to the page itself
    for mine in ("same-origin", "none"):
        assert statuses(got(server, ask, f"Sec-Fetch-Site: {mine}")) == [200]
    still_answers(server)


# Files and addresses that are not the client's.


def test_no_route_leads_to_a_file(server: Server) -> None:
    """SEC-1: plain, encoded, encoded twice, with backslashes, with NUL, as a whole address."""
    file = f"{server.home}/outside/adapter_config.json".lstrip("/")
    ways = words(r"../ ..%2f %2e%2e/ %2e%2e%2f %252e%252e%252f ..\ ..%5c %c0%ae%c0%ae/ ....// ..;/ %00/ / ./")
    for prefix in ("/", "/static/", "/static/x/", "/v1/models/", "/docs/", "http://localhost/static/", "file:///"):
        for way in ways:
            for end in ("", "%00.html"):
                found = got(server, f"{prefix}{way * 12}{file}{end}")
                assert [status // 100 for status in statuses(found)] == [4], (prefix, way, found)
                assert SECRET.encode() not in found
    still_answers(server)


def test_names_of_adapters_lead_nowhere(server: Server) -> None:
    """SEC-1: a folder that looks like an adapter, by every way to write that it lies beside the allowed ones."""
    outside = str(server.home / "outside")
    paths = [
        *words(r"""../outside ./../outside x/../../outside ..\outside ..%2foutside %2e%2e/outside ..%252foutside
        %2e%2e%2foutside ..//outside ../outside/. \\localhost\outside ~nobody-of-that-name/outside ~/../outside
        $LORASMITH_HOME/outside /dev/stdin /proc/self/root file:///etc http://127.0.0.1/ hf://a/b"""),
        outside, f"{outside}/", f"file://{outside}", "../outside\0", "\0../outside", "\uff0e\uff0e/outside",
        "..\uff0foutside", "..\u2215outside", "\n../outside", "../outside\n", "a" * 4096, "../" * 1000, RED,
    ]  # fmt: skip
    names = [
        *words(r". .. ../x a/b a\b %2e%2e - / ../outside"), outside, "a\0b", "a\nb", " ", "\u202ea", "a" * 129, RED,
    ]  # fmt: skip
    wanted = [("x", path) for path in paths] + [(name, "a2") for name in [*names, "base"]]
    fields = {"/generate": "adapter", "/v1/completions": "model", "/v1/unload_lora_adapter": "lora_name"}
    asked = [("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}) for name, path in wanted]
    asked += [(route, {"prompt": "x", field: name}) for name in names for route, field in fields.items()]
    with client_of(server) as client:
        for route, body in asked:
            answer = client.post(route, json=body)
            assert answer.status_code in (400, 404), (route, body, answer.text)
            assert SECRET not in answer.text
        for path in (
            outside,
            "../outside",
            "./../outside",
            "..//outside",
        ):  # those that are there: refused before it is read
            answer = client.post("/v1/load_lora_adapter", json={"lora_name": "x", "lora_path": path})
            assert "only from where adapters are kept" in answer.json()["error"]["message"], path
    assert server.get("/info").body["adapters"] == []
    still_answers(server)


def test_a_key_is_asked_for_however_the_path_is_written(eyes: Server) -> None:
    """SEC-3: the routes that go without a key are no way round it, and nothing like the key is the key."""
    paths = words("""//info /health/../info /static/../info /static/%2e%2e/info /./info /info/ /health;/info /INFO
    /%69nfo /info%00 /info?x=/health /health%2f..%2finfo /?/info http://localhost/info /health?/../info /static/info""")
    for path in paths:
        found = got(eyes, path)
        assert statuses(found), path
        assert b'"capabilities":' not in found, path
    for header in (
        f"Authorization: Bearer {KEY[:-1]}", f"Authorization: Bearer {KEY}x", "Authorization: Bearer",
        f"Authorization: {KEY}", f"Authorization: Bearer {KEY.upper()}", f"x-api-key: {KEY},x", "x-api-key:",
        "Authorization: Bearer \xff\xfe", f"Cookie: key={KEY}", f"Sec-WebSocket-Protocol: bearer.{KEY[:-1]}",
    ):  # fmt: skip
        assert statuses(got(eyes, "/info", header)) == [401], header
        assert upgraded(eyes, header) in ([401], [403]), header
    assert statuses(got(eyes, "/info", f"Authorization: Bearer {KEY}")) == [200]
    assert upgraded(eyes, f"Sec-WebSocket-Protocol: bearer.{KEY}") == [101]
    still_answers(eyes, x_api_key=KEY)


def looking(url: str, kind: str = "image_url") -> dict[str, Any]:
    """A conversation with one part that names a file."""
    part = {"type": kind, kind: {"url": url, "data": url}}
    return {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}], "max_tokens": 2}


def test_no_address_in_a_part_is_called_on_this_machine(eyes: Server) -> None:
    """SEC-3: pictures of the web may be fetched, but of no loopback in any spelling, no file, no other scheme."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        port = inside.getsockname()[1]
        hosts = words(r"""127.0.0.1 localhost LOCALHOST localhost. 127.1 2130706433 0x7f.1 0177.0.0.1 0.0.0.0 [::1]
        [::] 127.0.0.1. [::ffff:127.0.0.1] [::ffff:7f00:1] [2002:7f00:1::] [fe80::1%25lo] 169.254.169.254
        127.0.0.1%00.example user@127.0.0.1 example.org:1@127.0.0.1 127.0.0.1\@example.org""")
        urls = [f"{scheme}://{host}:{port}/a.png" for host in hosts for scheme in ("http", "HTTPS")]
        urls += [text.replace("PORT", str(port)) for text in words(r"""http:/127.0.0.1:PORT/ http:127.0.0.1:PORT/
        //127.0.0.1:PORT/ ftp://127.0.0.1:PORT/ gopher://127.0.0.1:PORT/ file:///etc/passwd http://[::1 http://:80/
        http://127.0.0.1:port/ http:// http://127.0.0.1:99999/ data:,http://127.0.0.1:PORT/ /etc/passwd
        upload:../../etc/passwd""")]  # fmt: skip
        urls += [f"{before}127.0.0.1:{port}/" for before in (" http://", "\thttp://", "http://\0", "http://\u200b")]
        urls += [f"http://\uff11\uff12\uff17.0.0.1:{port}/", "http://\0/"]
        asked = [looking(url) for url in urls]
        asked += [looking(urls[0], kind) for kind in ("audio_url", "input_audio", "video_url", "file")]
        with client_of(eyes, **{"X-API-Key": KEY}) as client:
            for body in asked:
                for route in ("/generate", "/v1/chat/completions"):
                    answer = client.post(route, json=body)
                    assert answer.status_code == 400, (route, body, answer.text)
                    assert "root:" not in answer.text
        assert not select.select([inside], [], [], 0)[0], "the server called an address of this machine"
    still_answers(eyes, x_api_key=KEY)


FETCHING = """
import asyncio, json, socket, threading, time
from lorasmith.core.errors import LorasmithError
from lorasmith.serve import media
from lorasmith.serve.uploads import Uploads

inside, outside = socket.create_server(("127.0.0.1", 0)), socket.create_server(("8.8.4.4", 0))
port, far = inside.getsockname()[1], outside.getsockname()[1]
ok = b"HTTP/1.1 200 OK\\r\\nContent-Type: image/png\\r\\n\\r\\n"
moved = b"HTTP/1.1 302 Found\\r\\nLocation: http://127.0.0.1:%d/\\r\\nContent-Length: 0\\r\\n\\r\\n" % port
visits = []

def serve(listening, name):
    while True:
        client, _ = listening.accept()
        visits.append(name)
        threading.Thread(target=answer, args=(client,), daemon=True).start()

def answer(client):
    path = client.recv(65536).split()[1]
    try:
        client.sendall(moved if path == b"/away" else ok)
        client.sendall(b"ok" if path == b"/picture" else b"")
        while path == b"/endless":
            client.sendall(bytes(10**6))
        while path == b"/slow":
            client.sendall(b"x")
            time.sleep(0.2)
    except OSError:
        pass
    client.close()

for listening, name in ((inside, "inside"), (outside, "outside")):
    threading.Thread(target=serve, args=(listening, name), daemon=True).start()

def fetched(url):
    try:
        return len(asyncio.run(asyncio.wait_for(media.read_media([url], Uploads(), allow_urls=True), 60))[0])
    except LorasmithError as problem:
        return problem.code
    except TimeoutError:
        return "no end"

media._FETCH_SECONDS = 2.0
found = {path: fetched(f"http://8.8.4.4:{far}/{path}") for path in ("picture", "away", "endless", "slow")}
found["direct"] = fetched(f"http://127.0.0.1:{port}/")
print(json.dumps({**found, "visits": visits}))
"""


def test_what_is_fetched_stays_outside_and_within_limits() -> None:
    """SEC-3, SEC-4: a public address that sends on to this machine, never ends, or never comes to the point.

    The public address lies in a network of the test's own, where the machine has the right to make one.
    """
    network = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    setup = "ip link set lo up && ip addr add 8.8.4.4/32 dev lo"
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("no tools to make a network with")
    if subprocess.run([*network, setup], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a network")
    command = [*network, f'{setup} && exec "$0" -c "$1"', sys.executable, FETCHING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 2, check=True)
    found = json.loads(done.stdout)
    assert found.pop("visits") == ["outside"] * 4
    expected = {"picture": 2, "away": "url_unreachable", "endless": "url_too_large", "slow": "url_unreachable"}
    assert found == {**expected, "direct": "url_not_public"}


def picture(width: int, height: int, rows: bytes | None = None, *before: tuple[bytes, bytes]) -> str:
    """A PNG in grey as a data URL, with the size that its header says, and chunks before its rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    lines = (b"\0" + b"\x80" * width) * height if rows is None else rows
    head = chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 0, 0, 0, 0))
    inner = b"".join(chunk(kind, data) for kind, data in before)
    return as_url(b"\x89PNG\r\n\x1a\n" + head + inner + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def as_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_pictures_that_are_made_to_burst_are_refused(eyes: Server) -> None:
    """SEC-4: by the header, by the inner size, by their number, by their shape; the worker's memory stays as it was."""
    worker, most, good = eyes.worker_pid(), 2**31 - 1, picture(20, 20)
    assert eyes.post("/generate", looking(good), x_api_key=KEY).status == 200
    before = grown_to(worker)
    wrong = [
        picture(most, most, b""), picture(1, most, b""), picture(0, 0, b""), picture(10_000, 10_000, b"\0"),
        picture(20, 20, b""),
        as_url(b"GIF89a\xff\xff\xff\xff\0\0\0"), as_url(b"BM" + b"\xff" * 60), as_url(b"II*\0" + b"\xff" * 60),
        as_url(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "image/svg+xml"),
        as_url(b"%!PS\n(/etc/passwd) run", "application/postscript"), as_url(b"<script>alert(1)</script>", "text/html"),
        *words("data:image/png,plain data:;base64, data:image/png;base64,!!! data: DATA:image/png;base64,AAAA"),
        "A" * 1001,
    ]  # fmt: skip
    for url in wrong:
        answer = eyes.post("/generate", looking(url), x_api_key=KEY)
        assert answer.status == 400, (url[:80], answer.body)
    many = {"prompt": "What is it?", "images": [good] * 65, "max_tokens": 2}
    assert eyes.post("/generate", many, x_api_key=KEY).status == 400
    text = b"Comment\0\0" + zlib.compress(bytes(10**8))
    for url in (picture(20, 20, None, (b"zTXt", text)), picture(4, 20_000), picture(20_000, 4)):
        assert eyes.post("/generate", looking(url), x_api_key=KEY).status in (200, 400)
    assert eyes.worker_pid() == worker
    assert grown_to(worker) - before < 300 * 10**6
    still_answers(eyes, x_api_key=KEY)


# Bodies.


def nested(depth: int, opened: str = "[", closed: str = "]", inner: str = "") -> str:
    return opened * depth + inner + closed * depth


def with_field(name: str, value: str) -> str:
    """An ordinary call but for one field."""
    return '{"prompt": "x", "max_tokens": 1, "%s": %s}' % (name, value)  # noqa: UP031  braces all over


def with_call(arguments: str, id_: str = "1") -> str:
    """A conversation in which a tool has been called."""
    call = '{"id": "%s", "function": {"name": "f", "arguments": %s}}' % (id_, arguments)  # noqa: UP031
    turn = '{"role": "assistant", "tool_calls": [' + call + "]}"
    return '{"max_tokens": 1, "messages": [' + turn + ', {"role": "user", "content": "x"}]}'


def deep_bodies() -> Iterable[str]:
    """What is read by recursion runs out of stack somewhere between these depths."""
    for depth in (100, 300, 480, 900, 100_000):
        objects = nested(depth, '{"a": ', "}", "1")
        yield nested(depth)
        for name in words("tools messages json_schema vectors template_options logit_bias stop input text id"):
            yield with_field(name, nested(depth))
        for schema in (objects, nested(depth, '{"type": "array", "items": ', "}", "{}")):
            yield with_field("json_schema", schema)
            yield with_field("response_format", '{"type": "json_schema", "json_schema": {"schema": ' + schema + "}}")
        for arguments in (objects, json.dumps(objects), json.dumps('{"a": ' + "[" * depth)):
            yield with_call(arguments)
        tool = '{"type": "function", "function": {"name": "f", "parameters": ' + objects + "}}"
        yield '{"max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "tools": [' + tool + "]}"


def odd_numbers() -> Iterable[str]:
    """In every field that is one, and where keys are some."""
    known = words("NaN Infinity -Infinity 1e400 -1e400 1e308 -1 1.5 true null")
    for number in [*known, "9" * 30, "9" * 5000, f"0.{'0' * 5000}1"]:
        for name in words("max_tokens temperature top_p top_k seed n logprobs presence_penalty repetition_penalty"):
            yield with_field(name, number)
        yield '{"vectors": [[' + number + ", 1], [1, 2], [3, 4]]}"
        yield with_field("json_schema", '{"type": "string", "minLength": ' + number + "}")
        yield with_call('{"a": ' + number + "}")
        yield with_call(json.dumps('{"a": ' + number + "}"))
    for key in ("-1", "9" * 30, "9" * 5000, "\\u00b2", "x", "", "1e3", "1_0", "999999", " 1"):
        yield with_field("logit_bias", '{"' + key + '": 1}')


def broken_texts() -> Iterable[bytes]:
    """Halves of characters, bytes that are no text, marks of our own; in values and in keys."""
    escapes = (b"\\ud800", b"\\udfff\\ud800", b"\\u0000", b"\\ufdd0\\ufdd1\\ufdd2")
    for text in (*escapes, b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\x80"):
        for body in (
            '{"prompt": "TEXT", "max_tokens": 1}', '{"text": "TEXT"}', '{"TEXT": 1}',
            '{"lora_name": "TEXT", "lora_path": "TEXT"}',
            '{"prompt": "x", "max_tokens": 1, "stop": ["TEXT"], "adapter": "TEXT"}',
            '{"vectors": "TEXT", "method": "TEXT"}',
            '{"messages": [{"role": "user", "content": "TEXT"}], "max_tokens": 1}',
            '{"query": "TEXT", "texts": ["TEXT"]}', '{"messages": [{"role": "user", "content": "TEXT"}]}',
            '{"messages": [{"role": "TEXT", "content": "x"}], "max_tokens": 1}', with_call('{"TEXT": "TEXT"}', "TEXT"),
        ):  # fmt: skip
            yield body.encode().replace(b"TEXT", text)
        if text in escapes:
            yield with_call(json.dumps('{"a": "TEXT"}')).encode().replace(b"TEXT", b"\\" + text)


def hostile_bodies() -> Iterable[bytes]:
    """JSON, or nearly."""
    yield from (body.encode() for body in (*deep_bodies(), *odd_numbers()))
    yield from broken_texts()
    yield from (
        b" ", b"null", b"true", b"1", b'"x"', b"{", b'{"prompt": "x"} {}', b'{"prompt": "x", "max_tokens": 1}\0',
        b"\xef\xbb\xbf{}",
        b" " * 10**6, '{"prompt": "x"}'.encode("utf-16"), b'{"prompt": "x", "prompt": 5}', b'{"prompt": {"$ref": "#"}}',
        b'{"max_tokens": 900000, "max_tokens": 1, "prompt": "x"}',
        b'{"prompt": "x", "max_tokens": 1, "max_tokens": 900000}',
        b'{"__proto__": {"a": 1}, "prompt": "x"}', b'{"messages": [], "prompt": ""}', b'{"messages": [{}]}',
        b'{"messages": [null]}',
        b'{"messages": "x"}', b'{"vectors": [[]]}', b'{"vectors": [[]], "texts": []}',
    )  # fmt: skip


ROUTES = words("""/generate /generate/stream /tokenize /project /similarity /v1/chat/completions /v1/completions
/v1/responses /v1/embeddings /v1/load_lora_adapter /v1/unload_lora_adapter""")


@pytest.mark.parametrize("route", ROUTES)
def test_hostile_json_is_refused_in_the_one_form(server: Server, route: str) -> None:
    """REL-4, SEC-4, SRV-9: depth, numbers, doubled keys, broken text; never a 500, and the worker lives on."""
    worker = server.worker_pid()
    with client_of(server, **{"Content-Type": "application/json"}) as client:
        for body in hostile_bodies():
            answer = client.post(route, content=body)
            assert answer.status_code < 500, (body[:200], answer.text)
            assert '"model_error"' not in answer.text, (body[:200], answer.text)
            if answer.status_code != 200:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code", "hint"}, body[:200]
    assert server.worker_pid() == worker
    still_answers(server)


def test_hostile_json_over_a_websocket_ends_only_itself(server: Server) -> None:
    """REL-4: the same as messages, and as calls inside one; only what is no message at all ends a connection."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    address = f"ws://127.0.0.1:{server.port}/ws"
    with connect(address, max_size=None) as talk:
        for body in hostile_bodies():
            for message in (body, b'{"id": "1", "generate": ' + body + b"}"):
                talk.send(message)
                event: dict[str, Any] = {}
                while not event.get("finished"):
                    event = json.loads(talk.recv(timeout=PATIENCE))
                assert event.get("error", {}).get("code") != "model_error", (message[:200], event)
        talk.send('{"ping": true}')
        assert json.loads(talk.recv(timeout=PATIENCE)) == {"pong": True}
    for message, is_text in ((b"\xff\xfe", True), (b" " * (5 * 10**6 + 1), False)):
        with connect(address) as talk:
            talk.send(message, text=is_text)
            with pytest.raises(ConnectionClosed):
                talk.recv(timeout=PATIENCE)
    still_answers(server)


def form(*parts: bytes) -> bytes:
    """A form with these parts, headers and all."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value


def test_hostile_forms_are_refused(server: Server) -> None:
    """REL-4, SEC-1, SEC-4: depth inside fields, names of files, boundaries that are none, forms without an end."""
    file = field("file", b"RIFF", '; filename="../../../outside/x\0.wav"')
    deep = b"[" * 100_000
    bodies = [
        form(file), form(file, field("temperature", deep)), form(file, field("timestamp_granularities[]", deep)),
        form(file, field("n", deep)), form(file, field("temperature", b"9" * 5000)),
        form(file, field("temperature", b"NaN")),
        form(file, field("model", b"\xff\xfe")), form(field("call", deep)),
        form(field("call", b'{"prompt": "\\ud800"}')),
        form(field("call", b"\xff")), form(*[field(f"f{number}", b"x") for number in range(1100)]), form(*[file] * 70),
        form(b"no header at all"), form(b"X: " + b"a" * 100_000 + b"\r\n\r\nx"), form(b"X: a\r\n" * 10_000 + b"\r\nx"),
        form(file)[:-10], b"--x\r\n", b"", b"x" * 10**6,
        form(field("prompt", b"x"), field("prompt", b"y"), field("seed", b"1e400")),
        form(field("max_tokens", b"\xc2\xb2")), form(field("prompt", b"x"), field("logit_bias", deep)),
    ]  # fmt: skip
    kind = "multipart/form-data; boundary=x"
    kinds = (kind, "multipart/form-data", f'{kind}"{"x" * 5000}"', f"{kind}\xff", kind.title(), f"{kind}; boundary=y")
    with client_of(server) as client:
        for route in ("/generate", "/uploads", "/v1/audio/transcriptions", "/v1/images/edits"):
            for body, of in [*((body, kind) for body in bodies), *((bodies[0], one) for one in kinds)]:
                answer = client.post(route, content=body, headers={b"Content-Type": of.encode("latin-1")})
                assert answer.status_code < 500, (route, of, body[:200], answer.text)
                assert "model_error" not in answer.text
    assert not (server.home / "outside" / "x").exists()
    still_answers(server)


def test_schemas_that_are_made_to_burst_cost_only_their_own_request(server: Server) -> None:
    """SEC-4: patterns, repetitions and references without an end; the same worker answers on."""
    worker = server.worker_pid()
    doubled: dict[str, Any] = {"type": "string"}
    for _ in range(14):
        doubled = {"anyOf": [doubled, {"type": "array", "items": doubled}]}
    patterns = words(
        r"^(a+)+$ (a{1000}){1000} a{1000000000} ((((a*)*)*)*)*b (?=a)b (.*){100}(.*){100}x \p{L}{5000} (a)\1"
    )
    patterns += ["[" * 5000, "(" * 5000]
    schemas: list[Any] = [
        *({"type": "string", "pattern": pattern} for pattern in patterns), doubled,
        {"type": "object", "properties": {str(key): {"type": "string", "pattern": "^(a|b)*$"} for key in range(2000)}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]},
        *({"$ref": to} for to in ("#", "http://127.0.0.1:1/", "file:///etc/passwd", "#/a/b")), {"not": {}},
        {"type": "string", "minLength": 10**9}, {"type": "array", "minItems": 10**9}, {"const": "a" * 150_000},
        {"enum": [str(number) for number in range(20_000)]}, {"allOf": [{"type": "string"}, {"type": "number"}]},
        {"type": "string", "format": "x" * 10_000}, {"type": "integer", "minimum": 10**18, "maximum": 10**18 + 1},
    ]  # fmt: skip
    with client_of(server) as client:
        for schema in schemas:
            answer = client.post("/generate", json={"prompt": "x", "max_tokens": 4, "json_schema": schema})
            assert answer.status_code in (200, 400), (str(schema)[:200], answer.text)
    assert server.worker_pid() == worker
    still_answers(server)


# The log.


def test_nobody_writes_lines_into_the_log(server: Server) -> None:
    """SEC-4, SEC-5: lines, and signs that a terminal obeys, in all that a client fills; prompts are logged here."""
    bad = f"x\r\n{FORGED}\r\n{RED}\u2028\u202e\x85\x9b"
    ugly = re.sub(r"[\r\n]", "", bad).encode().decode("latin-1")
    quoted = "".join(f"%{byte:02x}" for byte in bad.encode())
    stream = f"/generate/stream?max_tokens=1&prompt={quoted}"
    for target in (f"/{quoted}", f"/health?{quoted}", f"/{RED}", f"/v1/models/{quoted}", stream):
        got(server, target)
        with contextlib.suppress(ConnectionError):
            upgraded(server, path=target)
    got(server, "/info", method=RED)
    for name in ("User-Agent", "Origin", "Host", "Content-Type", "X-Forwarded-For", "Sec-WebSocket-Protocol", RED):
        got(server, "/info", f"{name}: {ugly}", host="" if name == "Host" else "localhost")
        with contextlib.suppress(ConnectionError):
            upgraded(server, f"{name}: {ugly}")
    for route, body in (
        ("/generate", {"prompt": bad, "max_tokens": 1}), ("/generate", {bad: 1}),
        ("/v1/unload_lora_adapter", {"lora_name": bad[:100]}),
        ("/generate", {"messages": [{"role": "user", "content": bad}], "max_tokens": 1}),
        ("/generate", {"prompt": "x", "adapter": bad}),
        ("/v1/chat/completions", {"model": bad, "messages": [{"role": bad, "content": "x"}]}),
        ("/v1/load_lora_adapter", {"lora_name": bad[:100], "lora_path": bad}),
        ("/generate", {"prompt": "x", "json_schema": {"type": "string", "pattern": bad, "format": bad, "$ref": bad}}),
        ("/generate", {"prompt": "x", "max_tokens": 1, "template_options": {bad: 1}, "tool_choice": bad}),
    ):  # fmt: skip
        assert server.post(route, body).status < 500
    log = plain_log(server)
    assert "prompt: " in log
    assert "forged" in log
    for file in (server.home / "logs").glob("*.*"):
        assert RED.encode() not in file.read_bytes(), file.name
    still_answers(server)


# Ends.


def test_an_engine_that_is_killed_ends_every_answer_and_comes_back(server: Server) -> None:
    """REL-1, SRV-9: kill -9 amid four kinds of answers: each is told, none hangs, the server is ready again."""
    from websockets.sync.client import connect

    worker, begun = server.worker_pid(), set[str]()
    chat = {**LONG, "messages": [{"role": "user", "content": LONG["prompt"]}], "stream": True}

    def talked() -> dict[str, Any]:
        with connect(f"ws://127.0.0.1:{server.port}/ws") as talk:
            talk.send(json.dumps({"id": "1", "generate": LONG}))
            while not (event := json.loads(talk.recv(timeout=PATIENCE))).get("finished"):
                begun.add("talked")
        return event

    def streamed(path: str, body: dict[str, Any]) -> dict[str, Any]:
        last: dict[str, Any] = {}
        for last in server.events(path, body):
            begun.add(path)
            if "error" in last:
                break
        return last

    with ThreadPoolExecutor(4) as pool:
        told = [pool.submit(talked), pool.submit(streamed, "/v1/chat/completions", chat)]
        told += [pool.submit(streamed, "/generate/stream", LONG)]
        asked = pool.submit(server.post, "/generate", LONG)
        are_all_begun = lambda: len(begun) == 3 and server.get("/health").body["busy"] == 4  # noqa: E731
        wait_for(are_all_begun, "the answers were not under way together")
        os.kill(worker, signal.SIGKILL)
        last, whole = [one.result(timeout=PATIENCE) for one in told], asked.result(timeout=PATIENCE)
    assert all(event["error"]["message"] for event in last), last
    assert last[0]["finished"]
    assert last[2]["finished"]
    assert whole.status in (500, 503)
    assert whole.body["error"]["message"]
    server.wait_until_ready()
    assert server.worker_pid() != worker
    still_answers(server)
    assert "killed from outside" in plain_log(server)


def test_a_port_that_is_taken_is_said_plainly(server: Server, lorasmith: Run) -> None:
    """QLT-1: the second server names the port and another one, and ends; the first answers on."""
    everywhere = ("--host", "0.0.0.0", "--api-key", KEY)  # noqa: S104  where the port is taken as well
    for host in ((), ("--host", "localhost"), everywhere):
        done = lorasmith("serve", "demo", "--port", str(server.port), "--no-browser", *host, code=5)
        said = done.stdout + done.stderr
        assert f"Port {server.port} " in said
        assert f"--port {server.port + 1}" in said
        assert "Traceback" not in said
        assert KEY not in said
    still_answers(server)


def test_a_term_comes_to_an_end_whoever_is_connected(tmp_path: Path) -> None:
    """SRV-10: a stream under way is finished; silent, slow and half-said connections hold nothing up."""
    from websockets.sync.client import connect

    with serving("demo", tmp_path, "--body-seconds", str(ARRIVAL_SECONDS)) as server:
        worker = server.worker_pid()
        half = raw("POST /generate HTTP/1.1", JSON_KIND, "Content-Length: 100", body=b'{"prompt"')
        begun = [b"", b"GET /hea", half, raw("GET /health HTTP/1.1")]
        clients = [connected(server) for _ in begun]
        for client, data in zip(clients, begun, strict=True):
            client.sendall(data)
        with connect(f"ws://127.0.0.1:{server.port}/ws"):
            stream = server.events("/generate/stream", {**LONG, "max_tokens": 300})
            next(stream)
            server.process.send_signal(signal.SIGTERM)
            assert list(stream)[-1]["finish_reason"] == "length"
            assert server.process.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
        assert [statuses(heard(client)) for client in clients] == [[], [], [408], [200]]
        for client in clients:
            client.close()
        plain_log(server)
