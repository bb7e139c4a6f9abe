"""What changes among the tasks, found by looking at the database once for all pages that listen."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any, NamedTuple

import anyio

from lorasmith.core.errors import LorasmithError
from lorasmith.store.tables import OVER, Task
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.tasks import Tasks

_LOOKS_EVERY_SECONDS = 0.5
_MOST_BEHIND = 600
"""Looks that a page may be behind, five minutes; one that reads slower is let go, and asks anew."""
_Fields = dict[str, Any]


class Change(NamedTuple):
    """What is new of a task: an event of a stream with its number and the fields that are not as they were told last."""

    number: int
    event: bytes
    is_over: bool


class Look(NamedTuple):
    """All that one look has found. `events` is the same for every page, and is put together once."""

    changes: list[Change]
    events: bytes


class Pulse:
    """Looks only while somebody listens. Every change reaches every listener once, whatever the clocks say."""

    def __init__(self, tasks: Tasks):
        self._tasks = tasks
        self._listeners: set[asyncio.Queue[Look | None]] = set()
        self._known: dict[int, _Fields] = {}
        """Tasks that are not over, as they were told last."""
        self._newest = 0
        self._looking: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncGenerator[asyncio.Queue[Look | None]]:
        """A queue of what changes from now on; None at the end."""
        queue: asyncio.Queue[Look | None] = asyncio.Queue(_MOST_BEHIND)
        if not self._listeners:
            await self._cancel()
            await anyio.to_thread.run_sync(self._begin)
        self._listeners.add(queue)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        """Tell all listeners that it is over."""
        await self._cancel()
        for queue in self._listeners:
            _put(queue, None)

    async def _cancel(self) -> None:
        if self._looking:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)
            if not self._listeners:
                continue
            with contextlib.suppress(LorasmithError):  # the database is away; the pages keep what they have
                changes = await anyio.to_thread.run_sync(self._changes)
                if changes:
                    look = Look(changes, b"".join(change.event for change in changes))
                    for queue in list(self._listeners):
                        if not _put(queue, look):
                            self._listeners.discard(queue)

    def _begin(self) -> None:
        self._newest = self._tasks.newest()
        self._known = {task.id: fields_of(task) for task in self._tasks.open()}

    def _changes(self) -> list[Change]:
        """Tasks that wait or run and are not as they were, those that are new, and those that have ended since."""
        found = {task.id: task for task in self._tasks.changed(self._newest)}
        gone = set(self._known) - set(found)
        found |= {task.id: task for task in self._tasks.many(gone)}
        for number in gone - set(found):
            del self._known[number]  # deleted
        self._newest = max([self._newest, *found])
        return list(self._differing(found[number] for number in sorted(found)))

    def _differing(self, found: Iterable[Task]) -> Iterable[Change]:
        for task in found:
            fields, before = fields_of(task), self._known.get(task.id, {})
            new = {name: value for name, value in fields.items() if name not in before or before[name] != value}
            is_over = task.status in OVER
            if is_over:
                self._known.pop(task.id, None)
            else:
                self._known[task.id] = fields
            if new.keys() - {"heartbeat"}:
                yield Change(task.id, event_of(new | {"id": task.id}), is_over)


def fields_of(task: Task) -> _Fields:
    return TaskShown.model_validate(task).model_dump(mode="json")


def event_of(fields: _Fields) -> bytes:
    return b"event: task\ndata: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def _put(queue: asyncio.Queue[Look | None], look: Look | None) -> bool:
    """False where the listener is too far behind: it hears that it is over."""
    try:
        queue.put_nowait(look)
    except asyncio.QueueFull:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
        return False
    return True
