"""What whoever asks may name. Where one has to sign in, who asks may be no user of this machine: neither its files nor its
network are theirs to name (SEC-1, SEC-3). Nothing else decides that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import Request

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem

_OF_EVERY_TASK = frozenset({"model", "data", "output"})
_OWN: Mapping[str, frozenset[str]] = {
    "train": frozenset({"tensorboard_port"}),
    "export": frozenset({"out"}),
    "serve": frozenset(
        {"host", "port", "api_key", "allow_host", "allow_origin", "allow_urls", "no_browser", "log_prompts"}
    ),
}
"""By kind of task, what of its spec has a place of its own here, or is the studio's to say."""
_NEVER = frozenset({"prior_data", "storage"})
"""Pictures and databases that lie where the command line is."""
_NAMES = frozenset(
    {
        "model",
        "base_model",
        "base_model_name",
        "base",
        "adapter",
        "adapters",
        "source",
        "folder",
        "load_lora",
        "bertscore_model",
    }
)
"""Fields that name a model or an adapter, or where it lies."""
_JUDGES = ("judge", "judge_model_id")
_SHIPPED = "demo"
_ONLY_HERE = ("/scan", "/judges/", "/system/settings/")
"""Routes that look around on this machine, or say whom it talks to."""
_CHANGES = frozenset({"PUT", "DELETE"})


def require_free(kind: str, params: Mapping[str, Any]) -> None:
    """Raises UsageProblem for a parameter of such a task that is not asked for in this way."""
    given = sorted(set(params) & (_OF_EVERY_TASK | _OWN.get(kind, frozenset())))
    if given:
        raise UsageProblem(
            f"'{given[0]}' is not given to a task here", why="It has a place of its own, or is the studio's to say.",
            fix="Leave it out; model and data are base_model and dataset_id.",
        )  # fmt: skip


def require_no_files(params: Mapping[str, Any]) -> None:
    """Raises UsageProblem for a file of this machine or an address that only its own user may name."""
    from lorasmith.data.tokenizer import TEMPLATES

    template = str(params.get("template") or "")
    if template and template not in TEMPLATES:
        raise UsageProblem("A template of your own cannot be named here", fix=f"Known: {', '.join(sorted(TEMPLATES))}.")
    for name in sorted(_NEVER & params.keys()):
        if params[name]:
            raise UsageProblem(f"'{name}' of this machine cannot be named here", fix=f"Leave {name} out.")
    for text in _named(params):
        _require_inside(text)


async def require_rights(request: Request) -> None:
    """Raises UsageProblem for a request that a studio does not answer where one has to sign in. A dependency of all routes."""
    studio = request.app.state.studio
    if not studio.is_locked:
        return
    route = request.url.path
    is_only_here = any(f"/api{part}" in route or f"/simple-lora{part}" in route for part in _ONLY_HERE)
    if is_only_here and (request.method in _CHANGES or "/scan" in route):
        raise UsageProblem(
            "That is done on the studio's machine", why="Whoever signs in may be no user of it.",
            fix="lorasmith adapters scan FOLDER, or lorasmith config set NAME VALUE.",
        )  # fmt: skip
    asked: Any = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            asked = [asked, await request.json()]
        except ValueError:  # the route itself says what is wrong with it
            return
    for text in _named(asked):
        _require_inside(text)


def _named(asked: Any) -> Iterator[str]:
    """Every model, adapter or place that a request names, wherever it stands in it."""
    if isinstance(asked, list | tuple):
        for one in asked:
            yield from _named(one)
    elif isinstance(asked, Mapping):
        for name, value in asked.items():
            if name in _NAMES:
                yield from _texts(value)
            elif name in _JUDGES and isinstance(value, str) and value.startswith("local:"):
                yield value.removeprefix("local:")
            else:
                yield from _named(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.rpartition("=")[2]  # adapters come as NAME=PATH, too
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _require_inside(text: str) -> None:
    """A name of something in home or on the Hub, or a path within home."""
    if text in ("", _SHIPPED):
        return
    place = Path(text.replace("\0", ""))
    looks_like_a_path = place.is_absolute() or "\\" in text or text.startswith(("~", ".")) or ".." in place.parts
    if not looks_like_a_path and not place.exists():
        return
    if place.is_absolute() and place.resolve().is_relative_to(paths.home().resolve()):
        return
    raise UsageProblem(
        f"'{text[:100]}' is a place on the studio's machine", why="Whoever signs in may be no user of it.",
        fix="Name an installed model, one on the Hub, or an adapter of this studio.",
    )  # fmt: skip
