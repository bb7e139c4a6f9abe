"""A page that is one file, with a policy that lets it run only what it was built with (SEC-6)."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)
_PAGES = Path(__file__).parent.parent / "web"
PAGE = _PAGES / "serve_ui.html"
STUDIO_PAGE = _PAGES / "studio_ui.html"
_SCRIPT = re.compile(rb"<script\b[^>]*>(.*?)</script>", re.DOTALL)


@cache
def _read(file: Path) -> tuple[bytes, str]:
    """The file, and the policy that allows the scripts in it by their hashes."""
    data = file.read_bytes()
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in _SCRIPT.findall(data)
    )
    policy = (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src data: blob:; connect-src 'self'; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return data, policy


def answer_page(file: Path) -> Response:
    data, policy = _read(file)
    return Response(
        data,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"},
    )


@router.get("/")
async def page() -> Response:
    return answer_page(PAGE)


@router.get("/favicon.ico")
async def favicon() -> Response:
    return Response(status_code=204)
