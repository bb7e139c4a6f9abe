"""What an engine writes, token by token, as people read it: thoughts and answer apart, calls of tools, where to stop (SRV-2)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lorasmith.data.tokenizer import Tokenizer
from lorasmith.families._calls import TextCall
from lorasmith.serve.text import toolcalls
from lorasmith.serve.text.channels import Bit, Channels, MarkedChannels, PlainChannel, Words
from lorasmith.serve.text.detokenize import vocabulary_of
from lorasmith.serve.text.harmony import HarmonyChannels
from lorasmith.serve.text.prompt import Prompt
from lorasmith.serve.text.stops import Stops
from lorasmith.serve.text.thinking import Thinking
from lorasmith.serve.text.tools import ToolScanner, forced_call

Kind = Literal["thinking", "answer", "tool_calls"]


@dataclass(slots=True)
class Piece:
    """A piece of an answer. `tool_calls` are as OpenAI streams them (index, id, type, function), each in one piece; `logprobs`
    belong to the tokens that this piece made certain."""

    kind: Kind
    text: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(frozen=True, slots=True)
class Final:
    """The whole answer. `usage` counts tokens: prompt_tokens, thinking_tokens, answer_tokens, total_tokens."""

    text: str
    thinking: str
    tool_calls: list[dict[str, Any]]
    finish_reason: str
    """stop, length, tool_calls or cancelled."""
    usage: dict[str, int]
    logprobs: list[dict[str, Any]] | None


class TextStream:
    """One answer. Feed it with tokens as they come; when `is_stopped`, the engine need not go on.

    The pieces' texts, put together, are the final text, however the tokens were grouped.
    """

    def __init__(self, tokenizer: Tokenizer, call: TextCall, thinking: Thinking | None, prompt: Prompt):
        # A raw text is continued as it is: marks in it are the caller's own matter.
        self._call, self._thinking, self._prompt = call, None if call.raw else thinking, prompt
        self._vocabulary = vocabulary_of(tokenizer.encoder)
        self._tools = ToolScanner(call.tools) if call.tools and call.tool_choice != "none" else None
        self._channels = self._channels_of(is_plain=call.raw or not tokenizer.template)
        self._stops = Stops(call.stop)
        self._counts = {"thinking": 0, "answer": 0}
        self._undecided = 0
        self._texts: dict[str, list[str]] = {"thinking": [], "answer": []}
        self._calls: list[dict[str, Any]] = []
        self._told: list[dict[str, Any]] = []
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        """Log probabilities of tokens whose text is not sure yet, with the place where it begins."""
        self._num_chars = 0
        """Of the answer as it was written, before stops and calls are taken out."""
        self._is_full = self._is_flushed = False

    def _channels_of(self, *, is_plain: bool) -> Channels:
        has_tools = self._tools is not None
        words = Words(
            self._vocabulary, self._prompt.ids[-8:] if is_plain else (), toolcalls.TOKENS if has_tools else frozenset()
        )
        if self._thinking is None:
            return PlainChannel(words)
        if self._thinking.is_harmony:
            return HarmonyChannels(words, self._prompt.ids, has_tools=has_tools)
        return MarkedChannels(words, self._thinking, is_open=self._prompt.is_thinking)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing that comes can change the answer any more."""
        return self._stops.is_stopped or self._is_full

    @property
    def stop_found(self) -> str:
        """The text of the call's `stop` that ended the answer; empty where another reason did."""
        return self._stops.found

    @property
    def thinking_budget(self) -> dict[str, Any] | None:
        """What a worker needs in order to tell thoughts from answer and to end the former; `max` is in tokens."""
        if self._thinking is None:
            return None
        return {
            "start_ids": self._thinking.start_ids, "end_ids": self._thinking.end_ids, "is_open": self._prompt.is_thinking,
            "max": self._call.max_thinking_tokens,
        }  # fmt: skip

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """What the answer is bound to: the call of a tool where it must be one, otherwise what the caller asked for."""
        asked = self._call.json_schema
        if isinstance(asked, bool):
            asked = {"type": "object"} if asked else None
        return forced_call(self._call) or asked

    def feed(self, ids: Sequence[int], logprobs: Sequence[dict[str, Any] | None] | None = None) -> list[Piece]:
        """The pieces that these tokens make certain. `logprobs` is one `{"id", "logprob", "top": [(id, logprob)]}` for each."""
        pieces: list[Piece] = []
        for index, token in enumerate(ids):
            if self.is_stopped:
                break
            told = logprobs[index] if logprobs and index < len(logprobs) else None
            self._feed_one(token, told, pieces)
        return pieces

    def _feed_one(self, token: int, told: dict[str, Any] | None, pieces: list[Piece]) -> None:
        was_thinking, begins = self._channels.is_thinking, self._num_chars
        bits = self._channels.feed(token)
        kind = self._count(was_thinking, bits)
        if told is not None and kind == "answer":
            self._waiting.append((begins, self._entry(told)))
        self._take(bits, pieces)
        if told is not None and kind == "thinking" and self._call.show_thinking:
            self._piece("thinking", pieces).logprobs.append(self._entry(told))
        limit = self._call.max_answer_tokens
        self._is_full = limit is not None and self._counts["answer"] >= limit and not self._stops.is_stopped

    def _count(self, was_thinking: bool | None, bits: Sequence[Bit]) -> Kind | None:
        """Count a token as a part of a thought or of the answer; those that may be either wait until it is clear."""
        now = self._channels.is_thinking
        if now is None and not bits:
            self._undecided += 1
            return None
        kind: Kind = "thinking" if was_thinking or now else "answer"
        self._counts[kind] += 1 + self._undecided
        self._undecided = 0
        return kind

    def _take(self, bits: Sequence[Bit], pieces: list[Piece], *, is_end: bool = False) -> None:
        for bit in bits:
            if bit.kind == "answer":
                self._num_chars += len(bit.text)
                text = self._stops.feed(bit.text)
                self._add(self._tools.feed(text) if self._tools else [Bit("answer", text)], pieces)
            else:
                self._add([bit], pieces)
        if is_end or self._stops.is_stopped:
            self._add(
                [Bit("answer", self._stops.flush())] if not self._tools else self._rest_of_tools(self._tools), pieces
            )

    def _rest_of_tools(self, tools: ToolScanner) -> list[Bit]:
        return [*tools.feed(self._stops.flush()), *tools.flush()]

    def _add(self, bits: Sequence[Bit], pieces: list[Piece]) -> None:
        for bit in bits:
            if bit.kind == "call":
                function = {"name": bit.name, "arguments": bit.text}
                entry = {
                    "index": len(self._calls),
                    "id": f"call_{secrets.token_hex(12)}",
                    "type": "function",
                    "function": function,
                }
                self._calls.append(entry)
                self._release(self._piece("tool_calls", pieces)).tool_calls.append(entry)
            elif bit.text and (bit.kind == "answer" or self._call.show_thinking):
                piece = self._piece(bit.kind, pieces)
                piece.text += bit.text
                self._texts[bit.kind].append(bit.text)
                if bit.kind == "answer":
                    self._release(piece)

    def _piece(self, kind: Kind, pieces: list[Piece]) -> Piece:
        """The piece that is being written: the last one, if it is of this kind."""
        if not pieces or pieces[-1].kind != kind:
            pieces.append(Piece(kind))
        return pieces[-1]

    def _release(self, piece: Piece, *, everything: bool = False) -> Piece:
        """Hand over the log probabilities of the tokens whose text is sure by now."""
        sure = self._stops.num_passed - (self._tools.num_held if self._tools else 0)
        while self._waiting and (everything or self._waiting[0][0] < sure):
            entry = self._waiting.pop(0)[1]
            piece.logprobs.append(entry)
            self._told.append(entry)
        return piece

    def _entry(self, told: dict[str, Any]) -> dict[str, Any]:
        """Log probabilities of one token as OpenAI's clients know them, with its id."""
        return {
            **self._named(told["id"], told["logprob"]),
            "top_logprobs": [self._named(*one) for one in told.get("top", ())],
        }

    def _named(self, token: int, logprob: float) -> dict[str, Any]:
        data = self._vocabulary.bytes_of(token)
        return {"id": token, "token": data.decode(errors="replace"), "bytes": list(data), "logprob": logprob}

    def flush(self) -> list[Piece]:
        """What was held back, when no more tokens come."""
        if self._is_flushed:
            return []
        self._is_flushed = True
        pieces: list[Piece] = []
        self._counts["answer"] += self._undecided
        if not self._stops.is_stopped:
            self._take(self._channels.flush(), pieces, is_end=True)
            if self._waiting:
                self._release(self._piece("answer", pieces), everything=True)
        return pieces

    def end(self, finish_reason: str) -> Final:
        """The whole, when the engine has ended for this reason (stop, length, cancelled), with what was held back."""
        self.flush()
        reason = "stop" if self._stops.is_stopped else "length" if self._is_full else finish_reason
        if self._calls and reason == "stop":
            reason = "tool_calls"
        thinking, answer, prompt = self._counts["thinking"], self._counts["answer"], len(self._prompt.ids)
        return Final(
            text="".join(self._texts["answer"]), thinking="".join(self._texts["thinking"]),
            tool_calls=[{key: value for key, value in call.items() if key != "index"} for call in self._calls],
            finish_reason=reason, logprobs=self._told if self._call.logprobs is not None else None,
            usage={"prompt_tokens": prompt, "thinking_tokens": thinking, "answer_tokens": answer,
                   "total_tokens": prompt + thinking + answer},
        )  # fmt: skip
