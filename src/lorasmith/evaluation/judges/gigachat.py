"""Sber's GigaChat as a judge: OpenAI's protocol behind a token that lives for half an hour
(https://developers.sber.ru/docs/ru/gigachat/api/reference/rest/post-token)."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Literal, Self, cast

from pydantic import Field

from lorasmith.evaluation.judges import _http
from lorasmith.evaluation.judges._base import Judge, JudgeSpec, JudgeTrouble
from lorasmith.evaluation.judges.openai import OpenAIJudge, OpenAIKind, OpenAIOptions

_TOKEN_SECONDS = 25 * 60.0
"""A token is good for 30 minutes by GigaChat's clock, which need not be ours."""


class GigaChatOptions(OpenAIOptions):
    """What GigaChat knows beside OpenAI's: who the key belongs to, and where tokens are given out."""

    scope: Literal["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"] = Field(
        default="GIGACHAT_API_PERS", description="Kind of access that the key was made for"
    )
    auth_url: str = Field(
        default="https://ngw.devices.sberbank.ru:9443/api/v2/oauth", description="Where tokens are given out"
    )


class GigaChatJudge(OpenAIJudge):
    """The key (authorization data) is exchanged for a token, which is renewed before it ends."""

    kind = "gigachat"

    def __init__(self, spec: JudgeSpec, options: GigaChatOptions):
        super().__init__(spec, options)
        self._scope, self._auth_url = options.scope, options.auth_url
        self._token, self._until = "", 0.0

    async def __aenter__(self) -> Self:
        self._one_at_a_time = asyncio.Lock()
        return await super().__aenter__()

    async def authorization(self) -> tuple[dict[str, str], tuple[str, ...]]:
        async with self._one_at_a_time:
            if time.monotonic() >= self._until:
                await self._renew()
        return {"Authorization": f"Bearer {self._token}"}, (self._token, self.spec.key.get_secret_value())

    async def _renew(self) -> None:
        if self._client is None:
            raise RuntimeError("use it as a context")
        key = self.spec.key.get_secret_value()
        headers = {"Authorization": f"Basic {key}", "RqUID": str(uuid.uuid4()), "Accept": "application/json"}
        try:
            answer = await _http.post(
                self._client, self._auth_url, headers=headers, secrets=(key,), data={"scope": self._scope}
            )
        except _http.Refused as refused:  # wrong authorization data: no question will fare better
            raise JudgeTrouble(str(refused), is_final=True) from None
        token = answer.get("access_token")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise JudgeTrouble("GigaChat gave out no token", is_final=True)
        self._token, self._until = token, time.monotonic() + _TOKEN_SECONDS


class GigaChatKind(OpenAIKind):
    name = "gigachat"
    title = "Sber GigaChat"
    base_url = "https://gigachat.devices.sberbank.ru/api/v1"
    model = "GigaChat-2-Max"
    key_variable = "GIGACHAT_CREDENTIALS"
    options = GigaChatOptions

    def make(self, spec: JudgeSpec) -> Judge:
        return GigaChatJudge(spec, cast(GigaChatOptions, spec.options))


plugin = GigaChatKind()
