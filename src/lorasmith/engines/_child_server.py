"""An engine that is another project's HTTP server: requests go to it as token ids, and come back as such.

What differs between such servers is in their own files: the command line, the fields of a request, the form of an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from lorasmith.core.errors import (
    DoesNotFitProblem,
    EnvironmentProblem,
    LorasmithError,
    NotFoundProblem,
    UsageProblem,
    WorkerCrash,
)
from lorasmith.core.facts import ModelFacts
from lorasmith.core.paths import read_json
from lorasmith.engines._answer import Answer, Chunk
from lorasmith.engines._base import Engine, EngineFacts, EngineSpec, Event, GenerateRequest, OnProgress
from lorasmith.engines._child_process import ChildProcess, Program, free_port, new_key
from lorasmith.engines._sampling import Sampling, own_defaults, own_stops, sampling_of
from lorasmith.families import FAMILIES
from lorasmith.families._calls import TextCall

START_SECONDS = 1800.0
"""A model that has not been loaded by then will not be; 70 billion parameters from a slow disk take half of it."""
_LOOK_SECONDS = 0.1
_CALL_SECONDS = 600.0
_DYING_SECONDS = 3.0
_STARTS = 3
_DECODERS = ("decoder-only", "hybrid", "state-space")


def lacks_for_text(model: ModelFacts, title: str) -> str:
    """Why a server that continues token ids cannot answer for `model`; empty where it can."""
    if FAMILIES.get(model.family).call is not TextCall or model.architecture_type not in _DECODERS:
        kind = f"the family {model.family}, {model.architecture_type}"
        return f"{title} answers here with texts to texts alone, and this model is of {kind}. Leave --engine out."
    if not (model.local_folder / "tokenizer.json").exists():
        return (
            f"'{model.local_folder}' has no tokenizer.json, by which texts become {title}'s tokens. "
            "Save it there with transformers: AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)"
        )
    return ""


def adapter_facts(folder: Path) -> dict[str, Any]:
    """What is known of the adapter in `folder`: rank, alpha, base, kind."""
    config = read_json(folder / "adapter_config.json")
    return {"rank": config.get("r"), "alpha": config.get("lora_alpha"), "base": config.get("base_model_name_or_path") or "",
            "kind": str(config.get("peft_type", "")).lower()}  # fmt: skip


class Running(NamedTuple):
    """A server that is ready, and a client that knows its key."""

    child: ChildProcess
    client: httpx2.AsyncClient
    load_seconds: float


async def run(program: Program, spec: EngineSpec, on_progress: OnProgress, weight_bytes: int) -> Running:
    """Start a server and wait until it has loaded the model. Raises LorasmithError; then nothing is left of it."""
    begun = time.perf_counter()
    for _ in range(_STARTS):
        port, key = free_port(), new_key()
        child = await ChildProcess.start(program, port, key, spec.log_path)
        client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, trust_env=False,
            timeout=httpx2.Timeout(None, connect=10.0), limits=httpx2.Limits(max_connections=None),
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_SECONDS):
                await _until_ready(child, client, on_progress, weight_bytes)
            return Running(child, client, time.perf_counter() - begun)
        except BaseException as error:
            await client.aclose()
            await child.stop()
            if isinstance(error, TimeoutError):
                raise EnvironmentProblem(
                    f"{program.title} has not loaded the model within {START_SECONDS / 60:.0f} minutes",
                    why=f"See '{spec.log_path}'.",
                ) from None
            if not (isinstance(error, WorkerCrash) and child.lost_its_port):
                raise
    raise EnvironmentProblem(f"{program.title} finds no port of this machine that is free", fix="Try again.")


async def _until_ready(child: ChildProcess, client: httpx2.AsyncClient, on_progress: OnProgress, total: int) -> None:
    while True:
        if await child.wait(_LOOK_SECONDS):
            raise child.problem()
        on_progress({"stage": "load", "done": min(total, child.memory_bytes), "total": total, "unit": "bytes"})
        with contextlib.suppress(httpx2.TransportError):
            answer = await client.get("/health", timeout=_DYING_SECONDS)
            # Whoever else might have taken the port meanwhile: ours has ended then.
            if answer.status_code == 200 and not await child.wait(0):
                return


class ChildServer(Engine):
    """A server that runs. Subclasses say how to ask it and how to read what it says."""

    title: str
    route: str
    """Where it continues token ids."""

    def __init__(self, running: Running, spec: EngineSpec, facts: EngineFacts):
        self.facts, self.spec = facts, spec
        self.process, self._client = running.child, running.client
        self.pid = running.child.pid
        folder = spec.model.local_folder
        self._defaults = own_defaults(folder)
        self._stops = own_stops(folder) | frozenset(spec.stop_ids)
        self._users: Counter[str] = Counter()
        self._left = asyncio.Condition()
        self.adapters: dict[str, Path] = {}
        facts.generation, facts.batches = dict(self._defaults), True
        facts.load_seconds, facts.memory_bytes = running.load_seconds, running.child.memory_bytes

    @abstractmethod
    def body(self, request: GenerateRequest, sampling: Sampling) -> dict[str, Any]:
        """What it is asked; `request.json_schema` is a schema or None, and nothing else binds the answer."""

    @abstractmethod
    def reader(self, request: GenerateRequest) -> Callable[[dict[str, Any]], Chunk]:
        """Reads what it says to one request, piece by piece."""

    # Requests.

    async def generate(self, request: GenerateRequest, **beside: Any) -> AsyncIterator[Event]:
        if beside:
            raise UsageProblem(
                f"{self.title} is given no pictures here", fix="Serve the model with --engine transformers."
            )
        if request.adapter and request.adapter not in self.adapters:
            raise NotFoundProblem(f"No adapter '{request.adapter}' is loaded")
        schema = request.json_schema
        answer = Answer(request, frozenset() if request.ignore_stop else self._stops, is_bound=schema is not None)
        async with self._used(request.adapter):
            while not answer.reason:
                if forced := answer.end_of_thought():
                    yield Event("tokens", {"ids": forced, "logprobs": []})
                    continue
                # Nothing binds a thought: what comes behind it is asked for anew, with the schema.
                bound = None if answer.thoughts.is_open else schema
                async with aclosing(self._ask(answer.rest(bound))) as chunks:
                    async for chunk in chunks:
                        if (taken := answer.take(chunk)).ids:
                            yield Event("tokens", {"ids": taken.ids, "logprobs": taken.logprobs})
                        if answer.reason or answer.turns:
                            break
                    else:
                        answer.reason = answer.reason or "stop"
        yield Event("done", {"finish_reason": answer.reason, "prompt_tokens": len(request.prompt_ids)})

    async def _ask(self, request: GenerateRequest) -> AsyncGenerator[Chunk]:
        """Closing it closes the connection, on which the server gives the place free."""
        body, read = self.body(request, sampling_of(request, self._defaults)), self.reader(request)
        try:
            async with self._client.stream("POST", self.route, json=body) as response:
                if response.status_code != 200:
                    raise self.refusal(response.status_code, await response.aread())
                async for line in response.aiter_lines():
                    _, is_said, said = line.partition(": ")
                    if line.startswith(":") or not is_said or said == "[DONE]":
                        continue
                    told = json.loads(said)
                    if "error" in told or line.startswith("error"):
                        raise self.refusal(500, said.encode())
                    yield read(told)
        except httpx2.TransportError as error:
            raise await self._gone(error) from None

    def refusal(self, status: int, content: bytes) -> LorasmithError:
        """What it says of a request that it does not answer."""
        told: Any = {}
        with contextlib.suppress(ValueError):
            told = json.loads(content)
        inner = told.get("error", told) if isinstance(told, dict) else {}
        inner = inner if isinstance(inner, dict) else {"message": inner}
        why = str(inner.get("message") or content.decode("utf-8", "replace") or f"HTTP status {status}")[:500]
        code = inner.get("code")
        status = code if status == 500 and isinstance(code, int) else status
        if "out of memory" in why.lower():
            return DoesNotFitProblem(f"{self.title} ran out of memory", why=why, fix="Ask for fewer tokens.")
        if status in (400, 404, 422):
            return UsageProblem(f"{self.title} does not take the request", why=why)
        return LorasmithError(f"{self.title} did not answer (status {status})", why=why)

    async def _gone(self, error: Exception) -> LorasmithError:
        if await self.process.wait(_DYING_SECONDS):
            return self.process.problem()
        return WorkerCrash(f"The connection to {self.title} broke", why=str(error) or type(error).__name__)

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Raises LorasmithError where it refuses."""
        await self._call("POST", path, json=body)

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """What it answers to a body, as JSON. Raises LorasmithError."""
        return (await self._call("POST", path, json=body)).json()

    async def get(self, path: str) -> Any:
        """What it answers, as JSON. Raises LorasmithError."""
        return (await self._call("GET", path)).json()

    async def _call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = await self._client.request(method, path, timeout=_CALL_SECONDS, **options)
        except httpx2.TransportError as error:
            raise await self._gone(error) from None
        if answer.status_code != 200:
            raise self.refusal(answer.status_code, answer.content)
        return answer

    # Adapters.

    @contextlib.asynccontextmanager
    async def _used(self, adapter: str) -> AsyncGenerator[None]:
        self._users[adapter] += 1
        try:
            yield
        finally:
            self._users[adapter] -= 1
            async with self._left:
                self._left.notify_all()

    async def unload_adapter(self, name: str) -> None:
        if self.adapters.pop(name, None) is None:
            raise NotFoundProblem(
                f"No adapter '{name}' is loaded", why=f"Loaded: {', '.join(self.adapters) or 'none'}."
            )
        async with self._left:
            await self._left.wait_for(lambda: not self._users[name])

    # Its end.

    async def stop(self) -> None:
        await self._client.aclose()
        await self.process.stop()

    async def died(self) -> Exception:
        await self.process.wait()
        return self.process.problem()
