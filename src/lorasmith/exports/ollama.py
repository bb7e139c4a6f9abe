"""Ollama's HTTP API: blobs by digest, create with its progress, chat, copy, list, delete.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem
from lorasmith.core.events import Listener, Progress, Step

_USUAL = "http://127.0.0.1:11434"
_PART_BYTES = 8 * 2**20
_CALL_SECONDS = 600.0
_OK, _REFUSED, _NOT_FOUND = 200, 400, 404


class OllamaModel(NamedTuple):
    """A model that Ollama has. Size in bytes."""

    name: str
    num_bytes: int
    changed: str
    family: str


def address() -> str:
    """Where Ollama listens: OLLAMA_HOST as its own tools read it, or its usual port of this machine."""
    given = os.environ.get("OLLAMA_HOST", "").strip()
    if not given:
        return _USUAL
    scheme, _, rest = given.rpartition("://")
    host, _, port = rest.rstrip("/").rpartition(":") if ":" in rest else (rest.rstrip("/"), "", "11434")
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  it is where a client looks for it
    return f"{scheme or 'http'}://{host}:{port}"


class Ollama:
    """A client. Every call raises EnvironmentProblem where Ollama cannot be reached, or says what went wrong."""

    def __init__(self, url: str = ""):
        self.url = url or address()

    def version(self) -> str:
        return str(self._json("GET", "/api/version").get("version", ""))

    def models(self) -> list[OllamaModel]:
        """What it has, the newest first."""
        told = self._json("GET", "/api/tags").get("models") or []
        try:
            return [
                OllamaModel(
                    str(one["name"]),
                    int(one.get("size") or 0),
                    str(one.get("modified_at", "")),
                    str((one.get("details") or {}).get("family", "")),
                )
                for one in told
            ]
        except (KeyError, TypeError, AttributeError, ValueError):
            raise self._stranger("Its list of models is none of Ollama's") from None

    def remove(self, name: str) -> None:
        """Raises NotFoundProblem."""
        self._json("DELETE", "/api/delete", json={"model": name})

    def copy(self, name: str, new: str) -> None:
        """Let a model be called `new`, too; what was called so is that no longer. Raises NotFoundProblem."""
        self._json("POST", "/api/copy", json={"source": name, "destination": new})

    def upload(self, file: Path, listener: Listener) -> str:
        """Its digest; what Ollama has already is not sent again."""
        digest = f"sha256:{_sha256(file)}"
        with self._client() as client, self._reached():
            if client.head(f"/api/blobs/{digest}").status_code == _OK:
                return digest
            self._checked(client.post(f"/api/blobs/{digest}", content=_parts(file, listener)))
        return digest

    def create(self, name: str, wish: Mapping[str, Any], listener: Listener) -> None:
        """Make a model of blobs, template and parameters."""
        with (
            self._client() as client,
            self._reached(),
            client.stream("POST", "/api/create", json={"model": name, "stream": True, **wish}) as answer,
        ):
            if answer.status_code != _OK:
                answer.read()
                self._checked(answer)
            status = ""
            for line in answer.iter_lines():
                told = json.loads(line) if line.strip() else {}
                if not isinstance(told, dict):
                    raise self._stranger("It tells of no progress")
                if told.get("error"):
                    raise EnvironmentProblem(f"Ollama could not make '{name}'", why=str(told["error"])[:500])
                status = str(told.get("status") or status)
                listener(Step(title="ollama", note=status))
        if status != "success":
            raise EnvironmentProblem(f"Ollama could not make '{name}'", why=f"It stopped at '{status or 'nothing'}'.")

    def chat(self, name: str, messages: list[dict[str, Any]], *, max_new_tokens: int) -> str:
        """A greedy answer's text; all else is as the model's own parameters say."""
        options = {"temperature": 0, "num_predict": max_new_tokens, "seed": 0}
        told = self._json(
            "POST", "/api/chat", json={"model": name, "messages": messages, "stream": False, "options": options}
        )
        message = told.get("message")
        return str(message.get("content") or "") if isinstance(message, dict) else ""

    def _client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=httpx2.Timeout(_CALL_SECONDS, connect=5.0), trust_env=False)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._client() as client, self._reached():
            answer = self._checked(client.request(method, path, **options))
            told = answer.json() if answer.content.strip() else {}
        if not isinstance(told, dict):
            raise self._stranger("It does not answer with an object")
        return told

    @contextmanager
    def _reached(self) -> Generator[None]:
        try:
            yield
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise EnvironmentProblem(
                f"Ollama does not answer at {self.url}", why=str(error) or type(error).__name__,
                fix="Start it (ollama serve), or say where it is: OLLAMA_HOST=HOST:PORT.",
            ) from None  # fmt: skip
        except ValueError as error:  # no JSON
            raise self._stranger(str(error)) from None

    def _stranger(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"What answers at {self.url} is not Ollama",
            why=f"{why}.",
            fix="Say where Ollama is: OLLAMA_HOST=HOST:PORT.",
        )

    def _checked(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code < _REFUSED:
            return answer
        try:
            why = str(answer.json()["error"])
        except (ValueError, TypeError, KeyError):
            why = answer.text.strip()[:500]
        why = why or f"HTTP status {answer.status_code}."
        if answer.status_code == _NOT_FOUND:
            raise NotFoundProblem("Ollama does not have that", why=why)
        raise EnvironmentProblem("Ollama refuses", why=why, fix="Its log says more. Nothing that it had is changed.")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parts(file: Path, listener: Listener) -> Iterator[bytes]:
    total, done = file.stat().st_size, 0
    with file.open("rb") as opened:
        while part := opened.read(_PART_BYTES):
            yield part
            done += len(part)
            listener(Progress(stage="upload", done=done, total=total, unit="bytes"))
