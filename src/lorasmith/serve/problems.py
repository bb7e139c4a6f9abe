"""Errors as HTTP answers: one shape for all of them, `{"error": {"message", "type", "param", "code", "hint"}}` (SRV-9)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lorasmith.core.errors import LorasmithError

log = logging.getLogger("lorasmith.serve")

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          405: "invalid_request_error", 408: "timeout_error", 409: "does_not_fit_error", 413: "invalid_request_error",
          415: "invalid_request_error", 429: "rate_limit_error", 503: "unavailable_error"}  # fmt: skip
_CODES = {"usage": "invalid_value", "not_found": "not_found", "does_not_fit": "out_of_memory", "environment": "environment",
          "data": "invalid_data"}  # fmt: skip
_FIELDS = "All fields are in /docs, and in /info under parameters."
"""Where the server of a model tells of what a request may hold."""


class HttpProblem(LorasmithError):
    """A refusal with a status of its own."""

    def __init__(
        self, status: int, what: str, *, code: str = "", param: str | None = None, fix: str = "", why: str = ""
    ):
        super().__init__(what, why=why, fix=fix)
        self.status, self.code, self.param = status, code, param


class Refused(HTTPException):
    """An HttpProblem that is met while a body is read, where frameworks let only their own errors through."""

    def __init__(self, problem: HttpProblem):
        super().__init__(problem.status, problem.what)
        self.problem = problem


def error_body(
    message: str, *, status: int, code: str | None = None, param: str | None = None, hint: str = "", kind: str = ""
) -> dict[str, Any]:
    """The one shape."""
    error = {
        "message": message,
        "type": kind or _TYPES.get(status, "server_error"),
        "param": param,
        "code": code,
        "hint": hint,
    }
    return {"error": error}


def as_http(problem: Exception, *, fields: str = _FIELDS) -> tuple[int, dict[str, Any]]:
    """Status and body for whatever a handler raised. What nobody expected is logged under an id, which the user is given.
    `fields`: the hint where the request itself is wrong."""
    if isinstance(problem, HttpProblem):
        text = f"{problem.what}. {problem.why}".strip() if problem.why else problem.what
        return problem.status, error_body(
            text, status=problem.status, code=problem.code or None, param=problem.param, hint=problem.fix
        )
    if isinstance(problem, ValidationError):
        return _invalid(
            cast(Any, problem.errors(include_url=False, include_context=False, include_input=False)), fields
        )
    if isinstance(problem, LorasmithError) and problem.kind in _CODES:
        status = 422 if problem.kind == "data" else problem.http_status
        status = 400 if status == 422 else status
        message = f"{problem.what}. {problem.why}" if problem.why else problem.what
        param = problem.details.get("param")
        return status, error_body(message, status=status, code=_CODES[problem.kind], param=param, hint=problem.fix)
    id_ = secrets.token_hex(4)
    log.error("error %s: %s", id_, problem, exc_info=problem)
    return 500, error_body(
        f"This request has failed (error {id_})", status=500, code="model_error",
        hint=f"What happened is in the server's log under {id_}.",
    )  # fmt: skip


def _invalid(errors: list[Mapping[str, Any]], hint: str) -> tuple[int, dict[str, Any]]:
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    text = f"'{where}': {message}" if where else message
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return 400, error_body(text + more, status=400, code="invalid_value", param=where or None, hint=hint)


def answer(status: int, body: dict[str, Any]) -> JSONResponse:
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    return JSONResponse(body, status_code=status, headers=headers)


def install(app: FastAPI, *, docs: str, fields: str = _FIELDS) -> None:
    """Give `app` these answers in place of its own. `docs`: where it describes itself."""

    async def known(_: Request, problem: Exception) -> JSONResponse:
        return answer(*as_http(problem, fields=fields))

    async def invalid(_: Request, problem: Exception) -> JSONResponse:
        return answer(*_invalid(cast(Any, problem).errors(), fields))

    async def http(_: Request, problem: Exception) -> JSONResponse:
        failed = cast(HTTPException, problem)
        if isinstance(failed, Refused):
            return answer(*as_http(failed.problem))
        body = error_body(str(failed.detail), status=failed.status_code, hint=f"All routes are listed in {docs}.")
        return JSONResponse(body, status_code=failed.status_code, headers=failed.headers)

    async def gone(_: Request, __: Exception) -> Response:
        """The client broke off: nobody hears this, and nothing is wrong here that a log should keep."""
        return Response(status_code=499)

    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(LorasmithError, known)
    app.add_exception_handler(ValidationError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, known)
