"""The studio's application: its API under `/api`, the same under `/api/simple-lora`, and its page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import anyio
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.middleware.gzip import GZipMiddleware

import lorasmith
from lorasmith.core.errors import NotFoundProblem
from lorasmith.serve import api_page, problems
from lorasmith.serve.guard import Guard
from lorasmith.serve.page import STUDIO_PAGE, answer_page, favicon
from lorasmith.studio.door import Door
from lorasmith.studio.rights import require_rights
from lorasmith.studio.routes import (
    adapters,
    assistants,
    datasets,
    evaluate,
    events,
    exports,
    judges,
    models,
    plan,
    projects,
    results,
    sessions,
    system,
    tasks,
    tune,
)
from lorasmith.studio.spec import StudioSpec
from lorasmith.studio.state import Studio

_ABOUT = "Datasets, trainings, searches and models of a lorasmith studio."
_DOCS = "/api/docs"
_PREFIXES = ("/api", "/api/simple-lora")
_ROUTES = (
    events, tasks, results, plan, tune, evaluate, exports, adapters, datasets, models, projects, assistants,
    judges, system, sessions,
)  # fmt: skip
_PLACES = ("train", "tasks", "datasets", "tune", "models", "assistants", "system")
"""First steps of the page's own addresses, which lead to the one file that it is."""


def create_app(studio: Studio, spec: StudioSpec) -> FastAPI:
    """The application. Its queue works while it runs; what has been started goes on when it ends."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        studio.queue.start()
        await studio.servings.start()
        yield
        await studio.pulse.close()
        await studio.servings.close()
        await anyio.to_thread.run_sync(studio.queue.close)
        studio.reader.close()
        studio.database.close()

    app = FastAPI(
        title="lorasmith studio", version=lorasmith.__version__, description=_ABOUT, lifespan=life, docs_url=None,
        openapi_url="/api/openapi.json", redoc_url=None,
    )  # fmt: skip
    app.state.studio = studio
    problems.install(app, docs=_DOCS, fields=f"All fields are in {_DOCS}.")
    api = APIRouter(dependencies=[Depends(require_rights)])
    for one in _ROUTES:
        api.include_router(one.router)
    for prefix in _PREFIXES:
        app.include_router(api, prefix=prefix, include_in_schema=prefix == _PREFIXES[0])
    api_page.install(app, _DOCS)
    _with_page(app)
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=5)
    app.add_middleware(Door, studio=studio)
    app.add_middleware(
        Guard,
        key="",
        hosts=(spec.host, *spec.allow_host),
        origins=(),
        limits=spec,
        any_host=studio.is_locked,
    )
    return app


def _with_page(app: FastAPI) -> None:
    async def page(request: Request) -> Response:
        return answer_page(STUDIO_PAGE, request)

    async def nowhere(rest: str, request: Request) -> Response:
        """An address that leads to no page: the page itself says so; below the API a program reads it."""
        if rest.startswith("api"):
            raise NotFoundProblem("There is no such route", fix=f"All routes are listed in {_DOCS}.")
        return answer_page(STUDIO_PAGE, request, status=404)

    app.add_api_route("/", page, include_in_schema=False)
    app.add_api_route("/favicon.ico", favicon, include_in_schema=False)
    for place in _PLACES:
        app.add_api_route(f"/{place}", page, include_in_schema=False)
        app.add_api_route(f"/{place}/{{rest:path}}", page, include_in_schema=False)
    app.add_api_route("/{rest:path}", nowhere, include_in_schema=False)
