"""Judges behind any endpoint that speaks OpenAI's protocol: OpenAI itself, vLLM, Ollama, OpenRouter, lorasmith's own server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.evaluation.judges import _http
from lorasmith.evaluation.judges._base import Judge, JudgeKind, JudgeSpec, JudgeTrouble, Message, Reply

if TYPE_CHECKING:
    import httpx2


class OpenAIOptions(BaseModel):
    """What may be said to an OpenAI-compatible endpoint beside address, model and key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer_tokens: int | None = Field(
        default=2048, ge=64, le=65_536, description="Tokens of an answer, at most, thoughts included"
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust beside the system's")
    extra: dict[str, Any] = Field(default_factory=dict, description="Other fields of a request: reasoning_effort …")


class OpenAIJudge(Judge):
    """Asks POST /chat/completions.

    An endpoint that refuses one of the optional fields is asked without it from then on; the question says in words what the
    answer must look like, and it is read as strictly.
    """

    kind = "openai"

    def __init__(self, spec: JudgeSpec, options: OpenAIOptions):
        super().__init__(spec)
        self.options = options
        self._base_url, self._model = spec.base_url, spec.model
        self._client: httpx2.AsyncClient | None = None
        self._without: frozenset[str] = frozenset()
        self._proven: set[frozenset[str]] = set()  # what was left out of a request that was answered

    @property
    def identity(self) -> tuple[str, ...]:
        extra = self.options.extra
        return (*super().identity, *([json.dumps(extra, sort_keys=True, default=str)] if extra else []))

    async def __aenter__(self) -> Self:
        self._client = _http.client(self._base_url, ca_file=self.options.ca_file)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def authorization(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The headers that prove who we are, and the secrets in them. Raises JudgeTrouble."""
        key = self.spec.key.get_secret_value()
        return ({"Authorization": f"Bearer {key}"} if key else {}), (key,)

    async def ask(self, messages: Sequence[Message], schema: dict[str, Any]) -> Reply:
        """One request. Where it was refused as it is, the next try will be a plainer one. Raises JudgeTrouble."""
        without = self._without
        optional = {name: value for name, value in self._optional(schema).items() if name not in without}
        try:
            answer = await self._post({"model": self._model, "messages": list(messages), **optional})
        except _http.Refused as refused:
            if without in self._proven or "context_length" in refused.body:
                raise
            raise self._plainer(refused, without, list(optional)) from None
        self._proven.add(without)
        return _reply(answer)

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._client is None:
            raise RuntimeError("use it as a context")
        headers, secrets = await self.authorization()
        url = f"{self._base_url}/chat/completions"
        return await _http.post(self._client, url, headers=headers, secrets=secrets, json=body)

    def _optional(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Fields that an endpoint may not know; the first is the likeliest one to be refused."""
        form = {"type": "json_schema", "json_schema": {"name": "judgement", "schema": schema, "strict": True}}
        fields: dict[str, Any] = {"response_format": form, "temperature": 0}
        if self.options.answer_tokens is not None:
            # OpenAI's newer models know the longest answer by another name.
            fields["max_completion_tokens" if "max_tokens" in self._without else "max_tokens"] = (
                self.options.answer_tokens
            )
        return fields | self.options.extra

    def _plainer(self, refused: _http.Refused, without: frozenset[str], sent: list[str]) -> JudgeTrouble:
        """What to raise after a refusal: leave out what it names, else the first; where nothing is left, it is the question."""
        if without == self._without:
            named = [name for name in sent if name in refused.body] or sent[:1]
            if "max_tokens" in named and "max_completion_tokens" not in refused.body:
                named.append("max_completion_tokens")
            self._without = without | set(named) if named else frozenset()
            if not named:
                return refused
        return JudgeTrouble(str(refused), is_passing=True, retry_after=0)


def _reply(answer: dict[str, Any]) -> Reply:
    """Raises JudgeTrouble where the answer has no message."""
    message: Any = None
    with contextlib.suppress(LookupError, TypeError):
        message = answer["choices"][0]["message"]
    if not isinstance(message, dict):
        raise JudgeTrouble("The judge's server answered without a message", is_passing=True)
    text, usage = message.get("content"), answer.get("usage")
    return Reply(
        text if isinstance(text, str) else "",
        _http.count(usage, "prompt_tokens"),
        _http.count(usage, "completion_tokens"),
    )


class OpenAIKind(JudgeKind):
    name = "openai"
    title = "OpenAI, and any endpoint that speaks its protocol (base_url, model, key_env)"
    base_url = "https://api.openai.com/v1"
    model = "gpt-4.1-mini"
    key_variable = "OPENAI_API_KEY"
    options = OpenAIOptions

    def make(self, spec: JudgeSpec) -> Judge:
        return OpenAIJudge(spec, cast(OpenAIOptions, spec.options))


plugin = OpenAIKind()
