"""Pictures and sounds of a request as bytes: from data URLs, base64, uploads, and from the web where that is allowed (SEC-3)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.uploads import Uploads

_FETCH_SECONDS = 20.0
_MAX_FETCHED_BYTES = 50 * 10**6


async def read_media(given: Sequence[str], uploads: Uploads, *, allow_urls: bool) -> list[bytes]:
    """The bytes of each, in order. Raises HttpProblem."""
    return [await _one(text, uploads, allow_urls=allow_urls) for text in given]


async def _one(text: str, uploads: Uploads, *, allow_urls: bool) -> bytes:
    if text.startswith("upload:"):
        return uploads.get(text.removeprefix("upload:"))
    if text[:8].lower().startswith(("http://", "https://")):
        if not allow_urls:
            raise HttpProblem(
                400, "This server fetches nothing from the web", code="urls_not_allowed",
                fix="Send the file itself as base64 or as an upload (or start the server with --allow-urls).",
            )  # fmt: skip
        return await _fetched(text)
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise HttpProblem(400, "A data URL has to be base64", code="invalid_value", fix="data:image/png;base64,…")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise HttpProblem(
            400, "A file is neither base64 nor a data URL nor the id of an upload", code="invalid_value",
            fix="Send data:image/png;base64,… or upload:ID with the id that POST /uploads gave.",
        )  # fmt: skip
    return data


async def public_address(host: str, port: int) -> str:
    """An address of `host`, all of whose addresses have to be public. Raises HttpProblem."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HttpProblem(400, f"'{host[:100]}' cannot be found", code="url_unreachable") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise HttpProblem(400, f"'{host[:100]}' is no public address", code="url_not_public")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return (inner or ip).is_global and not ip.is_multicast


async def _fetched(url: str) -> bytes:
    """The file at `url`. The connection goes to the very address that was checked, and no redirect is followed."""
    import httpx2

    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise HttpProblem(400, "The URL is none, or has a port that there cannot be", code="invalid_value") from None
    if not parts.hostname or parts.username:
        raise HttpProblem(400, "The URL names no host, or a user", code="invalid_value")
    address = await public_address(parts.hostname, port)
    at = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{at}:{port}").geturl()
    headers = {"Host": parts.netloc, "User-Agent": "lorasmith"}
    data = bytearray()
    try:
        async with httpx2.AsyncClient(timeout=_FETCH_SECONDS, follow_redirects=False, trust_env=False) as client:
            extensions = {"sni_hostname": parts.hostname}
            async with (
                asyncio.timeout(_FETCH_SECONDS),  # in all: the client's own counts each piece alone
                client.stream("GET", target, headers=headers, extensions=extensions) as response,
            ):
                if response.status_code != 200:
                    raise HttpProblem(400, f"The URL answered {response.status_code}", code="url_unreachable")
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > _MAX_FETCHED_BYTES:
                        raise HttpProblem(400, "The file at the URL is larger than 50 MB", code="url_too_large")
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, UnicodeError) as error:
        raise HttpProblem(400, "The URL cannot be fetched", code="url_unreachable", why=type(error).__name__) from None
    return bytes(data)
