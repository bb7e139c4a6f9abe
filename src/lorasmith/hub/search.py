"""Models on the Hub by words."""

from __future__ import annotations

from typing import Any, NamedTuple

from lorasmith.core import settings
from lorasmith.hub.problems import PATIENCE_SECONDS, hub_problems


class Found(NamedTuple):
    """A model as the Hub lists it."""

    id: str
    downloads: int
    """Of the last month."""
    likes: int
    task: str
    gated: bool


def search(text: str, *, most: int = 20) -> list[Found]:
    """Models whose names hold `text`, the most fetched first. Raises EnvironmentProblem where the Hub does not answer."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    token = settings.load().huggingface_token
    asked = {"search": text, "limit": str(most), "sort": "downloads", "direction": "-1"}
    with hub_problems(text, token_given=token is not None):
        # Asked while somebody types: once, and not again. The client's own call for this has no time limit.
        answer = get_session().get(
            f"{constants.ENDPOINT}/api/models", params=asked, timeout=PATIENCE_SECONDS,
            headers=build_hf_headers(token=token.get_secret_value() if token else None),
        )  # fmt: skip
        hf_raise_for_status(answer)
        listed = answer.json()
    return [_found(one) for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)]


def _found(one: dict[str, Any]) -> Found:
    return Found(
        one["id"],
        one.get("downloads") or 0,
        one.get("likes") or 0,
        one.get("pipeline_tag") or "",
        bool(one.get("gated")),
    )
