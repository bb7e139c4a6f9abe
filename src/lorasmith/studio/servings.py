"""Models that are served for pages and assistants: one server to a base, each a task of its own; many voices in each.

What is served is what the tasks and assistants say: a look compares that with what the servers say of themselves, so that
nothing depends on who has started what before a studio was ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Literal, NamedTuple

import anyio
import httpx2
from sqlalchemy import select

from lorasmith.core.errors import LorasmithError, NotFoundProblem
from lorasmith.serve.problems import HttpProblem
from lorasmith.store.database import Database
from lorasmith.store.tables import OVER, Assistant, Task
from lorasmith.studio.tasks import Tasks

State = Literal["stopped", "starting", "ready", "failed"]
_LOOKS_EVERY_SECONDS = 1.0
_PATIENCE = httpx2.Timeout(600, connect=5)
_ASKED = httpx2.Timeout(5)


class Seen(NamedTuple):
    """A server as it was when it was looked at last."""

    state: State
    voices: tuple[str, ...] = ()
    problem: dict[str, str] | None = None
    family: str = ""


class Servings:
    """The servers behind the studio."""

    def __init__(self, database: Database, tasks: Tasks):
        self._database, self._tasks = database, tasks
        self._seen: dict[int, Seen] = {}
        self._looking: asyncio.Task[None] | None = None
        self._client: httpx2.AsyncClient | None = None

    async def start(self) -> None:
        self._client = httpx2.AsyncClient(
            timeout=_PATIENCE, trust_env=False, limits=httpx2.Limits(max_connections=None)
        )
        self._looking = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        if self._client:
            await self._client.aclose()

    @property
    def _http(self) -> httpx2.AsyncClient:
        """Raises NotFoundProblem before the studio has started."""
        if self._client is None:
            raise NotFoundProblem("The studio has not started yet")
        return self._client

    def begin(self, base: str, adapters: Mapping[str, str]) -> Task:
        """The task that serves the base, begun where there is none; further adapters are given to one that runs."""
        task = self.of_base(base)
        if task is None:
            asked = {"model": base, "adapter": [f"{name}={path}" for name, path in adapters.items()]}
            return self._tasks.create("serve", base[:200], asked)
        known = {one.partition("=")[0] for one in task.training_params.get("adapter", [])}
        more = [f"{name}={path}" for name, path in adapters.items() if name not in known]
        if more:  # for whoever starts it again, and for the next look
            params = task.training_params | {"adapter": [*task.training_params.get("adapter", []), *more]}
            with self._database.session() as session:
                session.get_one(Task, task.id).training_params = params
        return self._tasks.get(task.id)

    def of_base(self, base: str) -> Task | None:
        """The task that serves it, or will."""
        with self._database.session() as session:
            return session.scalars(
                select(Task).where(Task.kind == "serve", Task.base_model == base, Task.status.not_in(OVER))
            ).first()

    def open(self) -> list[Task]:
        with self._database.session() as session:
            return list(session.scalars(select(Task).where(Task.kind == "serve", Task.status.not_in(OVER))).all())

    def seen(self, task: Task) -> Seen:
        """How it is, as far as it is known."""
        if task.status in OVER:
            return Seen("failed", problem=dict(task.error)) if task.error else Seen("stopped")
        return self._seen.get(task.id, Seen("starting"))

    # Asked by routes.

    async def ask(
        self, task: Task, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, AsyncIterator[bytes]]:
        """Status, kind and body of the server's answer, piece by piece. Raises HttpProblem where it cannot be reached."""
        url = str(task.predicted.get("url", ""))
        if not url or task.status in OVER:
            raise HttpProblem(
                503, f"'{task.base_model}' is not served yet", code="loading", fix="Ask again in a moment."
            )
        request = self._http.build_request(method, f"{url}/{path}", content=body or None, headers=dict(headers))
        try:
            response = await self._http.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise HttpProblem(
                503, f"The server of '{task.base_model}' does not answer", code="unavailable", why=f"{type(error).__name__}.",
                fix="Start it again.",
            ) from None  # fmt: skip

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in response.aiter_raw():
                    yield piece
            except httpx2.HTTPError:
                return  # it went away in mid-answer; the client sees a body that ends
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

        return response.status_code, response.headers.get("content-type", "application/json"), pieces()

    # The look.

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(LorasmithError):  # the database is away
                await self._look()
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    async def _look(self) -> None:
        tasks = await anyio.to_thread.run_sync(self.open)
        wanted = await anyio.to_thread.run_sync(self._wanted)
        for task in tasks:
            seen = await self._asked(task)
            if seen.state == "ready":
                adapters = adapters_of(task) | wanted.get(task.base_model, {})
                seen = await self._complete(task, seen, adapters)
            self._seen[task.id] = seen
        for number in set(self._seen) - {task.id for task in tasks}:
            del self._seen[number]

    def _wanted(self) -> dict[str, dict[str, str]]:
        """Adapters of assistants that are to answer, by base."""
        with self._database.session() as session:
            found = session.scalars(select(Assistant).where(Assistant.is_started, Assistant.adapter != "")).all()
        wanted: dict[str, dict[str, str]] = {}
        for one in found:
            wanted.setdefault(one.base_model, {})[voice_of(one)] = one.adapter
        return wanted

    async def _asked(self, task: Task) -> Seen:
        url = task.predicted.get("url")
        if task.status != "running" or not url:
            return Seen("starting")
        try:
            health = (await self._http.get(f"{url}/health", timeout=_ASKED)).json()
            if health.get("status") == "failed":
                error = health.get("error") or {}
                return Seen(
                    "failed", problem={"what": str(error.get("message", "")), "fix": str(error.get("hint") or "")}
                )
            if health.get("status") != "ready":
                return Seen("starting")
            listed = (await self._http.get(f"{url}/v1/models", timeout=_ASKED)).json()
            family = self.seen(task).family or (await self._http.get(f"{url}/info", timeout=_ASKED)).json()["family"]
        except (httpx2.HTTPError, ValueError, KeyError):
            return Seen("starting")
        return Seen("ready", tuple(str(one["id"]) for one in listed.get("data", [])), family=family)

    async def _complete(self, task: Task, seen: Seen, adapters: Mapping[str, str]) -> Seen:
        """With the adapters loaded that it lacks. One that cannot be loaded is said, and the others answer."""
        voices, problem = list(seen.voices), seen.problem
        for name, path in adapters.items():
            if name in voices:
                continue
            asked = {"lora_name": name, "lora_path": path}
            try:
                answer = await self._http.post(f"{task.predicted['url']}/v1/load_lora_adapter", json=asked)
                error = {} if answer.is_success else answer.json().get("error", {})
            except (httpx2.HTTPError, ValueError) as trouble:
                error = {"message": f"The adapter '{name}' could not be loaded ({type(trouble).__name__})"}
            if error:
                problem = {"what": str(error.get("message", "")), "fix": str(error.get("hint") or "")}
            else:
                voices.append(name)
        return seen._replace(voices=tuple(voices), problem=problem)


def voice_of(assistant: Assistant) -> str:
    """The name by which its server knows it."""
    return f"assistant-{assistant.id}"


def adapters_of(task: Task) -> dict[str, str]:
    """Paths by the names that a serve task was asked to know them by."""
    pairs = (one.partition("=") for one in task.training_params.get("adapter", []))
    return {name: path for name, _, path in pairs}
