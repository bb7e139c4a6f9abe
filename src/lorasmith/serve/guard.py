"""What stands before every route: who may call, from where, with how much (SRV-12, SEC-3, SEC-4).

Pure ASGI, so that nothing is read of a request that is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorasmith.serve.problems import HttpProblem, Refused, answer, as_http
from lorasmith.serve.spec import Limits

_OPEN = frozenset({"/health"})
_PAGE = frozenset({"/", "/favicon.ico"})
_KINDS = ("application/json", "multipart/form-data")
_LENGTH_DIGITS = 20
_TWO_LENGTHS = "two_lengths"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """Checks the address, the origin, the key, the kind and the size of each request. `key` is empty where none is asked for;
    `any_host` lets a request name the server as it likes, where what follows asks who it is."""

    def __init__(
        self, app: ASGIApp, *, key: str, hosts: tuple[str, ...], origins: tuple[str, ...], limits: Limits, any_host: bool = False
    ):  # fmt: skip
        self._app, self._key, self._origins, self._limits = app, key.encode(), set(origins), limits
        self._any_host = any_host or bool(key)
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope, headers)
        except HttpProblem as problem:
            await self._refuse(problem, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._app(scope, _Measured(receive, self._limits), _with_headers(send))

    def _check(self, scope: Scope, headers: MutableMapping[str, str]) -> None:
        """Raises HttpProblem."""
        host = headers.get("host", "")
        if not self._any_host and _name_of(host) not in self._hosts and not is_loopback(_name_of(host)):
            raise HttpProblem(
                403, f"This server does not answer to the name '{host[:100]}'", code="host_not_allowed",
                fix=f"Call it by its address, or start it with --allow-host {_name_of(host)[:100]}.",
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and (_place_of(origin) or None) != host.lower():
            raise HttpProblem(
                403, f"Pages of '{origin[:100]}' may not call this server", code="origin_not_allowed",
                fix=f"Start it with --allow-origin {origin[:100]} if you trust that page.",
            )  # fmt: skip
        # With a picture, a frame or a link a browser sends no Origin; reading is forbidden to the page, but work would be done.
        if origin is None and headers.get("sec-fetch-site") == "cross-site" and not self._is_page(scope):
            raise HttpProblem(
                403, "Another site's page asked for this", code="origin_not_allowed", fix="Open it yourself."
            )
        path = scope["path"]
        if self._key and path not in _OPEN and not self._is_page(scope) and not self._has_key(headers):
            raise HttpProblem(
                401, "A key is needed, and the right one was not sent", code="invalid_api_key",
                fix="Send the header  Authorization: Bearer KEY  with the key that the server was started with.",
            )  # fmt: skip
        if "content-length" in headers and "transfer-encoding" in headers:
            raise HttpProblem(400, "The request has two lengths", code=_TWO_LENGTHS, fix="Leave Content-Length out.")
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH"):
            self._check_body(headers)

    def _is_page(self, scope: Scope) -> bool:
        """The page itself holds no secrets: it asks for the key."""
        return (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and (scope["path"] in _PAGE or scope["path"].startswith("/static/"))
        )

    def _check_body(self, headers: MutableMapping[str, str]) -> None:
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        if kind not in _KINDS and (length != "0" or "transfer-encoding" in headers):
            raise HttpProblem(
                415, f"A request of the kind '{kind[:100]}' is not read here", code="unsupported_media_type",
                fix="Send JSON with the header  Content-Type: application/json  (or multipart/form-data with files).",
            )  # fmt: skip
        if not (length.isascii() and length.isdigit() and len(length) < _LENGTH_DIGITS):
            raise HttpProblem(400, "The header Content-Length is no number", code="invalid_value")
        if int(length) > self._limits.max_body_mb * 10**6:
            raise _too_large(int(length), self._limits)

    def _has_key(self, headers: MutableMapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        keys = [given.strip()] if scheme.lower() == "bearer" else []
        keys.append(headers.get("x-api-key", ""))
        # A browser can send no other header with a WebSocket.
        protocols = headers.get("sec-websocket-protocol", "").split(",")
        keys += [protocol.strip().removeprefix("bearer.") for protocol in protocols]
        found = [hmac.compare_digest(key.encode("latin-1", "replace"), self._key) for key in keys]
        return any(found)

    async def _refuse(self, problem: HttpProblem, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4000 + problem.status, "reason": problem.what[:120]})
            return
        # Where a proxy may see another end of the request than we do, nothing behind it can be trusted (RFC 9112, 6.1).
        more = [(b"connection", b"close")] if problem.code == _TWO_LENGTHS else []
        await answer(*as_http(problem))(scope, receive, _with_headers(send, more))


def _name_of(host: str) -> str:
    """The name in a Host header, without the port; empty where there is none in it."""
    if set(host) & set("/\\@#? "):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets around what is no address
        return ""


def _place_of(origin: str) -> str:
    """Name and port in an Origin header, as a Host header has them."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _too_large(size: int, limits: Limits) -> HttpProblem:
    return HttpProblem(
        413, f"The request has {size / 1e6:,.0f} MB, and at most {limits.max_body_mb} MB are read", code="request_too_large",
        fix="Send less at once, or start the server with a larger --max-body-mb.",
    )  # fmt: skip


def _with_headers(send: Send, more: Sequence[tuple[bytes, bytes]] = ()) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS, *more]}
        await send(message)

    return sent


class _Measured:
    """A request's body within the limits of size and time. Raises Refused."""

    def __init__(self, receive: Receive, limits: Limits):
        self._receive, self._limits = receive, limits
        self._left = limits.max_body_mb * 10**6
        self._is_whole = False
        self._deadline = asyncio.get_running_loop().time() + limits.body_seconds

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._is_whole:
            return await self._receive()  # the next thing to hear of is that the client is gone
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            late = f"The request did not arrive within {self._limits.body_seconds} seconds"
            raise Refused(HttpProblem(408, late, code="timeout")) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._left < 0:
                raise Refused(_too_large(self._limits.max_body_mb * 10**6 - self._left, self._limits))
        return message
