"""Models on the Hub by words."""

from __future__ import annotations

from typing import NamedTuple

from lorasmith.core import settings
from lorasmith.hub.problems import hub_problems, patiently


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
    from huggingface_hub import HfApi

    token = settings.load().huggingface_token
    asked = HfApi(token=token.get_secret_value() if token else None)
    with hub_problems(text, token_given=token is not None):
        listed = patiently(lambda: list(asked.list_models(search=text, limit=most, sort="downloads")))
    return [
        Found(one.id, one.downloads or 0, one.likes or 0, one.pipeline_tag or "", bool(one.gated)) for one in listed
    ]
