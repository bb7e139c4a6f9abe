"""Anthropic's Claude as a judge, through the Messages API (https://docs.anthropic.com/en/api/messages); a tool gives the marks
their form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.evaluation.judges import _http
from lorasmith.evaluation.judges._base import Judge, JudgeKind, JudgeSpec, JudgeTrouble, Message, Reply

if TYPE_CHECKING:
    import httpx2

_TOOL = "give_marks"


class AnthropicOptions(BaseModel):
    """What may be said to the Messages API beside address, model and key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer_tokens: int = Field(default=1024, ge=64, le=65_536, description="Tokens of an answer")
    version: str = Field(default="2023-06-01", description="The header anthropic-version")


class AnthropicJudge(Judge):
    """Asks POST /v1/messages with one tool that has to be called. The temperature is left as it is: some models refuse any."""

    kind = "anthropic"

    def __init__(self, spec: JudgeSpec, options: AnthropicOptions):
        super().__init__(spec)
        self._options = options
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = _http.client(self.spec.base_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def ask(self, messages: Sequence[Message], schema: dict[str, Any]) -> Reply:
        if self._client is None:
            raise RuntimeError("use it as a context")
        key = self.spec.key.get_secret_value()
        headers = {"anthropic-version": self._options.version} | ({"x-api-key": key} if key else {})
        body = {
            "model": self.model,
            "max_tokens": self._options.answer_tokens,
            "system": "\n".join(message["content"] for message in messages if message["role"] == "system"),
            "messages": [message for message in messages if message["role"] != "system"],
            "tools": [{"name": _TOOL, "description": "Hands in the marks.", "input_schema": schema}],
            "tool_choice": {"type": "tool", "name": _TOOL},
        }
        url = f"{self.spec.base_url}/v1/messages"
        return _reply(await _http.post(self._client, url, headers=headers, secrets=(key,), json=body))


def _reply(answer: dict[str, Any]) -> Reply:
    """What the tool was given, else what was said. Raises JudgeTrouble where there is neither."""
    content = answer.get("content")
    if not isinstance(content, list):
        raise JudgeTrouble("The judge's server answered without a message", is_passing=True)
    blocks = [block for block in content if isinstance(block, dict)]
    given = [json.dumps(block.get("input")) for block in blocks if block.get("type") == "tool_use"]
    said = "".join(str(block.get("text")) for block in blocks if block.get("type") == "text")
    usage = answer.get("usage")
    return Reply(given[0] if given else said, _http.count(usage, "input_tokens"), _http.count(usage, "output_tokens"))


class AnthropicKind(JudgeKind):
    name = "anthropic"
    title = "Anthropic Claude"
    base_url = "https://api.anthropic.com"
    model = "claude-sonnet-4-5"
    key_variable = "ANTHROPIC_API_KEY"
    options = AnthropicOptions

    def make(self, spec: JudgeSpec) -> Judge:
        return AnthropicJudge(spec, cast(AnthropicOptions, spec.options))


plugin = AnthropicKind()
