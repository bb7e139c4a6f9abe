"""Learning whose answers are those that the served model gives: one call for each row. Worker plane only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lorasmith.core.samples import Sample
from lorasmith.families._calls import Call, untold
from lorasmith.families._learning import Learning


class CalledLearning(Learning):
    """A subclass says how a row is asked, and what of the answer is meant."""

    @abstractmethod
    def call(self, sample: Sample) -> Call:
        """The request for one row; its pictures and sounds are sent along."""

    @abstractmethod
    def said(self, value: dict[str, Any]) -> str:
        """Of what the served model answers, what is compared with `lesson.wanted`."""

    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        from lorasmith.families import FAMILIES

        family = FAMILIES.get(self.lesson.family)
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        for sample in samples:
            media = [Path(name).read_bytes() for name in (*sample.images, *sample.audio)]
            yield self.said(family.answer(bare, self.processor, self.call(sample), media, untold).value)
