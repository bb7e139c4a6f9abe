"""From a studio as asked for to one that runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from lorasmith.core.specs import make_spec
from lorasmith.serve.guard import is_loopback
from lorasmith.serve.launch import listen, shown
from lorasmith.studio.running import database_of
from lorasmith.studio.spec import StudioSpec

if TYPE_CHECKING:
    from lorasmith.studio.state import Studio

_DRAIN_SECONDS = 5
_FIRST_ACCOUNT = "admin"


class Opened(NamedTuple):
    """Where a studio listens. `token` is that of an account that was made for it just now, and is told this once."""

    url: str
    account: str
    token: str


def studio(*, on_start: Callable[[Opened], None] = lambda _: None, **options: object) -> None:
    """Run a studio until it is ended by SIGINT or SIGTERM; `options` are StudioSpec's fields. What it has started goes on.

    On any address but this machine's own one has to sign in: with the first account, which is made at the first start, or with
    another. Raises UsageProblem, EnvironmentProblem (the port is taken, the database cannot be reached).
    """
    import uvicorn

    from lorasmith.serve.connections import patient
    from lorasmith.studio.app import create_app
    from lorasmith.studio.state import Studio

    spec = make_spec(StudioSpec, **options)
    database = database_of(spec.database)
    parts = Studio(database, is_locked=not is_loopback(spec.host))
    parts.datasets.most_bytes = spec.max_body_mb * 10**6
    made = _account(parts, spec)
    app = create_app(parts, spec)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, limit_concurrency=spec.max_connections,
        timeout_graceful_shutdown=_DRAIN_SECONDS, timeout_keep_alive=30, http=patient(spec.body_seconds), lifespan="on",
    )  # fmt: skip
    with contextlib.closing(listen(spec.host, spec.port)) as listening:
        url = f"http://{shown(spec.host)}:{listening.getsockname()[1]}"
        on_start(Opened(url, *made))
        asyncio.run(uvicorn.Server(config).serve([listening]))


def _account(parts: Studio, spec: StudioSpec) -> tuple[str, str]:
    """The account that is asked for, or the first one, with its token; nothing where none is to be made."""
    if spec.remove_account:
        parts.accounts.remove(spec.remove_account)
    name = spec.add_account or (_FIRST_ACCOUNT if parts.is_locked and parts.accounts.is_empty() else "")
    return (name, parts.accounts.add(name)) if name else ("", "")
