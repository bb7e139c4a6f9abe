"""How deep what a client sent is nested (SEC-4). What goes through it by recursion later would run out of stack."""

from __future__ import annotations

from typing import Any, cast

MOST = 128
"""Levels. JSON schemas of the largest interfaces have some thirty."""


def is_too_deep(value: Any) -> bool:
    """Level by level, without recursion."""
    level: list[Any] = [value]
    for _ in range(MOST + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(outer: Any) -> list[Any]:
    """The objects and lists right inside a value."""
    if isinstance(outer, dict):
        given = cast(list[Any], list(outer.values()))
    else:
        given = cast(list[Any], outer) if isinstance(outer, list) else []
    return [inner for inner in given if isinstance(inner, (dict, list))]
