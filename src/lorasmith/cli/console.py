"""The terminal that every verb prints on."""

from __future__ import annotations

from rich.console import Console


def console(*, to_stderr: bool = False) -> Console:
    return Console(highlight=False, stderr=to_stderr)
