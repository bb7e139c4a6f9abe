"""A stand-in for Ollama, by the routes of its documented HTTP API that an export uses: version, blobs, create, chat, copy, tags, delete.

Its answer to a chat is what llama.cpp makes of the prompt, with the model's parameters or Ollama's own defaults where it has none. Of
Go's text/template it reads what exports write: range, if, else, end, and the three values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from lorasmith.engines._child_process import free_port


class Ollama:
    """What it has, and what it was asked."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self.trouble = ""
        """`create`: it fails in the middle; `silent`: its answers are empty; `other`: they are of another model; `broken`: HTTP 500;
        `page`: what listens there is no Ollama."""
        self.llamas: dict[str, LlamaCpp] = {}


class LlamaCpp:
    """A blob that is read by llama.cpp."""

    def __init__(self, blob: bytes, context: int):
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "blob.gguf"
        file.write_bytes(blob)
        self._port = free_port()
        command = [sys.executable, "-m", "lorasmith.workers.llama_server", "-m", str(file), "-c", str(context)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self._port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def answer(self, prompt: str, options: dict[str, Any]) -> str:
        asked = {
            "prompt": prompt, "n_predict": options.get("num_predict", -1), "cache_prompt": False,
            **{name: options[name] for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "stop")},
        }  # fmt: skip
        for _ in range(600):
            assert self._process.poll() is None
            with contextlib.suppress(httpx2.TransportError):
                told = httpx2.post(
                    f"http://127.0.0.1:{self._port}/completion", json=asked, timeout=600, trust_env=False
                )
                if told.status_code == 200:
                    return str(told.json()["content"])
            time.sleep(0.2)
        raise TimeoutError

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


DEFAULTS: dict[str, Any] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "repeat_penalty": 1.1,
    "num_ctx": 2048,
    "seed": 0,
}
"""https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx"""


class Handler(BaseHTTPRequestHandler):
    state: Ollama
    protocol_version = "HTTP/1.1"

    def _send(self, status: int, value: Any = None, lines: list[Any] | None = None) -> None:
        body = (
            "\n".join(json.dumps(line) for line in lines)
            if lines is not None
            else json.dumps(value)
            if value is not None
            else ""
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = b""
        while size := int(self.rfile.readline(), 16):
            parts += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return parts

    def _note(self) -> None:
        self.state.seen.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self._note()
        there = self.path.removeprefix("/api/blobs/") in self.state.blobs
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._note()
        if self.state.trouble == "page":
            self.send_response(200)
            self.send_header("Content-Length", "13")
            self.end_headers()
            self.wfile.write(b"<html></html>")
            return
        if self.path == "/api/version":
            self._send(200, {"version": "0.0.0"})
        else:
            self._send(200, {"models": [
                {"name": name, "size": 10, "modified_at": "2026-01-01T00:00:00Z", "details": {"family": "llama"}} for name in self.state.models
            ]})  # fmt: skip

    def do_DELETE(self) -> None:
        self._note()
        name = json.loads(self._body())["model"]
        self._send(200) if self.state.models.pop(name, None) else self._send(
            404, {"error": f"model '{name}' not found"}
        )

    def do_POST(self) -> None:
        self._note()
        body = self._body()
        if self.path.startswith("/api/blobs/"):
            digest = self.path.removeprefix("/api/blobs/")
            if digest != f"sha256:{hashlib.sha256(body).hexdigest()}":
                self._send(400, {"error": "digest mismatch"})
                return
            self.state.blobs[digest] = body
            self._send(201)
        elif self.path == "/api/create":
            self._create(json.loads(body))
        elif self.path == "/api/copy":
            asked = json.loads(body)
            self.state.models[asked["destination"]] = self.state.models[asked["source"]]
            self._send(200)
        elif self.state.trouble == "broken":
            self._send(500, {"error": "llama runner process has terminated"})
        else:
            asked = json.loads(body)
            said = self._said(self.state.models[asked["model"]], asked)
            self._send(200, {"message": {"role": "assistant", "content": said}, "done": True})

    def _said(self, model: dict[str, Any], asked: dict[str, Any]) -> str:
        if self.state.trouble in ("silent", "other"):
            return "" if self.state.trouble == "silent" else "Something else."
        digest = next(iter(model["files"].values()))
        options = {**DEFAULTS, **model["parameters"], **asked["options"]}
        if digest not in self.state.llamas:
            self.state.llamas[digest] = LlamaCpp(self.state.blobs[digest], options["num_ctx"])
        prompt = rendered(model["template"], asked["messages"], model.get("system", ""))
        return self.state.llamas[digest].answer(prompt, options)

    def _create(self, asked: dict[str, Any]) -> None:
        if self.state.trouble == "create":
            self._send(200, lines=[{"status": "parsing GGUF"}, {"error": "unsupported architecture"}])
            return
        assert all(digest in self.state.blobs for digest in asked["files"].values())
        self.state.models[asked["model"]] = asked
        self._send(200, lines=[{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}])

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def ollama(monkeypatch: Any) -> Iterator[Ollama]:
    """One that runs, where OLLAMA_HOST says."""
    state = Ollama()

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.server_port}")
    try:
        yield state
    finally:
        for one in state.llamas.values():
            one.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def rendered(template: str, messages: list[dict[str, str]], system: str) -> str:
    """What Go would make of an exported template."""
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    own = messages[0]["content"] if messages[0]["role"] == "system" else ""
    begin, rest = template.split("{{ range $i, $m := .Messages }}")
    body, end = rest.rsplit("{{ end }}{{ end }}", 1)
    branches = dict(
        re.findall(
            r'if eq \.Role "(\w+)" }}(.*?)(?=\{\{ else if eq \.Role|\Z)', body.removeprefix("{{ "), flags=re.DOTALL
        )
    )
    parts = [begin]
    for number, one in enumerate(messages):
        text = branches.get(one["role"], "")
        first = re.compile(r"\{\{ if and \$\.System \(le \$i 1\) }}.*?\{\{ end }}", re.DOTALL)
        text = first.sub(lambda _, at=number: f"{own}\n\n" if own and at <= 1 else "", text)
        parts.append(text.replace("{{ .Content }}", one["content"]))
    return "".join([*parts, end])
