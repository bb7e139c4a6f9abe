"""Who is at the door: what stands between the guard and the routes (STU-11).

On this machine's own addresses everybody is let in. Elsewhere a request carries an account's token, or the cookie of a session
with the session's own word beside it, which no page of another site can know. What changes something is written down.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorasmith.core.errors import LorasmithError
from lorasmith.serve.problems import HttpProblem, Refused, answer, as_http
from lorasmith.studio.accounts import Accounts, is_word
from lorasmith.studio.state import Studio

COOKIE = "lorasmith_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PREFIXES = ("/api/simple-lora/", "/api/")
_OPEN = frozenset({"health", "session"})
_UPLOAD = "upload-dataset"
_MOST_JSON_BYTES = 64 * 10**6
_NOBODY = "local"


class Door:
    """Lets in, refuses, and writes down."""

    def __init__(self, app: ASGIApp, *, studio: Studio):
        self._app, self._studio = app, studio
        self._accounts: Accounts = studio.accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = _route(scope["path"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            account = await self._let_in(scope["method"], route, headers)
        except (HttpProblem, LorasmithError) as problem:
            await answer(*as_http(problem))(scope, receive, send)
            return
        scope.setdefault("state", {}).update(account=account, cookie=cookie_of(headers))
        if scope["method"] in _SAFE or route is None:
            await self._app(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive if route == _UPLOAD else _short(receive), watched)
        await self._write_down(account or _NOBODY, scope, status)

    async def _let_in(self, method: str, route: str | None, headers: dict[str, str]) -> str:
        """The account; empty where none is needed. Raises HttpProblem."""
        if not self._studio.is_locked or route is None or route in _OPEN:
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            if account := await anyio.to_thread.run_sync(self._accounts.of_token, token.strip()):
                return account
        elif cookie := cookie_of(headers):
            account = await anyio.to_thread.run_sync(self._accounts.of_cookie, cookie)
            if account and method not in _SAFE and not is_word(cookie, headers.get("x-csrf-token", "")):
                raise HttpProblem(
                    403, "The request does not carry its session's word", code="csrf",
                    fix="Load the page anew; programs send the token as  Authorization: Bearer TOKEN.",
                )  # fmt: skip
            if account:
                return account
        raise HttpProblem(
            401,
            "Sign in first",
            code="not_signed_in",
            fix="Send the header  Authorization: Bearer TOKEN  with an account's token.",
        )

    async def _write_down(self, account: str, scope: Scope, status: int) -> None:
        route: Any = scope.get("route")
        about = {"path": scope["path"], "status": status, "address": (scope.get("client") or ("",))[0]}
        what = f"{scope['method']} {getattr(route, 'path', 'unknown')}"
        try:
            await anyio.to_thread.run_sync(self._studio.audit, account[:100], what[:100], about)
        except LorasmithError:
            return  # the database is away: what was asked has failed as well, or has told so


def _route(path: str) -> str | None:
    """What stands behind the API's prefix; None for pages."""
    for prefix in _PREFIXES:
        if path.startswith(prefix):
            return path.removeprefix(prefix).rstrip("/")
    return "" if path == "/api" else None


def cookie_of(headers: dict[str, str]) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _short(receive: Receive) -> Receive:
    """A body that is held in memory, and may not be so long as a file that is written to disk."""
    left = _MOST_JSON_BYTES

    async def measured() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise Refused(
                HttpProblem(
                    413, f"The request has more than {_MOST_JSON_BYTES / 1e6:.0f} MB", code="request_too_large",
                    fix="Send files to /api/upload-dataset.",
                )
            )  # fmt: skip
        return message

    return measured
