"""An app's API as one page, from its OpenAPI: every route with what it takes and gives. No script, no request (SEC-6).

Names, descriptions and defaults are data: nothing of them becomes a part of the page's code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from fastapi import FastAPI, Response
from markupsafe import Markup, escape

from lorasmith.training.page_style import STYLE

Schema = Mapping[str, Any]

_TEMPLATE = Path(__file__).parent.parent / "web" / "api_docs.html.jinja"
_METHODS = ("get", "post", "put", "patch", "delete")
_CODE = re.compile(r"`([^`]+)`")
_OWN_STYLE = """
details{border-top:1px solid var(--line)}h2+details{border-top:0}summary{display:flex;flex-wrap:wrap;gap:2px 12px;padding:9px 0;
cursor:pointer;list-style:none;align-items:baseline}summary::-webkit-details-marker{display:none}
summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
summary b{font:600 12px/1.5 ui-monospace,monospace;width:52px;color:var(--accent)}
summary code{font-size:13px;overflow-wrap:anywhere}summary span{color:var(--soft);flex:1 1 240px}
details[open]>summary span{color:inherit}
.in th,.shape th{width:200px}.in{padding:0 0 16px 64px}.in h3{margin:14px 0 2px}.in>p{white-space:pre-line}
.in table th code{color:var(--ink)}td .soft{font-size:12px}a{color:var(--accent);text-underline-offset:2px}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin-top:14px}.shape{padding:10px 0;scroll-margin-top:12px}
@media(max-width:560px){.in{padding-left:0}
td,.in th,.shape th{display:block;border:0;padding:0;width:auto}tr{display:block;padding:8px 0;
border-top:1px solid var(--line)}tr:first-child{border-top:0}thead{display:none}}
"""
_SHEET = STYLE + _OWN_STYLE
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_SHEET.encode()).digest()).decode()}'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LIMITS = {
    "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
    "minLength": "{} characters or more", "maxLength": "at most {} characters", "minItems": "{} of them or more",
    "maxItems": "at most {} of them", "pattern": "as {}",
}  # fmt: skip


class Field(NamedTuple):
    """A parameter, or a field of a body or a shape."""

    name: str
    kind: Markup
    is_required: bool
    default: str
    """As JSON writes it; empty where there is none."""
    about: Markup
    limits: str


class Answer(NamedTuple):
    """What comes back with a status."""

    status: str
    kind: Markup
    about: str


class Call(NamedTuple):
    """A route with one of its methods."""

    method: str
    path: str
    summary: Markup
    about: Markup
    """What there is to say beyond the summary."""
    parameters: list[Field]
    body_kinds: str
    body_shape: Markup
    body: list[Field]
    answers: list[Answer]


def install(app: FastAPI, path: str) -> None:
    """Have `app` describe itself at `path`."""

    @cache
    def written() -> str:
        return page(app.openapi())

    def docs() -> Response:  # in a thread: a large API takes a while
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
        return Response(written(), media_type="text/html; charset=utf-8", headers=headers)

    app.add_api_route(path, docs, include_in_schema=False)


def page(api: Schema) -> str:
    """The whole page of an OpenAPI document."""
    writer = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = writer.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    info, shapes = api["info"], _shapes(api)
    about = {name: _said(shape.get("description", "")) for name, shape in shapes.items()}
    return template.render(
        title=info["title"], version=info["version"], about=_said(info.get("description", "")), groups=_groups(api, shapes),
        shapes=[(name, about[name], _fields(one), _kind(one)) for name, one in sorted(shapes.items())],
        style=Markup(_SHEET),  # noqa: S704  ours
    )  # fmt: skip


def _groups(api: Schema, shapes: Mapping[str, Schema]) -> dict[str, list[Call]]:
    """Calls by their first tag."""
    groups: dict[str, list[Call]] = {}
    for path, methods in api["paths"].items():
        for method in _METHODS:
            if told := methods.get(method):
                tag = (told.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append(_call(method, path, told, shapes))
    return groups


def _call(method: str, path: str, told: Schema, shapes: Mapping[str, Schema]) -> Call:
    body = told.get("requestBody", {}).get("content", {})
    schema: Schema = next(iter(body.values()), {}).get("schema", {})
    first, _, rest = (told.get("description") or told.get("summary", "")).partition("\n")
    return Call(
        method=method.upper(), path=path, summary=_said(first), about=_said(rest.strip()),
        parameters=[
            _field(one["name"], one.get("schema", {}), required=one.get("required", False), about=one.get("description", ""))
            for one in told.get("parameters", ())
        ],
        body_kinds=", ".join(body), body_shape=_kind(schema) if schema else Markup(""), body=_fields(_followed(schema, shapes)),
        answers=[_answer(status, one) for status, one in told.get("responses", {}).items()],
    )  # fmt: skip


def _answer(status: str, told: Schema) -> Answer:
    schema: Schema = next(iter(told.get("content", {}).values()), {}).get("schema", {})
    return Answer(status, _kind(schema) if schema else Markup(""), told.get("description", ""))


def _fields(schema: Schema) -> list[Field]:
    required = schema.get("required", ())
    return [_field(name, one, required=name in required) for name, one in schema.get("properties", {}).items()]


def _field(name: str, schema: Schema, *, required: bool, about: str = "") -> Field:
    default = "" if "default" not in schema else json.dumps(schema["default"], ensure_ascii=False)
    inner = [schema, *schema.get("anyOf", ()), schema.get("items", {})]
    limits = [text.format(_plain(one[key])) for one in inner for key, text in _LIMITS.items() if key in one]
    return Field(
        name, _kind(schema), required, default, _said(about or schema.get("description", "")), ", ".join(limits)
    )


def _plain(limit: Any) -> str:
    """OpenAPI writes every number as one with a point."""
    return f"{limit:.15g}" if isinstance(limit, float) else str(limit)


def _said(description: str) -> Markup:
    """A description, with what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(description))))  # noqa: S704  escaped


def _kind(schema: Schema) -> Markup:
    """What a value is, in words; a shape as a link to it."""
    if "$ref" in schema:
        return Markup('<a href="#shape-{0}">{0}</a>').format(_named(schema))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return Markup(" or ").join(dict.fromkeys(map(_kind, schema[key])))
    if "enum" in schema or "const" in schema:
        return Markup(" or ").join(
            Markup("<code>{}</code>").format(one) for one in schema.get("enum", [schema.get("const")])
        )
    if schema.get("type") == "array":
        return Markup("list of {}").format(_kind(schema.get("items", {})))
    if isinstance(inner := schema.get("additionalProperties"), Mapping) and inner:
        return Markup("map to {}").format(_kind(inner))
    return escape(schema.get("format") or schema.get("type") or "anything")


def _named(reference: Schema) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[1]


def _followed(schema: Schema, shapes: Mapping[str, Schema]) -> Schema:
    return shapes.get(_named(schema), {}) if "$ref" in schema else schema


def _shapes(api: Schema) -> dict[str, Schema]:
    """Shapes by name: the API's own, and those that a single body brings with it."""
    found = dict(api.get("components", {}).get("schemas", {}))
    for schema in _within(api["paths"]):
        found.update(schema.get("$defs", {}))
    return found


def _within(value: Any) -> Iterator[Schema]:
    """Every object in a document."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _within(one)
