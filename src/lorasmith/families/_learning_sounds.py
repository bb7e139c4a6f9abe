"""Speech that is written down: by models that write (Whisper), and by letters for each moment (CTC). Worker plane only."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.samples import Sample
from lorasmith.families._calls import AudioCall, Call
from lorasmith.families._learning import IGNORED, Batch, Measured, padded, shifted_right
from lorasmith.families._learning_answers import CalledLearning
from lorasmith.families._sounds import read_sound
from lorasmith.families._transformers import takes


class _Speech(CalledLearning):
    def prepare(self, model: Any) -> None:
        self.extractor = getattr(self.processor, "feature_extractor", self.processor)
        self.inputs = set(takes(model))

    def heard(self, samples: Sequence[Sample]) -> Batch:
        """What the model hears of each recording."""
        rate = self.extractor.sampling_rate
        sounds = [read_sound(Path(one.audio[0]).read_bytes(), rate).samples for one in samples]
        # Whisper hears thirty seconds, whatever there is; others as much as the longest.
        options: dict[str, Any] = {} if hasattr(self.extractor, "n_samples") else {"padding": True}
        read = self.extractor(sounds, sampling_rate=rate, return_tensors="pt", return_attention_mask=True, **options)
        return {name: value for name, value in read.items() if name in self.inputs}

    def call(self, sample: Sample) -> Call:
        return AudioCall(audio=sample.audio[0], timestamps="none")

    def said(self, value: dict[str, Any]) -> str:
        return value["text"].strip()


class WrittenSpeech(_Speech):
    """An encoder that hears, a decoder that writes."""

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        said = model.generation_config
        start = said.decoder_start_token_id
        self.start = model.config.decoder_start_token_id if start is None else start
        end = said.eos_token_id if said.eos_token_id is not None else self.tokenizer.eos_token_id
        self.end = end[0] if isinstance(end, list) else end
        self.pad = said.pad_token_id if said.pad_token_id is not None else self.end
        self.room = int(
            getattr(model.config, "max_target_positions", 0)
            or getattr(model.config, "max_position_embeddings", 0)
            or 448
        )

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        labels = padded([self._ids(one) for one in samples], IGNORED)
        return {
            **self.heard(samples),
            "labels": labels,
            "decoder_input_ids": shifted_right(labels, self.start, self.pad),
        }

    def _ids(self, sample: Sample) -> list[int]:
        """As the tokenizer begins and ends a text: with Whisper's tokens for language and task."""
        ids = self.tokenizer(sample.text)["input_ids"]
        ids = ids[1:] if ids[:1] == [self.start] else ids
        inner = ids[:-1] if ids[-1:] == [self.end] else ids
        return [*inner[: min(self.room, self.max_length or self.room) - 1], self.end]


class SpelledSpeech(_Speech):
    """A letter for each moment: connectionist temporal classification."""

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        self.blank = model.config.pad_token_id
        self.unknown = self.tokenizer.unk_token_id

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        made = self.heard(samples)
        made["labels"] = padded([self._ids(one.text) for one in samples], IGNORED)
        return made

    def _ids(self, text: str) -> list[int]:
        """In the letters that the model knows: some know capitals only, some none."""
        ways = [self.tokenizer(way)["input_ids"] for way in dict.fromkeys((text, text.upper(), text.lower()))]
        return min(ways, key=lambda ids: ids.count(self.unknown))

    def measure(self, model: Any, batch: Batch) -> Measured:
        labels = batch["labels"]
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.float()
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        frames = torch.full((len(labels),), logits.shape[1], device=logits.device)
        if "attention_mask" in batch:
            frames = (
                bare._get_feat_extract_output_lengths(batch["attention_mask"].sum(-1)).long().clamp(max=logits.shape[1])
            )
        counts = (labels != IGNORED).sum(-1)
        nll = torch.nn.functional.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1), labels.masked_fill(labels == IGNORED, 0), frames, counts,
            blank=self.blank, reduction="none", zero_infinity=True,
        )  # fmt: skip
        hits = [
            _matching(_collapsed(row[:length].argmax(-1).tolist(), self.blank), wanted[wanted != IGNORED].tolist())
            for row, length, wanted in zip(logits.detach(), frames.tolist(), labels, strict=True)
        ]
        return Measured(nll, counts, nll.new_tensor(hits))


def _collapsed(ids: list[int], blank: int) -> list[int]:
    """What letters for each moment spell: runs are one letter, blanks none."""
    return [one for at, one in enumerate(ids) if one != blank and (at == 0 or ids[at - 1] != one)]


def _matching(given: list[int], wanted: list[int]) -> int:
    """Letters of `wanted` that stand in `given`, in order; as many as there are only where both are equal."""
    if given == wanted:
        return len(wanted)
    found = sum(block.size for block in SequenceMatcher(None, given, wanted, autojunk=False).get_matching_blocks())
    return min(found, len(wanted) - 1)
