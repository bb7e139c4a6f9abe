"""Answers piece by piece, as the page and SSE clients hear them: one form for GET, POST and WebSocket (SRV-1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from lorasmith.families._calls import Call, TextCall
from lorasmith.serve.answers import Timing, other_events, text_events
from lorasmith.serve.problems import as_http
from lorasmith.serve.state import Served
from lorasmith.serve.streaming import Pump, Streamed
from lorasmith.serve.text.stream import Final

T = TypeVar("T")


async def told(served: Served, call: Call, media: list[bytes]) -> AsyncGenerator[dict[str, Any]]:
    """The events of an answer; what goes wrong is the last of them."""
    try:
        async with served.admitted() as engine:
            if isinstance(call, TextCall):
                async with aclosing(_text(served, engine, call, media)) as events:
                    async for event in events:
                        yield event
                return
            async with aclosing(other_events(served, engine, call, media)) as events:
                async for event in events:
                    yield {**event, "finished": "result" in event}
    except Exception as problem:  # noqa: BLE001  the head of the answer has been sent
        _, body = as_http(problem)
        yield {**body, "finished": True}


async def _text(served: Served, engine: Any, call: TextCall, media: list[bytes]) -> AsyncGenerator[dict[str, Any]]:
    timing = Timing()
    async with aclosing(text_events(served, engine, call, media, timing)) as events:
        async for event in events:
            if isinstance(event, Final):
                last: dict[str, Any] = {
                    "token": "",
                    "finished": True,
                    "finish_reason": event.finish_reason,
                    "usage": event.usage,
                }
                last |= {"seconds": round(timing.seconds, 4), "seconds_to_first": round(timing.first, 4)}
                yield {**last, "tool_calls": event.tool_calls} if event.tool_calls else last
            elif event.kind == "tool_calls":
                yield {"token": "", "type": "tool_calls", "tool_calls": event.tool_calls, "finished": False}
            elif event.kind == "answer" or call.show_thinking:
                yield {"token": event.text, "type": event.kind, "finished": False}


def sse(events: AsyncGenerator[dict[str, Any]]) -> StreamingResponse:
    """Server-sent events; a client that goes away ends the generator, and with it the work."""
    return Streamed(Pump(events))


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What `work` returns. Raises ClientDisconnect where the client goes away meanwhile; the work is cancelled then."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([task, watch], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientDisconnect
        return task.result()
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(BaseException):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
