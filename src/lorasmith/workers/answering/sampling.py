"""From scores to the next token of one conversation: penalties, temperature, top-k, top-p, min-p, a seed, a grammar.

A row's choice depends on its own scores and its own generator alone, whoever shares the batch.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.engines import GenerateRequest
from lorasmith.workers.answering.grammar import Matcher

_PREFIX = 1024  # of the likeliest tokens, looked at before all are sorted


class NotANumber(EnvironmentProblem):
    """The model's scores are no numbers."""

    def __init__(self) -> None:
        super().__init__(
            "The model's scores are not numbers (NaN)",
            why="A weight of the model or of its adapter is damaged, or numbers outgrow their format.",
            fix="Try another adapter, or --dtype float32.",
        )


_COLDEST = 1e-5
"""Below this temperature only the likeliest token has a chance, and scores divided by it would outgrow fp32."""


class Sampler:
    """Chooses the tokens of one request. `defaults` are the model's own sampling parameters, by their names in transformers."""

    def __init__(self, request: GenerateRequest, defaults: dict[str, Any], matcher: Matcher | None = None):
        asked = _first(request.temperature, _own(defaults, "temperature"), 0.0)
        self.temperature = asked if asked >= _COLDEST else 0.0
        self.top_k = int(_first(request.top_k, _own(defaults, "top_k"), 0))
        self.top_p = _first(request.top_p, _own(defaults, "top_p"), 1.0)
        self.min_p = _first(request.min_p, _own(defaults, "min_p"), 0.0)
        self.penalty = _first(request.repetition_penalty, defaults.get("repetition_penalty"), 1.0)
        self.frequency, self.presence = request.frequency_penalty, request.presence_penalty
        self.bias = request.logit_bias
        self.num_logprobs = request.logprobs
        self.matcher = matcher
        self._written: Counter[int] = Counter()
        self._seen = set(request.prompt_ids) if self.penalty != 1 else set[int]()
        self._generator = torch.Generator()
        if request.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(request.seed)

    @property
    def takes_likeliest(self) -> bool:
        """Whether nothing but the scores decides: then a whole batch is decided at once."""
        changes = self.penalty != 1 or self.frequency or self.presence or self.bias
        return not (self.temperature > 0 or changes or self.matcher or self.num_logprobs is not None)

    def choose(self, scores: torch.Tensor, *, is_bound: bool = True) -> tuple[int, dict[str, Any] | None]:
        """The next token and, where asked for, log probabilities; `scores` of shape (vocabulary,) in fp32 may be overwritten.
        A grammar counts where `is_bound`: thoughts are free.

        Raises NotANumber.
        """
        told = torch.log_softmax(scores, -1) if self.num_logprobs is not None else None
        self._penalise(scores)
        if self.matcher is not None and is_bound:
            self.matcher.restrict(scores)
        token = self._drawn(scores)
        if not math.isfinite(float(scores[token])):
            raise NotANumber
        if told is None:
            return token, None
        best = torch.topk(told, min(self.num_logprobs or 0, len(told))) if self.num_logprobs else None
        top = list(zip(best.indices.tolist(), best.values.tolist(), strict=True)) if best else []
        return token, {"id": token, "logprob": float(told[token]), "top": top}

    def note(self, token: int, *, is_bound: bool = True) -> None:
        """`token` was written. Raises LorasmithError where the grammar forbids it."""
        self._written[token] += 1
        if self.penalty != 1:
            self._seen.add(token)
        if self.matcher is not None and is_bound:
            self.matcher.note(token)

    @property
    def is_complete(self) -> bool:
        """Whether a grammar allows nothing more."""
        return self.matcher is not None and self.matcher.is_complete

    def _penalise(self, scores: torch.Tensor) -> None:
        """Repetition as in CTRL, arXiv 1909.05858, section 4.1; frequency and presence as OpenAI documents them."""
        if self.penalty != 1 and self._seen:
            ids = torch.tensor(sorted(token for token in self._seen if token < len(scores)))
            part = scores[ids]
            scores[ids] = torch.where(part > 0, part / self.penalty, part * self.penalty)
        if (self.frequency or self.presence) and self._written:
            ids = torch.tensor(list(self._written))
            scores[ids] -= (
                self.frequency * torch.tensor(list(self._written.values()), dtype=scores.dtype) + self.presence
            )
        for token, more in self.bias.items():
            if 0 <= token < len(scores):
                scores[token] += more

    def _drawn(self, scores: torch.Tensor) -> int:
        if self.temperature <= 0:
            return int(scores.argmax())
        best = scores.max()
        if not math.isfinite(float(best)):
            raise NotANumber
        scaled = scores / self.temperature
        ids, total = None, None
        if 0 < self.top_k < len(scores):
            scaled, ids = torch.topk(scaled, self.top_k)
        elif self.top_p < 1 and len(scores) > _PREFIX:
            total = torch.logsumexp(scaled, -1)
            scaled, ids = self._prefix(scaled, total)
        probabilities = torch.exp(scaled - (torch.logsumexp(scaled, -1) if total is None else total))
        if self.top_p < 1:
            ordered, order = torch.sort(probabilities, descending=True, stable=True)
            beyond = torch.cumsum(ordered, -1) - ordered >= self.top_p
            probabilities[order[beyond]] = 0
        if self.min_p > 0:
            probabilities[probabilities < self.min_p * probabilities.max()] = 0
        drawn = int(torch.multinomial(probabilities, 1, generator=self._generator))
        return drawn if ids is None else int(ids[drawn])

    def _prefix(self, scaled: torch.Tensor, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The likeliest scores where they hold top_p of all probability, which they nearly always do; else all of them.

        To sort a vocabulary of 150,000 takes longer than the step of a small model.
        """
        values, ids = torch.topk(scaled, _PREFIX)
        share = float(torch.exp(torch.logsumexp(values, -1) - total))
        return (values, ids) if share > self.top_p + 1e-6 else (scaled, None)


def _first(*values: float | None) -> float:
    return next(float(value) for value in values if value is not None)


def _own(defaults: dict[str, Any], name: str) -> float | None:
    """The model's own value, which counts only where it says that it samples."""
    return defaults.get(name) if defaults.get("do_sample") else None
