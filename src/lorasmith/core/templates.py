"""Chat templates in jinja's sandbox, rendered as transformers renders them. A template is data from a stranger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.parser import Parser

from lorasmith.core.sandbox import LimitedSandbox

# Unicode noncharacters: they mark where an answer starts and ends inside a rendered conversation and are never encoded.
START, STOP = "\ufdd0", "\ufdd1"

_MAX_INDENT = 8


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: a template's own word on what the model is to learn."""

    tags = {"generation"}  # noqa: RUF012  declared so by jinja

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{START}{caller()}{STOP}"


def environment() -> LimitedSandbox:
    sandbox = LimitedSandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        if indent is not None and not 0 <= indent <= _MAX_INDENT:
            raise jinja2.TemplateError(f"it indents JSON by more than {_MAX_INDENT}")
        return json.dumps(sandbox.measured(value), ensure_ascii=ensure_ascii, indent=indent)

    sandbox.filters["tojson"] = to_json
    sandbox.globals["raise_exception"] = raise_exception  # type: ignore[assignment]
    sandbox.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)  # type: ignore[assignment]
    return sandbox


class ChatTemplate:
    """A template that is rendered within the sandbox's limits of time and size (SEC-2)."""

    def __init__(self, source: str):
        self._sandbox = environment()
        self._template = self._sandbox.compile_limited(source)

    def render(self, **values: Any) -> str:
        """Raises jinja2.TemplateError, and what a template's own mistakes raise: TypeError, ValueError, KeyError …"""
        return self._sandbox.render_limited(self._template, values)


def compile_template(source: str) -> ChatTemplate:
    """Raises jinja2.TemplateSyntaxError."""
    return ChatTemplate(source)


def marks_answers(source: str) -> bool:
    """Whether the template says itself which parts are the model's."""
    return "{% generation" in source or "{%- generation" in source


def template_in(config: Mapping[str, Any]) -> str:
    """The chat template that a tokenizer's configuration holds; of several named ones the default. Empty without one."""
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        named = {
            entry["name"]: entry["template"] for entry in template if isinstance(entry, dict) and "template" in entry
        }
        return str(named.get("default") or next(iter(named.values()), ""))
    return template if isinstance(template, str) else ""
