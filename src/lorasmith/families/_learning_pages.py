"""Pages and lines that are written down: Donut (as tagged fields or plain text), TrOCR, and others of an image encoder with a
text decoder. Worker plane only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families import _tagged
from lorasmith.families._learning import IGNORED, Batch, Learning, draws, padded, shifted_right
from lorasmith.families._pictures import picture_of
from lorasmith.families._probes import for_model

_AT_ONCE = 8
_ROOM = 16  # tokens that an answer may be longer than the longest right one


class Pages(Learning):
    """Learns to write what stands on a picture."""

    def prepare(self, model: Any) -> None:
        """Where an answer begins, ends and is filled up: as the model's own generation_config says, or the dataset's token."""
        said, tokenizer = model.generation_config, self.tokenizer
        start = said.decoder_start_token_id
        start = tokenizer.bos_token_id if start is None else start
        self.start = tokenizer.convert_tokens_to_ids(self.changes.start) if self.changes.start else start
        ends = said.eos_token_id
        self.end = (ends[0] if isinstance(ends, list) else ends) if ends is not None else tokenizer.eos_token_id
        pad = said.pad_token_id if said.pad_token_id is not None else tokenizer.pad_token_id
        self.pad = pad if pad is not None else self.end
        begins = tokenizer("")["input_ids"][:1]
        # RoBERTa's, under TrOCR, write <s> after a decoder's start that is </s>; where both are one, it is written once.
        self.before = [] if self.changes.start or begins in ([self.start], [self.end]) else begins

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:
        pictures = [picture_of(Path(one.images[0]).read_bytes(), what=f"'{one.images[0]}'") for one in samples]
        if training and self.augments:
            pictures = [_varied(one, draw) for one, draw in zip(pictures, draws(samples), strict=True)]
        labels = padded([self.ids(one) for one in samples], IGNORED)
        return {
            "pixel_values": self.pixels(pictures), "labels": labels,
            "decoder_input_ids": shifted_right(labels, self.start, self.pad),
        }  # fmt: skip

    def pixels(self, pictures: list[Any]) -> torch.Tensor:
        """Of shape (pictures, channels, height, width)."""
        size = self.changes.image_size
        options = {"size": {"height": size[0], "width": size[1]}} if size else {}
        return self.processor.image_processor(pictures, return_tensors="pt", **options)["pixel_values"]

    def ids(self, sample: Sample) -> list[int]:
        """What is to be written, with what ends it."""
        inner = self.tokenizer(self.lesson.written(sample), add_special_tokens=False)["input_ids"]
        whole = [*self.before, *inner, self.end]
        return whole[: self.max_length] if self.max_length else whole

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """Greedily, some pages at a time."""
        longest = max((len(self.ids(one)) for one in samples), default=0) + _ROOM
        room = (getattr(model.config.decoder, "max_position_embeddings", None) or longest + 2) - 2
        for at in range(0, len(samples), _AT_ONCE):
            batch = self.batch(samples[at : at + _AT_ONCE], training=False)
            given = for_model(model, {"pixel_values": batch["pixel_values"]})
            begun = batch["decoder_input_ids"][:, :1].to(model.device)
            made = model.generate(
                **given, decoder_input_ids=begun, max_new_tokens=min(longest, room), do_sample=False, num_beams=1,
                eos_token_id=self.end, pad_token_id=self.pad,
            )  # fmt: skip
            for ids in made.tolist():
                yield self.said(ids[1:])

    def said(self, ids: list[int]) -> str:
        """Written tokens as text."""
        return self.tokenizer.decode(
            [one for one in ids if one not in (self.pad, self.end)], skip_special_tokens=True
        ).strip()


class TaggedPages(Pages):
    """Learns to write a page as fields."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:
        made = super().batch(samples, training=training)
        if training and self.augments:  # and with it the rest of what EnhancedDonut does
            made["weights"] = _field_weights(made["labels"], self.tokenizer)
        return made

    def said(self, ids: list[int]) -> str:
        tokenizer = self.tokenizer
        marks = {self.pad, self.end, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
        return as_json(
            tokenizer.decode([one for one in ids if one not in marks], skip_special_tokens=False), self.changes
        )


def as_json(text: str, changes: ModelChanges) -> str:
    """What tagged text says, as JSON."""
    return json.dumps(_tagged.to_json(text, changes.lists), ensure_ascii=False)


def _field_weights(labels: torch.Tensor, tokenizer: Any) -> torch.Tensor:
    """For each token its weight in the loss: every field counts as much as every other, however long it is; the mean of a row's
    weights stays 1. Fields are what stands between tags."""
    tags = {
        number for token, number in tokenizer.get_added_vocab().items() if token.startswith(("<s_", "</s_", "<sep"))
    }
    weights = torch.ones(labels.shape)
    for row, ids in enumerate(labels.tolist()):
        runs: list[list[int]] = [[]]
        for place, token in enumerate(ids):
            if token in tags:
                runs.append([])
            elif token != IGNORED:
                runs[-1].append(place)
        fields = [run for run in runs if run]
        if not fields:
            continue
        mean = sum(map(len, fields)) / len(fields)
        for run in fields:
            weights[row, run] = mean / len(run)
    return weights


def _varied(picture: Any, draw: torch.Generator) -> Any:
    """The picture a little turned, moved, darker or paler, as another scanner would give it."""
    from PIL import Image, ImageEnhance

    angle, right, down, light, contrast = ((2 * torch.rand(5, generator=draw)) - 1).tolist()
    moved = picture.rotate(
        1.5 * angle, Image.Resampling.BILINEAR, translate=(round(4 * right), round(4 * down)), fillcolor=(255, 255, 255)
    )
    moved = ImageEnhance.Brightness(moved).enhance(1 + 0.15 * light)
    return ImageEnhance.Contrast(moved).enhance(1 + 0.2 * contrast)
