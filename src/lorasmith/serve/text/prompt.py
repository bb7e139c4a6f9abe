"""A request as the token ids after which the model is to write.

What users say cannot end their turn: special tokens inside a text are encoded as the characters they are written with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lorasmith.core.errors import UsageProblem
from lorasmith.core.templates import START, STOP
from lorasmith.data.examples import Message
from lorasmith.data.tokenizer import Tokenizer
from lorasmith.families._calls import TextCall
from lorasmith.serve.text.messages import messages_of, rename_thoughts, shorten_ids, tools_of
from lorasmith.serve.text.thinking import Thinking, template_variables

_CUT = "\ufdd2"
"""A noncharacter inside the text of a special token, where the text is cut in two before it is encoded."""
_MARKS = re.compile(f"[{START}{STOP}{_CUT}\ud800-\udfff]")
"""What no text may hold: our own marks, and halves of characters, which no tokenizer takes."""
_COMMON_OPTIONS = frozenset(
    {"enable_thinking", "thinking", "reasoning", "reasoning_effort", "thinking_budget", "preserve_thinking"}
)
"""Of use for one model or another; where a template does not know them they change nothing."""


class Prompt(NamedTuple):
    """`ids` are what the model reads; `is_thinking` says that they end inside a thought."""

    ids: list[int]
    is_thinking: bool = False


def prompt_of(call: TextCall, tokenizer: Tokenizer, thinking: Thinking | None, *, keeps_end: bool = False) -> Prompt:
    """The prompt of a call. `keeps_end`: a text without a template keeps the end token that the tokenizer puts behind it, which
    encoders of encoder-decoder models are used to.

    Raises UsageProblem for a conversation, tools or options that the model's template cannot take, DataProblem where it fails.
    """
    if call.raw or not tokenizer.template:
        text = _plain_text(call, tokenizer)
        return Prompt(_plain_ids(text, tokenizer, keeps_end=keeps_end), thinking is not None and thinking.is_open(text))
    tools = tools_of(call)
    if tools and not tokenizer.knows_tools:
        raise UsageProblem(
            "The chat template of this model knows no tools", why="The model would not see them.", param="tools",
            fix="Leave tools out, or serve it with a template that writes them: --template hermes",
        )  # fmt: skip
    messages = messages_of(call, reads_parts=tokenizer.reads_parts, needs_parts=tokenizer.needs_parts)
    rename_thoughts(messages, tokenizer.template)
    if "!= 9" in tokenizer.template:
        shorten_ids(messages)
    guard = _Guard(tokenizer, thinking)
    text = tokenizer.render(
        [guard.message(message) for message in messages], prompt=True, tools=guard.value(tools),
        options=guard.value(options_of(call, tokenizer, thinking)),
    )  # fmt: skip
    text = text.replace(START, "").replace(STOP, "")
    if thinking is not None:
        text += _said_beforehand(call, thinking, text)
    return Prompt(_encode(text, tokenizer), thinking is not None and thinking.is_open(text))


def options_of(call: TextCall, tokenizer: Tokenizer, thinking: Thinking | None) -> dict[str, Any]:
    """What the template is told beside the conversation. Raises UsageProblem for what is no switch of this template."""
    known = template_variables(tokenizer.template)
    for name in call.template_options:
        if name not in known | _COMMON_OPTIONS:
            raise UsageProblem(
                f"The chat template of this model has no option '{name[:60]}'", param="template_options",
                fix=f"It has: {', '.join(sorted(known)) or 'none'}.",
            )  # fmt: skip
    options: dict[str, Any] = {}
    if thinking is not None and thinking.switch is not None and call.reasoning_mode != "auto":
        variable, on, off = thinking.switch
        options[variable] = on if call.reasoning_mode == "on" else off
    return {**options, **{name: value for name, value in call.template_options.items() if name in known}}


def _said_beforehand(call: TextCall, thinking: Thinking, prompt: str) -> str:
    """What the prompt is ended with where the template has no switch: the beginning of a thought, or the end of one."""
    is_open = thinking.is_open(prompt)
    if call.reasoning_mode == "off" and (is_open or thinking.switch is None):
        return thinking.closed(is_open=is_open)
    if call.reasoning_mode == "on" and not is_open and thinking.switch is None and not thinking.is_harmony:
        return thinking.start_text + (thinking.label or "\n")
    return ""


def _plain_text(call: TextCall, tokenizer: Tokenizer) -> str:
    """The prompt itself. Raises UsageProblem for a conversation, which needs a template."""
    if call.prompt and not call.system:
        return call.prompt
    contents = [message.get("content") for message in call.messages]
    is_text = len(contents) == 1 and isinstance(contents[0], str) and call.messages[0].get("role") == "user"
    if is_text and not call.system and not call.raw:
        return str(contents[0])
    if call.raw:
        fix = '{"prompt": "Once upon a time", "raw": true}'
        raise UsageProblem("A raw text has no messages and no system", fix=fix, param="raw")
    raise UsageProblem(
        f"The tokenizer of '{tokenizer.folder.name}' has no chat template",
        why="It belongs to a base model, which knows no turns: it can continue a prompt or a single message of the user.",
        fix="Send a prompt, serve the instruct version of the model, or choose a template: --template chatml",
        param="messages",
    )


def _plain_ids(text: str, tokenizer: Tokenizer, *, keeps_end: bool) -> list[int]:
    """Special tokens in such a text are meant: whoever writes it without a template writes them himself."""
    text = _MARKS.sub("", text)
    has_bos = bool(tokenizer.bos) and text.startswith(tokenizer.bos)
    encoding = tokenizer.encoder.encode(text, add_special_tokens=not has_bos)
    has_end = bool(encoding.ids) and encoding.ids[-1] == tokenizer.eos_id and encoding.special_tokens_mask[-1] == 1
    return encoding.ids[:-1] if has_end and not keeps_end else encoding.ids


def _encode(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a rendered conversation. A cut has a part of a special token on either side, neither of which is special."""
    return [
        number for part in text.split(_CUT) for number in tokenizer.encoder.encode(part, add_special_tokens=False).ids
    ]


class _Guard:
    """Cuts the texts of special tokens inside what a client sent. Marks of thoughts stay in the assistant's own turns: templates
    look for them there."""

    def __init__(self, tokenizer: Tokenizer, thinking: Thinking | None):
        self._pattern = tokenizer.special_pattern
        self._own = {thinking.start_text, thinking.end_text} if thinking is not None else set[str]()

    def message(self, message: Message) -> Message:
        kept = self._own if message["role"] == "assistant" else frozenset[str]()
        return self.value(message, kept)

    def value(self, value: Any, kept: set[str] | frozenset[str] = frozenset()) -> Any:
        """`value` with every text in it guarded."""
        if isinstance(value, str):
            return self._text(value, kept)
        if isinstance(value, Mapping):
            return {self._text(str(key), kept): self.value(inner, kept) for key, inner in value.items()}
        return [self.value(inner, kept) for inner in value] if isinstance(value, (list, tuple)) else value

    def _text(self, text: str, kept: set[str] | frozenset[str]) -> str:
        text = _MARKS.sub("", text)
        pieces: list[str] = []
        done = 0
        while found := self._pattern.search(text, done):
            # One character further, for the next one may begin inside this one.
            end = found.start() + 1
            pieces.append(text[done:end])
            if len(found.group()) > 1 and found.group() not in kept:
                pieces.append(_CUT)
            done = end
        return "".join([*pieces, text[done:]])
