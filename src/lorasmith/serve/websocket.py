"""The same answers over one WebSocket: many at once, each by its id, each to be cancelled (SRV-1)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from lorasmith.serve import events
from lorasmith.serve.problems import HttpProblem, as_http
from lorasmith.serve.reading import checked, json_object
from lorasmith.serve.state import Served

router = APIRouter()
_MAX_AT_ONCE = 32
_MAX_ID_CHARS = 128


class _Talk:
    """One client's connection."""

    def __init__(self, socket: WebSocket, served: Served):
        self._socket, self._served = socket, served
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()

    async def listen(self) -> None:
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._hear(message.get("text") or message.get("bytes") or "")
        except WebSocketDisconnect:
            return
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _hear(self, text: str | bytes) -> None:
        id_ = ""
        try:
            wanted = json_object(text, "message")
            if wanted.get("ping"):
                await self._send({"pong": True})
                return
            id_ = str(wanted.get("id", ""))[:_MAX_ID_CHARS]
            if wanted.get("cancel"):
                if id_ in self._tasks:
                    self._tasks[id_].cancel()
                return
            self._begin(id_, wanted)
        except Exception as problem:  # noqa: BLE001  one bad message ends no connection
            await self._send({"id": id_, **as_http(problem)[1], "finished": True})

    def _begin(self, id_: str, wanted: dict[str, Any]) -> None:
        if not isinstance(wanted.get("generate"), dict):
            raise HttpProblem(400, "A message has to hold 'generate', 'cancel' or 'ping'", code="invalid_value",
                              fix='A right one: {"id": "1", "generate": {"prompt": "Hello"}}')  # fmt: skip
        if id_ in self._tasks or len(self._tasks) >= _MAX_AT_ONCE:
            what = (
                f"The id '{id_}' is in use"
                if id_ in self._tasks
                else f"{_MAX_AT_ONCE} answers are under way on this connection"
            )
            raise HttpProblem(429, what, code="too_many")
        self._tasks[id_] = asyncio.create_task(self._answer(id_, wanted["generate"]))

    async def _answer(self, id_: str, fields: dict[str, Any]) -> None:
        try:
            call, media = await checked(self._served, fields)
            async with contextlib.aclosing(events.told(self._served, call, media)) as told:
                async for event in told:
                    await self._send({"id": id_, **event})
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await self._send({"id": id_, "token": "", "finished": True, "finish_reason": "cancelled"})
        except Exception as problem:  # noqa: BLE001
            with contextlib.suppress(Exception):
                await self._send({"id": id_, **as_http(problem)[1], "finished": True})
        finally:
            self._tasks.pop(id_, None)

    async def _send(self, event: dict[str, Any]) -> None:
        async with self._lock:
            await self._socket.send_text(orjson.dumps(event).decode())


@router.websocket("/ws")
async def talk(socket: WebSocket) -> None:
    offered = [name.strip() for name in socket.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    await socket.accept(subprotocol=next((name for name in offered if name.startswith("bearer.")), None))
    await _Talk(socket, socket.app.state.served).listen()
