"""Tokens into text one by one: a character may be spread over several tokens, and is shown when it is whole."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import tokenizers

_CONTEXT = 5
_MAX_HELD = 16
"""Tokens without a whole character, at most: no character has more than four bytes, and no byte more than one token."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """The characters that stand for bytes in byte-level vocabularies (GPT-2's `bytes_to_unicode`)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + index): byte for index, byte in enumerate(hidden)}


_ALPHABET = _byte_alphabet()


class Detokenizer(Protocol):
    """The text of a growing list of tokens."""

    def step(self, token: int) -> str:
        """The text that `token` makes certain, which may be none."""
        ...

    def flush(self) -> str:
        """What was held back, a broken character as �. The next token begins anew."""
        ...


class Vocabulary:
    """What the tokens of one tokenizer stand for."""

    def __init__(self, encoder: tokenizers.Tokenizer):
        self._encoder = encoder
        added = encoder.get_added_tokens_decoder()
        self.special = {number: token.content for number, token in added.items() if token.special}
        self._added = {number: token.content.encode() for number, token in added.items()}
        self._is_byte_level = (
            encoder.decoder is not None and b'"type":"ByteLevel"' in encoder.decoder.__getstate__()[:40]
        )

    def stream(self, context: Sequence[int] = ()) -> Detokenizer:
        """For a text behind the tokens of `context`, which decide in some vocabularies whether it begins with a blank."""
        return _Bytes(self) if self._is_byte_level else _Window(self._encoder, context)

    def bytes_of(self, token: int) -> bytes:
        """What one token stands for. Not always whole characters."""
        if token in self._added:
            return self._added[token]
        piece = self._encoder.id_to_token(token) or ""
        if self._is_byte_level:
            return bytes(_ALPHABET.get(character, ord("?")) for character in piece)
        if found := _BYTE.fullmatch(piece):
            return bytes([int(found[1], 16)])
        return piece.replace("▁", " ").encode()


@lru_cache(maxsize=64)
def vocabulary_of(encoder: tokenizers.Tokenizer) -> Vocabulary:
    """The one for this tokenizer: to make it takes milliseconds for each thousand of added tokens."""
    return Vocabulary(encoder)


class _Bytes:
    """For byte-level vocabularies, which nearly all models have: exact, and as quick for the last token as for the first."""

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def step(self, token: int) -> str:
        return self._decoder.decode(self._vocabulary.bytes_of(token))

    def flush(self) -> str:
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


class _Window:
    """For any other vocabulary: the last few tokens are decoded with and without the newest one, and compared."""

    def __init__(self, encoder: tokenizers.Tokenizer, context: Sequence[int]):
        self._encoder = encoder
        self._before, self._held = list(context[-_CONTEXT:]), list[int]()

    def step(self, token: int) -> str:
        self._held.append(token)
        text = self._new()
        if text.endswith("�") and len(self._held) < _MAX_HELD:
            return ""
        if text or len(self._held) >= _MAX_HELD:
            self._before, self._held = self._held, []
        return text

    def flush(self) -> str:
        text = self._new()
        self._before, self._held = [*self._before, *self._held][-_CONTEXT:], []
        return text

    def _new(self) -> str:
        before = self._encoder.decode(self._before, skip_special_tokens=False)
        return self._encoder.decode([*self._before, *self._held], skip_special_tokens=False)[len(before) :]
