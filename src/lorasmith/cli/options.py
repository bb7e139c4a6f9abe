"""Command-line options drawn from the specs: one field, one option, one description. No option is written twice."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

F = TypeVar("F", bound=Callable[..., Any])
DEVICE = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to run")
"""Of commands that have no spec of their own."""


def options_of(spec: type[BaseModel], *, without: tuple[str, ...] = ()) -> Callable[[F], F]:
    """A decorator that gives a command one option for each field of `spec`; what is not given arrives as None or empty."""

    def decorate(function: F) -> F:
        for name, field in reversed(spec.model_fields.items()):
            if name not in without:
                function = _option(name, field)(function)
        return function

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Only what the user gave: the specs know their own defaults."""
    return {name: value for name, value in values.items() if value is not None and value != () and value is not False}


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = "--" + name.replace("_", "-")
    kind = _without_none(field.annotation)
    text = (field.description or "") + _default_text(field)
    if kind is bool:
        return click.option(flag, is_flag=True, help=text)
    if get_origin(kind) is tuple:
        return click.option(flag, multiple=True, help=text)
    if get_origin(kind) is Literal:
        return click.option(flag, type=click.Choice(get_args(kind)), help=text)
    metavar = {int: "N", float: "X"}.get(kind, "TEXT") if isinstance(kind, type) else "TEXT"
    return click.option(flag, type=kind if kind in (int, float) else str, metavar=metavar, help=text)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _default_text(field: FieldInfo) -> str:
    if field.is_required() or field.default in (None, "", False, ()):
        return ""
    return f" [{field.default}]"
