"""Texts turned into texts by an encoder and a decoder: T5, BART and their like. Worker plane only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from lorasmith.core.samples import Sample
from lorasmith.families._batches import whole_characters
from lorasmith.families._learning import IGNORED, Batch, Learning, padded, shifted_right

_AT_ONCE = 16
_ROOM = 16


class Texts(Learning):
    """What comes before the last answer is read, the answer is written."""

    def prepare(self, model: Any) -> None:
        config, said = model.config, model.generation_config
        start = (
            said.decoder_start_token_id if said.decoder_start_token_id is not None else config.decoder_start_token_id
        )
        self.pad = config.pad_token_id if config.pad_token_id is not None else 0
        self.start = start if start is not None else self.pad
        self.end = self.tokenizer.eos_token_id
        self.limit = min(self.tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or 10**9)

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        labels = padded([self._ids(one.messages[-1]["content"]) for one in samples], IGNORED)
        return {
            **self._read(samples),
            "labels": labels,
            "decoder_input_ids": shifted_right(labels, self.start, self.pad),
        }

    def _read(self, samples: Sequence[Sample]) -> Batch:
        asked = ["\n".join(str(one["content"]) for one in sample.messages[:-1]) for sample in samples]
        rows = [self._ids(text) for text in asked]
        return {"input_ids": padded(rows, self.pad), "attention_mask": padded([[1] * len(row) for row in rows], 0)}

    def _ids(self, text: str) -> list[int]:
        """As the tokenizer begins a text, and with what ends it."""
        limit = min(self.limit, self.max_length or self.limit)
        ids = self.tokenizer(whole_characters(text))["input_ids"]
        ids = ids[:-1] if ids[-1:] == [self.end] else ids
        return [*ids[: limit - 1], self.end]

    def size(self, batch: Batch) -> int:
        return batch["input_ids"].numel() + batch["labels"].numel()

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """Greedily, some at a time."""
        longest = max((len(self._ids(one.messages[-1]["content"])) for one in samples), default=0) + _ROOM
        for at in range(0, len(samples), _AT_ONCE):
            given = {name: value.to(model.device) for name, value in self._read(samples[at : at + _AT_ONCE]).items()}
            made = model.generate(**given, max_new_tokens=longest, do_sample=False, num_beams=1)
            for ids in made:
                yield self.tokenizer.decode(ids, skip_special_tokens=True).strip()
