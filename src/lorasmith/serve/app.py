"""The server's application: routes, what stands before them, and the engine's life around them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorasmith.serve import adapters, api_page, native, openai, page, problems, vectors, websocket
from lorasmith.serve.guard import Guard
from lorasmith.serve.state import Served

log = logging.getLogger("lorasmith.serve")

DRAIN_SECONDS = 30.0
_QUIET = frozenset({"/health", "/metrics"})
"""Routes that are asked every few seconds, and not logged."""
_DOCS = "/docs"
_ABOUT = "One model behind one API: its own routes, and OpenAI-compatible ones under /v1."


def create_app(served: Served, *, key: str = "", hosts: tuple[str, ...] = ()) -> FastAPI:
    """The application for a model that is loaded while it runs. `key` is what clients must send; empty: nothing."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        running = asyncio.create_task(served.keep_running())
        yield
        await served.stop(DRAIN_SECONDS)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    app = FastAPI(
        title=f"lorasmith: {served.model.id}",
        version=native.VERSION,
        description=_ABOUT,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    app.state.served = served
    problems.install(app, docs=_DOCS)
    for router in (native.router, adapters.router, vectors.router, openai.router, websocket.router, page.router):
        app.include_router(router)
    _describe_calls(app, served)
    api_page.install(app, _DOCS)
    app.add_middleware(Observed, served=served)
    app.add_middleware(Guard, key=key, hosts=hosts, origins=served.spec.allow_origin, limits=served.spec)  # type: ignore[arg-type]
    return app


def _describe_calls(app: FastAPI, served: Served) -> None:
    """Have /docs and /openapi.json say what this very model's /generate takes."""
    kind, described = served.family.call, app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        for path in ("/generate", "/generate/stream"):
            if kind is not None:
                body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
                body["schema"] = kind.model_json_schema()
        return schema

    app.openapi = openapi


class Observed:
    """Counts and times every request under the route that it took."""

    def __init__(self, app: ASGIApp, *, served: Served):
        self._app, self._metrics = app, served.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route: Any = scope.get("route")
            name = getattr(route, "path", "other")
            self._metrics.requests.labels(name, str(status)).inc()
            seconds = time.perf_counter() - began
            self._metrics.seconds.labels(name).observe(seconds)
            if name not in _QUIET:
                log.info("%s %s %d in %.3f s", scope["method"], name, status, seconds)
