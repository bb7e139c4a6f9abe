"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from lorasmith.serve.problems import HttpProblem
from lorasmith.studio.accounts import SESSION, word_of
from lorasmith.studio.door import COOKIE
from lorasmith.studio.state import Here

router = APIRouter(tags=["session"])


class SignInRequest(BaseModel):
    """An account's token."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class SessionShown(BaseModel):
    """Whether one has to sign in here, who has, and what a page's requests carry as `X-CSRF-Token`."""

    needs_sign_in: bool
    account: str | None
    csrf: str


@router.get("/session")
async def session(request: Request, studio: Here) -> SessionShown:
    cookie = request.state.cookie
    account = await anyio.to_thread.run_sync(studio.accounts.of_cookie, cookie) if cookie else ""
    return SessionShown(
        needs_sign_in=studio.is_locked and not account, account=account or None,
        csrf=word_of(cookie) if account else "",
    )  # fmt: skip


@router.post("/session")
async def sign_in(asked: SignInRequest, request: Request, response: Response, studio: Here) -> SessionShown:
    """Exchange a token for a cookie that no script can read. After five wrong ones an address has to wait, longer each time."""
    address = request.client.host if request.client else ""
    wait = studio.accounts.wait_seconds(address)
    if wait > 0:
        raise HttpProblem(429, f"Too many wrong tokens: wait {wait:.0f} seconds", code="rate_limited")
    entry = await anyio.to_thread.run_sync(studio.accounts.begin, asked.token, address)
    if entry is None:
        raise HttpProblem(
            403, "Nobody has this token", code="wrong_token", fix="Take the one that was printed at the start."
        )
    response.set_cookie(
        COOKIE, entry.cookie, max_age=int(SESSION.total_seconds()), httponly=True, samesite="strict",
        secure=request.url.scheme == "https", path="/",
    )  # fmt: skip
    return SessionShown(needs_sign_in=False, account=entry.account, csrf=word_of(entry.cookie))


@router.delete("/session", status_code=204)
async def sign_out(request: Request, studio: Here) -> Response:
    if request.state.cookie:
        await anyio.to_thread.run_sync(studio.accounts.end, request.state.cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response
