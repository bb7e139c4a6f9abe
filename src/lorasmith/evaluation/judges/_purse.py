"""What a run has spent and may still spend: calls, tokens, money. What is under way counts as spent until it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lorasmith.evaluation.judges._base import Limits, Message, Reply

_BYTES_A_TOKEN = 3
_USUAL_ANSWER_TOKENS = 200


class OverLimit(Exception):
    """The next request would go over a limit; the sentence says which."""


@dataclass
class Spending:
    """Tokens read and written, and how many requests were sent."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Share(NamedTuple):
    """What one request is thought to cost. `estimated` is by the length of its texts alone."""

    estimated: int
    input_tokens: int
    output_tokens: int


def tokens_of(text: str) -> int:
    """About how many tokens a text is, where nobody has counted them."""
    return len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN + 1


class Purse:
    """Spent within `limits`. What a request will cost is estimated, from the second answer on by what the first ones cost: tokens
    and money can go over by what those under way cost more than was thought."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._spent = Spending()
        self._under_way = Spending()
        self._answer_tokens = _USUAL_ANSWER_TOKENS  # the longest answer so far
        self._read_for_estimated = 1.0  # the most tokens that a provider counted for each one estimated

    @property
    def spent(self) -> Spending:
        return self._spent

    @property
    def cost(self) -> float:
        return self._price(self._spent.input_tokens, self._spent.output_tokens)

    def _price(self, read: int, written: int) -> float:
        return (read * self._limits.price_in + written * self._limits.price_out) / 1e6

    def take(self, messages: Sequence[Message]) -> Share:
        """Set aside what one request will cost. Raises OverLimit."""
        estimated = sum(tokens_of(message["content"]) for message in messages)
        share = Share(estimated, math.ceil(estimated * self._read_for_estimated), self._answer_tokens)
        read = self._spent.input_tokens + self._under_way.input_tokens + share.input_tokens
        written = self._spent.output_tokens + self._under_way.output_tokens + share.output_tokens
        limits = self._limits
        if limits.calls is not None and self._spent.calls >= limits.calls:
            raise OverLimit(f"{limits.calls} calls")
        if limits.tokens is not None and read + written > limits.tokens:
            raise OverLimit(f"{limits.tokens} tokens")
        if limits.cost is not None and self._price(read, written) > limits.cost:
            raise OverLimit(f"{limits.cost:g} of money")
        self._spent.calls += 1
        self._under_way.input_tokens += share.input_tokens
        self._under_way.output_tokens += share.output_tokens
        return share

    def settle(self, share: Share, reply: Reply | None) -> None:
        """What the request has cost in the end; without a reply, what was set aside: it may well have been charged."""
        self.give_back(share)
        read, written = share.input_tokens, share.output_tokens
        if reply is not None:
            read = reply.input_tokens if reply.input_tokens is not None else read
            written = reply.output_tokens if reply.output_tokens is not None else tokens_of(reply.text)
        self._spent.input_tokens += read
        self._spent.output_tokens += written
        self._answer_tokens = max(self._answer_tokens, written)
        self._read_for_estimated = max(self._read_for_estimated, read / share.estimated)

    def give_back(self, share: Share) -> None:
        """The request was refused: it cost no tokens."""
        self._under_way.input_tokens -= share.input_tokens
        self._under_way.output_tokens -= share.output_tokens
