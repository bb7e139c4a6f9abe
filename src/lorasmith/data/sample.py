"""A row token by token, as the model sees it: what it learns, what is special, what is cut away. For people to look at."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lorasmith.data.examples import Example, Message
from lorasmith.data.findings import place_of
from lorasmith.data.render import TokenRow, render_rows, truncate
from lorasmith.data.tokenizer import Tokenizer

MOST_TOKENS = 2000
MOST_CHARS = 8000
_WAITING = 8  # a character has at most four bytes; what is still undecodable after so many tokens stays so
# Marks that turn the direction of what follows, and other separators that a terminal or a page would obey.
_OBEYED = frozenset(
    "\u2028\u2029\u200e\u200f\u061c" + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
)


@dataclass(frozen=True)
class Piece:
    """A token, or the tokens that make one character together."""

    text: str
    ids: tuple[int, ...]
    learnt: bool = False
    special: bool = False
    cut: bool = False
    """Whether it falls away at the length where rows are cut."""


@dataclass(frozen=True)
class SampleRow:
    """A row to be looked at. Without a tokenizer it has no pieces."""

    place: str
    messages: list[Message] = field(default_factory=list[Message])
    text: str = ""
    pieces: list[Piece] = field(default_factory=list[Piece])
    num_tokens: int = 0
    num_learnt: int = 0
    num_cut: int = 0
    num_hidden: int = 0
    """Tokens in the middle that are left out here, because there are too many to look at."""
    hidden_after: int = 0
    """The number of pieces before those that are left out."""
    rejected: SampleRow | None = None
    """For preferences: the same with the answer that was turned down."""
    about: str = ""
    """What goes with the text: pictures, tools, a class …"""


def sample_row(example: Example, tokenizer: Tokenizer | None, *, max_length: int = 0) -> SampleRow:
    """The row as the model sees it. `max_length` (tokens) is where rows are cut. Raises DataProblem if it cannot be rendered."""
    row = SampleRow(
        place_of(example), [shortened(message) for message in example.messages], example.text[:MOST_CHARS],
        about=_about(example),
    )  # fmt: skip
    if tokenizer:
        row = _with_pieces(row, render_rows([example], tokenizer)[0], tokenizer, max_length)
    if example.rejected:
        turned_down = replace(
            example, messages=example.messages[: example.prompt_turns] + example.rejected, rejected=[], tools=[]
        )
        row = replace(row, rejected=sample_row(turned_down, tokenizer, max_length=max_length))
    return row


def shortened(message: Message) -> Message:
    return {**message, "content": message["content"][:MOST_CHARS]}


def _about(example: Example) -> str:
    parts = [
        *(f"picture {name}" for name in example.images), *(f"recording {name}" for name in example.audio),
        f"{len(example.words)} words with their places" if example.words else "",
        f"mask {example.masks[0]}" if example.masks else "",
        f"boxes around {', '.join(map(str, example.tags))}"[:500] if example.areas else "",
        f"class {example.label}" if example.label is not None else "",
        f"to be read: {example.target}"[:500] if example.target is not None else "",
        f"{len(example.tools)} tools" if example.tools else "",
        "" if example.is_good is None else "judged good" if example.is_good else "judged bad",
    ]  # fmt: skip
    return " · ".join(part for part in parts if part)


def _with_pieces(row: SampleRow, tokens: TokenRow, tokenizer: Tokenizer, max_length: int) -> SampleRow:
    size = len(tokens.ids)
    left: set[int] | None = None
    if 0 < max_length < size:  # cutting the numbers of the tokens in place of their ids tells which are left
        left = set(truncate(TokenRow(list(range(size)), tokens.spans, 0), max_length).ids)
    learnt = {number for start, stop in tokens.spans for number in range(start, stop)}
    half = MOST_TOKENS // 2
    parts = [(0, size)] if size <= MOST_TOKENS else [(0, half), (size - half, size)]
    pieces: list[Piece] = []
    ends: list[int] = []
    for start, stop in parts:
        number = start
        for ids, text in _decoded(tokens.ids[start:stop], tokenizer):
            is_cut = left is not None and number not in left
            pieces.append(Piece(text, ids, number in learnt, ids[0] in tokenizer.special_ids, is_cut))
            number += len(ids)
        ends.append(len(pieces))
    return replace(
        row, pieces=pieces, num_tokens=size, num_learnt=tokens.num_supervised,
        num_cut=size - len(left) if left is not None else 0, num_hidden=max(0, size - MOST_TOKENS), hidden_after=ends[0],
    )  # fmt: skip


def _decoded(ids: list[int], tokenizer: Tokenizer) -> Iterator[tuple[tuple[int, ...], str]]:
    """Token by token with its text, blanks as they stand; tokens that are parts of one character come together.

    A token is decoded behind the one before it, because decoders drop a blank at the start of a text.
    """
    decode = tokenizer.encoder.decode
    previous: list[int] = []
    waiting: list[int] = []
    for number in ids:
        waiting.append(number)
        before = decode(previous, skip_special_tokens=False) if previous else ""
        behind = decode(previous + waiting, skip_special_tokens=False)
        text = behind[len(before) :] if behind.startswith(before) else decode(waiting, skip_special_tokens=False)
        if text.endswith("\ufffd") and len(waiting) < _WAITING:
            continue
        yield tuple(waiting), text
        previous, waiting = waiting, []
    if waiting:
        yield tuple(waiting), decode(waiting, skip_special_tokens=False)


def visible(text: str) -> str:
    """`text` with a sign in place of every character that would steer a terminal or a page; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" or char.isprintable() else _sign(char) for char in text)


def _sign(char: str) -> str:
    if ord(char) < 0x20:
        return chr(0x2400 + ord(char))  # Unicode has pictures of these
    if char == "\x7f":
        return "\u2421"
    # Formats such as joiners of emoji are fine, and so are wide blanks.
    return "\ufffd" if char in _OBEYED or unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"} else char
