"""The page of a served model in a browser, watched: what the tests of pages have in common."""

from __future__ import annotations

import base64
import json
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# Chromium's own microphone for tests, which beeps once a second and asks nobody.
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

expect.set_options(timeout=20_000)  # a machine under load is slow, not wrong


@contextmanager
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no chromium on the path")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *MICROPHONE])
        yield started
        started.close()


@contextmanager
def watched(browser: Browser, address: str, *, errors: tuple[str, ...] = ("",), **context: Any) -> Iterator[Page]:
    """The page at `address` in a browser that was never used. At the end it fails where the page asked another host for anything, an
    exception went uncaught, or the console showed an error with one of `errors` in it; the empty one is in all."""
    own = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1440, "height": 900}, **context})
    page, complaints = own.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: _is_one(line, errors) and complaints.append(line.text))
    page.on("request", lambda asked: complaints.extend(_foreign(asked.url, address)))
    page.on("websocket", lambda opened: complaints.extend(_foreign(opened.url, address)))
    page.goto(address)
    yield page
    own.close()
    assert not complaints, complaints


def _is_one(line: Any, errors: tuple[str, ...]) -> bool:
    return line.type == "error" and any(part in line.text for part in errors)


def _foreign(url: str, address: str) -> list[str]:
    """The URL, where it leads to another host."""
    host = address.split("://", 1)[1].split("/", 1)[0]
    is_inside = url.startswith(("data:", "blob:", f"http://{host}/", f"ws://{host}/"))
    return [] if is_inside else [url]


def calls(page: Page) -> list[dict[str, Any]]:
    """The calls that the page will have sent over its WebSocket, cancellations too; the list grows."""
    sent: list[dict[str, Any]] = []

    def listen(opened: WebSocket) -> None:
        opened.on("framesent", lambda frame: sent.append(json.loads(frame)))

    page.on("websocket", listen)
    return sent


def answers(page: Page) -> Locator:
    """The answers of a chat that are complete."""
    return page.locator("article[aria-busy=false]")


def picture(width: int = 60, height: int = 40, colour: str = "white") -> bytes:
    """A PNG."""
    from PIL import Image

    data = BytesIO()
    Image.new("RGB", (width, height), colour).save(data, "PNG")
    return data.getvalue()


def sound(seconds: float = 3, frequency_hz: float = 440) -> bytes:
    """A tone as wav: 16 kHz, mono, 16 bit."""
    from math import pi, sin

    data = BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        heights = (int(20_000 * sin(2 * pi * frequency_hz * at / 16_000)) for at in range(int(seconds * 16_000)))
        file.writeframes(b"".join(height.to_bytes(2, "little", signed=True) for height in heights))
    return data.getvalue()


def file_of(data: bytes, name: str = "picture.png", media_type: str = "image/png") -> Any:
    """For a file input."""
    return {"name": name, "mimeType": media_type, "buffer": data}


def drop(page: Page, onto: Locator, data: bytes, name: str = "picture.png", media_type: str = "image/png") -> None:
    """Drop a file, as a hand with a mouse does."""
    made = """([data, name, type]) => {
        const files = new DataTransfer();
        files.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, { type }));
        return files;
    }"""
    held = page.evaluate_handle(made, [base64.b64encode(data).decode(), name, media_type])
    onto.dispatch_event("dragover", {"dataTransfer": held})
    onto.dispatch_event("drop", {"dataTransfer": held})
