"""The pages of a studio as they are served: how large, to whom anew, and the one that describes its API (STU-10, STU-12, SEC-6)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import httpx2
import pytest
from tests.studio import StudioServer, running

MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


def test_the_first_page_is_small(studio: StudioServer) -> None:
    """STU-10: under 300 kB as it comes over the wire, the same for every place; who has it is sent nothing."""
    site = studio.url.removesuffix("/api")
    with httpx2.stream("GET", site, headers={"Accept-Encoding": "gzip"}) as response:
        packed = b"".join(response.iter_raw())
        etag = response.headers["etag"]
    assert response.headers["content-encoding"] == "gzip"
    assert len(packed) < MOST_BYTES, len(packed)
    plain = httpx2.get(site, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert "Accept-Encoding" in plain.headers["vary"]
    again = httpx2.get(f"{site}/tasks/1", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == plain.headers["content-security-policy"]
    assert httpx2.get(f"{site}/nowhere", headers={"If-None-Match": etag}).status_code == 404


def test_the_api_describes_itself_without_any_other_host(studio: StudioServer) -> None:
    """STU-12, SEC-6: every route on one page that runs no script and may load nothing."""
    described = httpx2.get(f"{studio.url}/docs")
    policy = described.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not re.findall(r"<script|https?://|(?:src|href)=\"//", described.text)
    routes = studio.get("/openapi.json")["paths"]
    assert len(routes) > 50
    for path, methods in routes.items():
        for method in methods:
            assert f"<b>{method.upper()}</b><code>{path}</code>" in described.text, (method, path)
    studio.get("/redoc", 404)


def test_a_wrong_request_is_told_where_the_studio_says_what_is_right(studio: StudioServer) -> None:
    """QLT-1: a hint names only what there is: fields, routes, methods."""
    hints = [
        studio.post("/train", {"nothing": 1}, 400)["error"]["hint"],
        studio.get("/tasks", 400, limit=0)["error"]["hint"],
        studio.put("/tasks", {}, 405)["error"]["hint"],
        studio.get("/nowhere", 404)["error"]["hint"],
    ]
    for hint in hints:
        places = re.findall(r"/[\w./]+\w", hint)
        assert places == ["/api/docs"], hint
