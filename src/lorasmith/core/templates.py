"""Chat templates in jinja's sandbox, rendered as transformers renders them. A template is data from a stranger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
from jinja2.parser import Parser

# Unicode noncharacters: they mark where an answer starts and ends inside a rendered conversation and are never encoded.
START, STOP = "\ufdd0", "\ufdd1"


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: a template's own word on what the model is to learn."""

    tags = {"generation"}  # noqa: RUF012  declared so by jinja

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{START}{caller()}{STOP}"


def environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    sandbox = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    sandbox.filters["tojson"] = to_json
    sandbox.globals["raise_exception"] = raise_exception  # type: ignore[assignment]
    sandbox.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)  # type: ignore[assignment]
    return sandbox


def compile_template(source: str) -> jinja2.Template:
    """Raises jinja2.TemplateSyntaxError."""
    return environment().from_string(source)


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
