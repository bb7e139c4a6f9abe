"""A model to talk to from Python and the terminal: one of our own engines, or a server that runs already. The same answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

from lorasmith.core.errors import EnvironmentProblem, LorasmithError, UsageProblem
from lorasmith.core.specs import make_spec
from lorasmith.data.examples import Message
from lorasmith.families._calls import TextCall
from lorasmith.serve.answers import Timing, text_events
from lorasmith.serve.loaded import Loaded
from lorasmith.serve.text.stream import Final

_SECONDS = 86_400
_STOP_SECONDS = 10.0
OnText = Callable[[str], None]
T = TypeVar("T")


class Conversation(Loaded):
    """A loaded model that answers one conversation after another. Use as a context.

    Raises NotFoundProblem, UsageProblem, EnvironmentProblem: at once where the model cannot be had, else when it is first asked.
    """

    def __init__(self, model: str, adapter: str = "", *, template: str = "", device: str = "auto"):
        super().__init__(model, adapter, kind=TextCall, what="writes no text", template=template, device=device)

    def answer(self, messages: list[Message], *, on_text: OnText = lambda _: None, **options: Any) -> dict[str, Any]:
        """The answer to the last message, its text passed to `on_text` piece by piece.

        `options` are TextCall's fields, or `max_new_tokens`: tokens of the answer, at most.
        """
        return self.run(self._answer(_call(messages, options), on_text))

    async def _answer(self, call: TextCall, on_text: OnText) -> dict[str, Any]:
        served, timing = await self.ready(), Timing()
        async with (
            served.admitted() as engine,
            aclosing(text_events(served, engine, call, [], timing)) as events,
        ):
            async for event in events:
                if isinstance(event, Final):
                    return _facts(event.text, event.thinking, event.finish_reason, event.usage)
                if event.kind == "answer":
                    on_text(event.text)
        raise LorasmithError("The answer had no end")


class RemoteConversation:
    """The same with a server of lorasmith's at `url`. The key is taken from LORASMITH_API_KEY."""

    def __init__(self, url: str, adapter: str = ""):
        self._url, self._adapter = url.rstrip("/"), adapter

    def __enter__(self) -> RemoteConversation:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def answer(self, messages: list[Message], *, on_text: OnText = lambda _: None, **options: Any) -> dict[str, Any]:
        """As Conversation's. Raises EnvironmentProblem where the server cannot be reached, and what it refuses."""
        import httpx2

        call = _call(messages, options).model_copy(update={"adapter": self._adapter})
        key = os.environ.get("LORASMITH_API_KEY", "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = call.model_dump(mode="json", exclude_defaults=True)
        text, thinking = "", ""
        try:
            with httpx2.stream(
                "POST", f"{self._url}/generate/stream", json=body, headers=headers, timeout=None
            ) as response:
                if response.status_code != 200:
                    raise _refusal(json.loads(response.read()))
                for line in response.iter_lines():
                    if not line.startswith("data: "):
                        continue
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        raise _refusal(event)
                    if event["finished"]:
                        return _facts(text, thinking, event["finish_reason"], event["usage"])
                    if event.get("type") == "thinking":
                        thinking += event["token"]
                    else:
                        text += event["token"]
                        on_text(event["token"])
        except (httpx2.HTTPError, ValueError) as error:
            raise EnvironmentProblem(
                f"'{self._url}' does not answer as a server of lorasmith's", why=f"{type(error).__name__}: {error}",
                fix="Start one:  lorasmith serve MODEL",
            ) from None  # fmt: skip
        raise EnvironmentProblem(f"'{self._url}' broke off in the middle of its answer")


def _call(messages: list[Message], options: dict[str, Any]) -> TextCall:
    fields = dict(options)
    if "max_new_tokens" in fields:
        fields["max_answer_tokens"] = fields.pop("max_new_tokens")
    return make_spec(TextCall, messages=messages, **fields)


def _refusal(body: dict[str, Any]) -> LorasmithError:
    error = body["error"]
    return UsageProblem(error["message"], fix=error.get("hint") or "")


def _facts(text: str, thinking: str, reason: str, usage: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"text": text, "finish_reason": reason, **usage}
    return {**found, "thinking": thinking} if thinking else found
