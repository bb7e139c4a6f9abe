"""Requests to a judge: one POST of JSON, and what its failure means. Keys appear in no message; redirects are not followed."""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.core.secrets import masked
from lorasmith.evaluation.judges._base import JudgeTrouble

if TYPE_CHECKING:
    import httpx2

_MAX_BYTES = 2 * 2**20  # of an answer
_TOLD_CHARS = 300
_CONNECT_SECONDS = 10.0
_PASSING = frozenset({408, 425, 429})
_FINAL = frozenset({401, 402, 403, 404})
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")


class Refused(JudgeTrouble):
    """A request that the provider will not have as it is (400, 413, 422): `body` says why."""

    def __init__(self, what: str, body: str):
        super().__init__(what)
        self.body = body


def client(base_url: str, *, ca_file: Path | None = None) -> httpx2.AsyncClient:
    """A client for one judge. Addresses of this machine are called without the proxies that the environment names.

    Raises EnvironmentProblem where `ca_file` holds no certificates.
    """
    import httpx2

    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise EnvironmentProblem(
                f"The certificates '{ca_file}' cannot be read", why=f"{error.strerror or error}."
            ) from None
    # The panel limits the time of a whole request; here it is only how long a connection may take.
    timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
    return httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=not _is_here(base_url), verify=context)


def _is_here(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


async def post(
    client: httpx2.AsyncClient, url: str, *, headers: Mapping[str, str], secrets: tuple[str, ...], **body: Any
) -> dict[str, Any]:
    """The JSON object that came back. `body` is httpx's `json=` or `data=`; `secrets` are masked in all that is told.

    Raises JudgeTrouble.
    """
    import httpx2

    try:
        async with client.stream("POST", url, headers=dict(headers), **body) as response:
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise JudgeTrouble(f"The judge's answer is longer than {_MAX_BYTES} bytes")
    except (httpx2.HTTPError, OSError) as error:
        told = masked(f"{type(error).__name__}: {error}", *secrets)[:_TOLD_CHARS]
        is_stranger = "CERTIFICATE_VERIFY_FAILED" in told
        raise JudgeTrouble(
            f"The judge cannot be reached: {told}", is_passing=not is_stranger, is_final=is_stranger
        ) from None
    except httpx2.InvalidURL:
        raise JudgeTrouble("The judge's address is none", is_final=True) from None
    if response.status_code != 200:
        raise _trouble(response.status_code, response.headers, content, secrets)
    return _object(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise JudgeTrouble("The judge's server did not answer with a JSON object", is_passing=True)
    return value


def _trouble(status: int, headers: Mapping[str, str], content: bytes, secrets: tuple[str, ...]) -> JudgeTrouble:
    body = masked(content[:10_000].decode("utf-8", "replace"), *secrets)
    what = f"The judge answered {status}: {_message(body) or 'nothing'}"
    if status in (400, 413, 422):
        return Refused(what, body)
    has_no_money = status == 429 and any(word in body for word in _NO_MONEY)
    if status in _FINAL or 300 <= status < 400 or has_no_money:
        return JudgeTrouble(what, is_final=True)
    is_passing = status in _PASSING or status >= 500
    return JudgeTrouble(what, is_passing=is_passing, retry_after=_seconds(headers.get("retry-after", "")))


def _message(body: str) -> str:
    """The one sentence in an error's body, as most providers write it; else the body's beginning."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = body
    for key in ("error", "message"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    return printable(value if isinstance(value, str) else json.dumps(value))[:_TOLD_CHARS]


def printable(text: str) -> str:
    """One line without control characters: it may be shown in a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def _seconds(header: str) -> float | None:
    """What a Retry-After header asks for: seconds, or a date (RFC 9110, 10.2.3). None for anything else."""
    if header.strip().isdecimal():
        return float(header[:12])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def count(usage: Any, name: str) -> int | None:
    """A number of tokens in a provider's account; None for what is none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None
