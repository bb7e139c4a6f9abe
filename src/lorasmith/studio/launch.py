"""From a studio as asked for to one that runs."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable

from lorasmith.core import settings
from lorasmith.core.specs import make_spec
from lorasmith.serve.guard import is_loopback
from lorasmith.serve.launch import Address, listen, shown
from lorasmith.store.database import Database, url_of
from lorasmith.studio.running import DATABASE_FILE
from lorasmith.studio.spec import StudioSpec

_DRAIN_SECONDS = 5


def studio(*, on_start: Callable[[Address], None] = lambda _: None, **options: object) -> None:
    """Run a studio until it is ended by SIGINT or SIGTERM; `options` are StudioSpec's fields. What it has started goes on.

    Raises UsageProblem, EnvironmentProblem (the port is taken, the database cannot be reached).
    """
    import uvicorn

    from lorasmith.serve.connections import patient
    from lorasmith.studio.app import create_app
    from lorasmith.studio.state import Studio

    spec = make_spec(StudioSpec, **options)
    key = "" if is_loopback(spec.host) else secrets.token_urlsafe(32)
    database = Database(url_of(spec.database or settings.load().database_url, DATABASE_FILE))
    app = create_app(Studio(database), spec, key=key)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, limit_concurrency=spec.max_connections,
        timeout_graceful_shutdown=_DRAIN_SECONDS, timeout_keep_alive=30, http=patient(spec.body_seconds), lifespan="on",
    )  # fmt: skip
    with contextlib.closing(listen(spec.host, spec.port)) as listening:
        url = f"http://{shown(spec.host)}:{listening.getsockname()[1]}"
        on_start(Address(url, key, bool(key)))
        asyncio.run(uvicorn.Server(config).serve([listening]))
