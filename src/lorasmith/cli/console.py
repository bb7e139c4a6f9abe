"""The terminal that every verb prints on."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    return Console(highlight=False)
