"""Answers bound to a JSON schema, by llguidance: before each token, what may not come is ruled out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.errors import EnvironmentProblem, UsageProblem

_MAX_SCHEMA_CHARS = 200_000
# Between the parts of an answer in JSON: nothing, a blank, or a new line and what indents it. Without a bound, a model
# that does not know how to go on may write blanks until its tokens are spent.
_BLANKS = {"whitespace_pattern": r"( |\n[ \t]{0,32})?"}


class Grammars:
    """Makes matchers for one tokenizer, which is read when first needed. `vocabulary` is the number of the model's scores."""

    def __init__(self, tokenizer_file: Path, vocabulary: int, stop_ids: list[int]):
        self._file, self._vocabulary, self._stop_ids = tokenizer_file, vocabulary, stop_ids
        self._tokenizer: Any = None

    def matcher(self, schema: dict[str, Any] | None) -> Matcher | None:
        """None where nothing binds the answer. Raises UsageProblem for a schema that cannot be kept, EnvironmentProblem."""
        if schema is None:
            return None
        if importlib.util.find_spec("llguidance") is None:
            raise EnvironmentProblem(
                "Answers of a given form need the package llguidance", fix="pip install llguidance"
            )
        from llguidance import LLMatcher, LLTokenizer

        if self._tokenizer is None:
            text = self._file.read_text(encoding="utf-8")
            self._tokenizer = LLTokenizer(text, n_vocab=self._vocabulary, eos_token=self._stop_ids or None)
        text = json.dumps(schema)
        if len(text) > _MAX_SCHEMA_CHARS:
            raise UsageProblem(f"The JSON schema has {len(text):,} characters", fix=f"At most {_MAX_SCHEMA_CHARS:,}.")
        grammar = LLMatcher.grammar_from_json_schema(text, defaults=_BLANKS)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise UsageProblem(
                "The answer cannot be bound to this schema", why=matcher.get_error().split("\n")[0][:500]
            )
        return Matcher(matcher, self._vocabulary)


class Matcher:
    """The state of one bound answer."""

    def __init__(self, matcher: Any, vocabulary: int):
        self._matcher = matcher
        self._mask = torch.zeros((vocabulary + 31) // 32, dtype=torch.int32)

    def restrict(self, scores: torch.Tensor) -> None:
        """Rule out, in `scores`, what may not come next."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.data_ptr(), self._mask.numel() * 4)
        bits = (self._mask[:, None] >> torch.arange(32, dtype=torch.int32)) & 1
        scores.masked_fill_(bits.flatten()[: len(scores)] == 0, -torch.inf)

    def note(self, token: int) -> None:
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise UsageProblem("The answer left its schema", why=self._matcher.get_error().split("\n")[0][:500])

    @property
    def is_complete(self) -> bool:
        return bool(self._matcher.is_stopped())
