"""A request's body as the call that the served family takes, with its files as bytes: JSON, or a form with files."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile

from lorasmith.families._calls import Call
from lorasmith.serve.media import read_media
from lorasmith.serve.nesting import MOST, is_too_deep
from lorasmith.serve.problems import HttpProblem, Refused
from lorasmith.serve.state import Served

_MAX_FILES = 64
_LISTS = frozenset({"images", "texts", "text_pairs", "words", "stop"})


def call_kind(served: Served) -> type[Call]:
    """Raises HttpProblem where the family has none."""
    kind = served.family.call
    if kind is None:
        raise HttpProblem(
            400,
            f"No handler found for model type: {served.model.model_type}. This model type is not yet supported.",
            code="unsupported_model",
        )
    return kind


async def read_json(request: Request) -> dict[str, Any]:
    """Raises HttpProblem for what is no JSON object."""
    return json_object(await request.body() or b"{}", "body", fix='A right one: {"prompt": "Hello"}')


def json_object(text: str | bytes, what: str, *, fix: str = "") -> dict[str, Any]:
    """The JSON object that `text` is; `what` names it for whoever sent it. Raises HttpProblem."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise HttpProblem(400, f"The {what} is no JSON: {error}", code="invalid_json", fix=fix) from None
    if is_too_deep(value):
        raise HttpProblem(400, f"The {what} is nested more than {MOST} deep", code="invalid_json", fix=fix)
    if not isinstance(value, dict):
        raise HttpProblem(400, f"The {what} has to be a JSON object", code="invalid_json", fix=fix)
    return cast(dict[str, Any], value)


class StrictRoute(APIRoute):
    """A route whose body FastAPI reads, as strictly as elsewhere: its own reader takes NaN, halves of characters, any depth."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handler(_Strict(request.scope, request.receive))

        return strictly


class _Strict(Request):
    async def json(self) -> Any:
        try:
            return json_object(await self.body(), "body")
        except HttpProblem as problem:
            raise Refused(problem) from None


async def read_call(served: Served, request: Request) -> tuple[Call, list[bytes]]:
    """The call, checked, and its files. Raises HttpProblem, pydantic.ValidationError."""
    fields = await _form(served, request) if _is_form(request) else await read_json(request)
    return await checked(served, fields)


async def checked(served: Served, fields: dict[str, Any]) -> tuple[Call, list[bytes]]:
    call = call_kind(served).model_validate(fields)
    return call, await read_media(call.media(), served.uploads, allow_urls=served.spec.allow_urls)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _form(served: Served, request: Request) -> dict[str, Any]:
    """Plain fields, `call` with the rest as JSON, and files, which become uploads."""
    fields: dict[str, Any] = {}
    async with request.form(max_files=_MAX_FILES, max_fields=1000, max_part_size=16 * 2**20) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                _put(fields, name, f"upload:{served.uploads.add(await value.read())}")
            elif name == "call":
                fields |= json_object(value, "field 'call'")
            else:
                _put(fields, name, value)
    return fields


def _put(fields: dict[str, Any], name: str, value: str) -> None:
    if name in _LISTS:
        fields.setdefault(name, []).append(value)
    else:
        fields[name] = value
