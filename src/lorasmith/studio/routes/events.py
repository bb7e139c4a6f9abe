"""Streams for pages: all tasks as they change, and what one task tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from lorasmith.store.tables import OVER
from lorasmith.studio.pulse import Pulse, event_of, fields_of
from lorasmith.studio.state import Here, Number, Studio
from lorasmith.studio.tasks import EVENTS_FILE, folder_of
from lorasmith.studio.told import lines_of

router = APIRouter(tags=["tasks"])
_POLL_SECONDS = 0.25
_PING_SECONDS = 10.0
_PING = b": ping\n\n"


def _stream(parts: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(parts, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@router.get("/events", response_class=StreamingResponse)
async def all_events(studio: Here) -> StreamingResponse:
    """Every task whenever something of it changes: its number and the fields that are new."""
    return _stream(_changes(studio.pulse))


async def _changes(pulse: Pulse) -> AsyncIterator[bytes]:
    async with pulse.listen() as queue:
        yield b": here\n\n"
        while True:
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    look = await queue.get()
            except TimeoutError:
                yield _PING
                continue
            if look is None:
                return
            yield look.events


@router.get("/tasks/{number}/events", response_class=StreamingResponse)
async def events(
    number: Number, request: Request, studio: Here, after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:  # fmt: skip
    """What the task tells, from byte `after` of its events on, and the task itself whenever it changes; `over` at its end.

    An event's id is the byte behind it: whoever was cut off asks with `Last-Event-ID` and misses nothing.
    """
    await anyio.to_thread.run_sync(studio.tasks.get, number)
    is_cut = last_event_id.isascii() and last_event_id.isdigit()
    return _stream(_told(studio, number, int(last_event_id) if is_cut else after, request))


async def _told(studio: Studio, number: int, position: int, request: Request) -> AsyncIterator[bytes]:
    file, silent = folder_of(number) / EVENTS_FILE, 0.0
    async with studio.pulse.listen() as queue:
        task = await anyio.to_thread.run_sync(studio.tasks.get, number)
        is_over = task.status in OVER
        yield event_of(fields_of(task))
        while not await request.is_disconnected():
            said: list[bytes] = []
            while not queue.empty():
                look = queue.get_nowait()
                if look is None:
                    return
                for change in look.changes:
                    if change.number == number:
                        said.append(change.event)
                        is_over = change.is_over
            lines, position = await _new_lines(file, position)
            said += [b"id: %d\nevent: told\ndata: %s\n\n" % (end, line) for line, end in lines]
            silent = 0.0 if said else silent + _POLL_SECONDS
            if is_over and not lines:
                yield b"".join(said) + b"event: over\ndata: {}\n\n"
                return
            if silent >= _PING_SECONDS:
                said, silent = [_PING], 0.0
            if said:
                yield b"".join(said)
            await asyncio.sleep(_POLL_SECONDS)


async def _new_lines(file: Path, position: int) -> tuple[list[tuple[bytes, int]], int]:
    """A thread is asked only where there is something new."""
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return [], position
    return await anyio.to_thread.run_sync(lines_of, file, position) if size > position else ([], position)
