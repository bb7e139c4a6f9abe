"""The terminal that every verb prints on."""

from __future__ import annotations

import threading
import webbrowser

from rich.console import Console

_BROWSER_SECONDS = 1.0


def console(*, to_stderr: bool = False) -> Console:
    return Console(highlight=False, stderr=to_stderr)


def open_page(out: Console, url: str) -> None:
    """Show a page in the browser a moment from now, where somebody sits at this terminal."""
    if out.is_terminal:
        timer = threading.Timer(_BROWSER_SECONDS, webbrowser.open, [url])
        timer.daemon = True
        timer.start()
