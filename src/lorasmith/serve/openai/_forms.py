"""Forms with files, whose fields are all texts: read as the numbers and switches that a request takes."""

from __future__ import annotations

import json
from typing import Any, get_args

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from lorasmith.serve.native import served_of
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.state import Served

_MAX_FILES = 16
_MAX_FIELDS = 100
_MAX_FIELD_BYTES = 2**20
Values = dict[str, list[str | UploadFile]]


async def read_form(request: Request) -> tuple[Served, Values]:
    """The server, and all values under each name. Files are closed with the request. Raises HttpProblem for what is no form."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HttpProblem(
            415,
            "This route takes a form with files",
            code="unsupported_media_type",
            fix="Send multipart/form-data, as clients do.",
        )
    form = await request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    values: Values = {}
    for name, value in form.multi_items():
        values.setdefault(name, []).append(value)
    return served_of(request), values


def numbers_in(values: Values, kind: type[BaseModel]) -> dict[str, Any]:
    """The fields of `kind` among these, those that are no texts there as JSON. A list may be written `name[]`."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        texts = [value for value in values.get(name, []) + values.get(f"{name}[]", []) if isinstance(value, str)]
        if not texts:
            continue
        kinds = get_args(field.annotation) or (field.annotation,)
        if any(getattr(one, "__origin__", None) is list for one in kinds) or field.annotation is list:
            found[name] = texts
        else:
            found[name] = texts[-1] if str in kinds else _value(texts[-1])
    return found


def _value(text: str) -> Any:
    """A number or a switch; anything else stays the text it is: one of several words, or what the field refuses by its name."""
    try:
        return json.loads(text.lower())
    except (ValueError, RecursionError):
        return text
