"""Requests in OpenAI's words: unknown fields are passed over, wrong ones are named. What they mean is each noun's own matter."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorasmith.core.errors import NotFoundProblem
from lorasmith.families._calls import Call
from lorasmith.serve.native import served_of
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.reading import call_kind, read_json
from lorasmith.serve.state import Served, Voice

MAX_CHOICES = 8
_SEEDS = 2**63
_ID_DIGITS = 20


class Given(BaseModel):
    """The base of all requests. A number is no text, and a text no number."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model: str | None = Field(
        default=None, max_length=256, description="The base model's id, 'base', or an adapter's name"
    )


class TextGiven(Given):
    """What all requests for texts have in common."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stream: bool | None = None
    top_k: int | None = Field(default=None, ge=-1, description="Beyond OpenAI's: only so many of the likeliest tokens")
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=0.1, le=10)

    def sampling(self) -> dict[str, Any]:
        """The fields of a TextCall that have the same name here."""
        names = ("temperature", "top_p", "min_p", "repetition_penalty")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        return found | ({"top_k": max(0, self.top_k)} if self.top_k is not None else {})


class SampledGiven(TextGiven):
    """What chats and completions have in common."""

    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None

    def sampling(self) -> dict[str, Any]:
        found = super().sampling()
        for name in ("frequency_penalty", "presence_penalty"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        if self.logit_bias:
            found["logit_bias"] = {_token_id(key): value for key, value in self.logit_bias.items()}
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return found | {"stop": [stop for stop in stops if stop]}

    def seed_of(self, index: int) -> int | None:
        """The seed of one of several answers: each its own, all decided by the one that was given."""
        return None if self.seed is None else (self.seed + index) % _SEEDS

    @property
    def wants_usage(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < _ID_DIGITS):
        raise HttpProblem(
            400, f"logit_bias names '{key[:60]}', which is no token id", code="invalid_value", param="logit_bias",
            fix='{"logit_bias": {"1234": -100}}',
        )  # fmt: skip
    return int(key)


GivenT = TypeVar("GivenT", bound=BaseModel)
CallT = TypeVar("CallT", bound=Call)


async def read(request: Request, kind: type[GivenT], example: str) -> tuple[Served, GivenT]:
    """The server and the request's body. Raises HttpProblem that names the wrong field; `example` is a right body."""
    return served_of(request), checked(kind, await read_json(request), example)


def checked(kind: type[GivenT], fields: dict[str, Any], example: str) -> GivenT:
    """Raises HttpProblem that names the field."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _wrong(error, example) from None


def made(kind: type[CallT], example: str, **fields: Any) -> CallT:
    """A family's call of what was read. Raises HttpProblem."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _wrong(error, example) from None


def _wrong(error: ValidationError, example: str) -> HttpProblem:
    """The first thing that is wrong. Of a field that may be one kind or another, the first kind that it is not."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Of a union pydantic names the kind too, which is no part of the field's name.
    kinds = ("str", "int", "list[", "dict[", "function-")
    param = ".".join(str(part) for part in first["loc"] if part not in kinds and not str(part).startswith(kinds[2:]))
    message = str(first["msg"]).removeprefix("Value error, ")
    return HttpProblem(
        400,
        f"'{param}': {message}" if param else message,
        code="invalid_value",
        param=param or None,
        fix=f"A right one: {example}",
    )


def voice_of(served: Served, model: str | None) -> Voice:
    """The base or the adapter that a request names; without a name the server's default. Raises HttpProblem."""
    try:
        return served.voice(model or "")
    except NotFoundProblem:
        known = ", ".join([served.model.id, *served.voices])
        raise HttpProblem(
            404, f"The model '{(model or '')[:100]}' is not served here", code="model_not_found", param="model",
            fix=f"There are: {known}.",
        ) from None  # fmt: skip


def require(served: Served, kind: type[CallT], what: str) -> type[CallT]:
    """The call of the served family. Raises HttpProblem where it is of another kind; `what` is what the route is for."""
    own = call_kind(served)
    if not issubclass(own, kind):
        raise HttpProblem(
            400, f"This server's model is of the family {served.model.family}, which does not do this: {what}",
            code="unsupported", param="model", fix="GET /info says what it takes.",
        )  # fmt: skip
    return own


def named(served: Served, model: str | None) -> str:
    """The model's name in an answer: as it was asked for."""
    return model or served.model.id


def body_of(kind: type[BaseModel]) -> dict[str, Any]:
    """How a route's body looks, for its documentation."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": kind.model_json_schema()}}}}
