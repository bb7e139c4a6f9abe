"""The default engine: a worker of ours in the model's own environment, over transformers, diffusers and PEFT."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from lorasmith.core import errors, paths
from lorasmith.core.channel import AsyncChannel, Frame
from lorasmith.core.errors import LorasmithError
from lorasmith.core.facts import ModelFacts
from lorasmith.engines._base import Engine, EngineFacts, EngineKind, EngineSpec, Event, GenerateRequest, OnProgress
from lorasmith.env.folder import python_for
from lorasmith.runners.local import Worker

_CLOSE_SECONDS = 5.0


class TransformersEngine(Engine):
    """A running worker. One task reads what it says and hands it to whoever waits for it."""

    def __init__(self, worker: Worker, channel: AsyncChannel, facts: EngineFacts):
        self.facts = facts
        self.pid = worker.process.pid
        self._worker, self._channel = worker, channel
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Queue[Event | LorasmithError]] = {}
        self._end: asyncio.Future[LorasmithError] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    # Requests.

    def generate(self, request: GenerateRequest, **beside: Any) -> AsyncIterator[Event]:
        media = beside.pop("media", ())
        return self._ask({"op": "generate", "request": request.model_dump(exclude_defaults=True), **beside}, media)

    def call(self, call: dict[str, Any], media: Sequence[bytes]) -> AsyncIterator[Event]:
        return self._ask({"op": "answer", "call": call}, media)

    async def project(self, vectors: list[list[float]], method: str) -> list[list[float]]:
        return (await self._one({"op": "project", "vectors": vectors, "method": method}))["points"]

    async def load_adapter(self, name: str, folder: Path) -> dict[str, Any]:
        return await self._one({"op": "load_adapter", "name": name, "folder": str(folder)})

    async def unload_adapter(self, name: str) -> None:
        await self._one({"op": "unload_adapter", "name": name})

    async def _one(self, header: dict[str, Any]) -> dict[str, Any]:
        async for event in self._ask(header, ()):
            if event.kind == "done":
                return event.header["value"]
        raise self._gone()

    async def _ask(self, header: dict[str, Any], media: Sequence[bytes]) -> AsyncIterator[Event]:
        if self._end.done():
            raise self._end.result()
        id_ = str(next(self._numbers))
        heard = self._waiting[id_] = asyncio.Queue()
        is_over = False
        try:
            await self._send({"id": id_, **header}, media)
            while not is_over:
                event = await heard.get()
                if isinstance(event, LorasmithError):
                    is_over = True
                    raise event
                is_over = event.kind == "done"
                yield event
        finally:
            del self._waiting[id_]
            if not is_over and not self._end.done():
                with contextlib.suppress(LorasmithError):
                    await self._send({"id": id_, "op": "cancel"}, ())

    async def _send(self, header: dict[str, Any], media: Sequence[bytes]) -> None:
        try:
            await self._channel.send(header, media)
        except ConnectionError:
            raise self._gone() from None

    # What the worker says.

    async def _read(self) -> None:
        while (frame := await self._channel.receive()) is not None:
            self._hand_on(frame)
        problem = await asyncio.to_thread(self._worker.crash)
        if not self._end.done():
            self._end.set_result(problem)
        for heard in self._waiting.values():
            heard.put_nowait(problem)

    def _hand_on(self, frame: Frame) -> None:
        header = frame.header
        if header["event"] == "tokens":
            for id_, token, *told in header["rows"]:
                if id_ in self._waiting:
                    self._waiting[id_].put_nowait(Event("tokens", {"ids": [token], "logprobs": told}))
            return
        heard = self._waiting.get(header["id"])
        if heard is None:
            return
        if header["event"] == "error":
            heard.put_nowait(errors.from_dict(header["error"]))
        else:
            heard.put_nowait(Event(header["event"], header, frame.blobs))

    def _gone(self) -> LorasmithError:
        return self._end.result() if self._end.done() else LorasmithError("The engine has come to an end")

    # Its end.

    async def died(self) -> Exception:
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        self._channel.close()
        self._worker.process.terminate()
        try:
            await asyncio.wait_for(asyncio.to_thread(self._worker.process.wait), _CLOSE_SECONDS)
        except TimeoutError:
            self._worker.process.kill()
        await asyncio.wait([self._reader], timeout=_CLOSE_SECONDS)


class Transformers(EngineKind):
    name = "transformers"
    title = "transformers, diffusers and PEFT"

    def lacks(self, model: ModelFacts) -> str:
        return "" if model.weight_form != "gguf" else "GGUF files are read by the engine llama_cpp"

    async def start(self, spec: EngineSpec, on_progress: OnProgress) -> Engine:
        ours, its = socket.socketpair()
        spec_path = spec.log_path.with_suffix(".json")
        paths.write_text(spec_path, spec.model_dump_json())
        python = await asyncio.to_thread(python_for, spec.model.local_folder)
        needs = (*spec.model.seldom_needed, "bitsandbytes" if spec.quantization != "none" else "")
        worker = Worker(
            "serve", spec_path, spec.log_path.with_suffix(".events"), spec.log_path, python=python, needs=needs,
            channel=its.fileno(),
        )  # fmt: skip
        its.close()
        channel = await AsyncChannel.over(ours)
        try:
            while (frame := await channel.receive()) is not None:
                if frame.header["event"] == "loading":
                    on_progress(frame.header)
                elif frame.header["event"] == "failed":
                    raise errors.from_dict(frame.header["error"])
                else:
                    return TransformersEngine(worker, channel, EngineFacts(**frame.header["facts"]))
            raise await asyncio.to_thread(worker.crash)
        except BaseException:
            channel.close()
            worker.process.kill()
            await asyncio.to_thread(worker.process.wait)
            raise


plugin = Transformers()
