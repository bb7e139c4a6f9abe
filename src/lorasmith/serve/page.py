"""A page that is one file, with a policy that lets it run only what it was built with (SEC-6)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)
_PAGES = Path(__file__).parent.parent / "web"
PAGE = _PAGES / "serve_ui.html"
STUDIO_PAGE = _PAGES / "studio_ui.html"
_SCRIPT = re.compile(rb"<script\b[^>]*>(.*?)</script>", re.DOTALL)


class _Page(NamedTuple):
    """A page as it is sent."""

    plain: bytes
    packed: bytes
    """By gzip, once and as small as it gets: a page is asked for more often than it changes."""
    headers: dict[str, str]


@cache
def _read(file: Path) -> _Page:
    """The file, and the policy that allows the scripts in it by their hashes."""
    data = file.read_bytes()
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in _SCRIPT.findall(data)
    )
    policy = (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src data: blob:; connect-src 'self'; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy, "Cache-Control": "no-cache", "Vary": "Accept-Encoding",
        "ETag": f'W/"{hashlib.sha256(data).hexdigest()[:32]}"',
    }  # fmt: skip
    return _Page(data, gzip.compress(data, 9, mtime=0), headers)


def answer_page(file: Path, request: Request, *, status: int = 200) -> Response:
    """The page, packed where the browser can unpack it; nothing but its headers where it has it already."""
    found = _read(file)
    if status == 200 and found.headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=found.headers)
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    return Response(
        found.packed if is_packed else found.plain, status, media_type="text/html; charset=utf-8",
        headers=found.headers | ({"Content-Encoding": "gzip"} if is_packed else {}),
    )  # fmt: skip


@router.get("/")
async def page(request: Request) -> Response:
    return answer_page(PAGE, request)


@router.get("/favicon.ico")
async def favicon() -> Response:
    return Response(status_code=204)
