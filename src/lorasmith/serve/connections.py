"""Connections that have to come to the point: who is silent, or sends a request's head bit by bit, is hung up on (SEC-4).

It reads no request itself. h11 does, whatever else is installed: it refuses heads without an end and lengths that contradict.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with so many seconds for the first request, and for each later one from its first byte on."""
    return type("Patient", (_Patient,), {"seconds": seconds})


class _Patient(H11Protocol):
    seconds: float

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        talk = self.transport.get_protocol()
        if talk is not self:
            self._forget()
            # What h11 lets pass and websockets does not take, uvicorn would leave without an answer and open for ever.
            if not getattr(talk, "handshake_initiated", True):
                self.send_400_response("Invalid request for a WebSocket.")
        elif self._has_request():
            self._forget()  # from now on its own limits hold
        else:
            self._expect()

    def _has_request(self) -> bool:
        """Whether one is being answered."""
        cycle: Any = self.cycle  # none before the first
        return cycle is not None and not cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.seconds, self.timeout_keep_alive_handler)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
