"""The studio's application: its API under `/api`, the same under `/api/simple-lora`, and its page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import anyio
from fastapi import APIRouter, FastAPI

import lorasmith
from lorasmith.serve import problems
from lorasmith.serve.guard import Guard
from lorasmith.studio.routes import datasets, models, projects, system, tasks, tune
from lorasmith.studio.spec import StudioSpec
from lorasmith.studio.state import Studio

_ABOUT = "Datasets, trainings, searches and models of a lorasmith studio."
_PREFIXES = ("/api", "/api/simple-lora")


def create_app(studio: Studio, spec: StudioSpec, *, key: str = "") -> FastAPI:
    """The application. Its queue works while it runs; what has been started goes on when it ends."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        studio.queue.start()
        yield
        await anyio.to_thread.run_sync(studio.queue.close)
        studio.database.close()

    app = FastAPI(
        title="lorasmith studio", version=lorasmith.__version__, description=_ABOUT, lifespan=life, docs_url="/api/docs",
        openapi_url="/api/openapi.json", redoc_url=None,
    )  # fmt: skip
    app.state.studio = studio
    problems.install(app)
    api = APIRouter()
    for one in (tasks, tune, datasets, models, projects, system):
        api.include_router(one.router)
    for prefix in _PREFIXES:
        app.include_router(api, prefix=prefix, include_in_schema=prefix == _PREFIXES[0])
    app.add_middleware(
        Guard,
        key=key,
        hosts=(spec.host, *spec.allow_host),
        origins=(),
        limits=spec,  # type: ignore[arg-type]
    )
    return app
