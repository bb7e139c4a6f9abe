"""Vectors that are to lie near each other: a question and its answer, a picture and its caption. Worker plane only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.errors import UsageProblem
from lorasmith.core.samples import Sample
from lorasmith.families._batches import is_causal, pad_token_id, reads_at_most, whole_characters
from lorasmith.families._learning import Batch, Learning, Measured, padded
from lorasmith.families._pictures import picture_of
from lorasmith.families._probes import for_model
from lorasmith.families._sentences import SentenceModel, body, pool

SCALE = 20.0
"""By which cosines are multiplied: sentence-transformers' MultipleNegativesRankingLoss."""
_AT_ONCE = 32


class TextVectors(Learning):
    """Of each question its answer is to be the nearest among all answers of the batch and their counterparts:
    multiple negatives ranking (arXiv 1705.00652, section 4.4)."""

    def prepare(self, model: Any) -> None:
        own = isinstance(model, SentenceModel)
        if not own and not hasattr(model, "config"):
            raise UsageProblem(
                "This model of sentence-transformers cannot be trained here yet",
                why="It has parts besides a transformer and its pooling.",
                fix="Take one of a transformer and a pooling, such as all-MiniLM, E5 or BGE.",
            )  # fmt: skip
        self.habits = model.habits if own else None
        self.tokenizer = model.tokenizer if own else self.tokenizer
        inner = model.model if own else model
        self.pooling = self.habits.pooling if self.habits else "lasttoken" if is_causal(inner) else "mean"
        most = self.habits.most_tokens if self.habits else None
        self.limit = min(most or 10**9, reads_at_most(inner, self.tokenizer))
        self.pad = pad_token_id(inner) or self.tokenizer.pad_token_id or 0

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        """Questions, then answers, then what is no answer, one below the other; `same` says for each question which of the
        others have the very text of its answer."""
        asked, found = zip(*(_pair(one) for one in samples), strict=True)
        others = [*found, *(one.rejected for one in samples if one.rejected)]
        same = torch.tensor([[other == mine for other in others] for mine in found])
        same.fill_diagonal_(False)
        return {**self.read([*asked, *others]), "labels": torch.arange(len(samples)), "same": same}

    def read(self, texts: Sequence[str]) -> Batch:
        """Texts as tensors (texts, longest), cut where the model's reading ends."""
        clean = [whole_characters(text) for text in texts]
        if self.habits and self.habits.lowercases:
            clean = [text.lower() for text in clean]
        limit = min(self.limit, self.max_length or self.limit)
        ids = self.tokenizer(clean, truncation=True, max_length=limit)["input_ids"]
        return {"input_ids": padded(ids, self.pad), "attention_mask": padded([[1] * len(row) for row in ids], 0)}

    def vectors(self, model: Any, batch: Batch) -> torch.Tensor:
        """Of length 1, of shape (texts, size)."""
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        hidden = body(bare)(**for_model(bare, inputs))[0].float()
        mask = inputs["attention_mask"].to(hidden.device)
        return torch.nn.functional.normalize(pool(hidden, mask, self.pooling))

    def measure(self, model: Any, batch: Batch) -> Measured:
        rows = len(batch["labels"])
        made = self.vectors(model, batch)
        scores = SCALE * made[:rows] @ made[rows:].T
        return _nearest(scores.masked_fill(batch["same"], -torch.inf), batch["labels"])

    def size(self, batch: Batch) -> int:
        return batch["input_ids"].numel()

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """For each question what lies nearest among all answers, and at which rank its own lies."""
        pairs = [_pair(one) for one in samples]
        texts = list(dict.fromkeys(answer for _, answer in pairs))
        asked = self._many(model, [question for question, _ in pairs])
        yield from ranked(asked @ self._many(model, texts).T, [texts.index(answer) for _, answer in pairs], texts)

    def _many(self, model: Any, texts: list[str]) -> torch.Tensor:
        parts = [self.vectors(model, self.read(texts[at : at + _AT_ONCE])) for at in range(0, len(texts), _AT_ONCE)]
        return torch.cat(parts).cpu()


class PictureVectors(Learning):
    """A picture and its caption near each other, both ways (CLIP, arXiv 2103.00020, figure 3; SigLIP learns so as well)."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        return {
            **self.texts([one.text for one in samples]), "pixel_values": self.pixels(samples),
            "labels": torch.arange(len(samples)),
        }  # fmt: skip

    def texts(self, texts: list[str]) -> Batch:
        padding = "max_length" if "siglip" in self.config.model_type else True
        clean = [whole_characters(one) for one in texts]
        limit = min(self.tokenizer.model_max_length, self.config.text_config.max_position_embeddings)
        read = self.tokenizer(clean, padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        return {name: read[name] for name in ("input_ids", "attention_mask") if name in read}

    def pixels(self, samples: Sequence[Sample]) -> torch.Tensor:
        pictures = [picture_of(Path(one.images[0]).read_bytes(), what=f"'{one.images[0]}'") for one in samples]
        return self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]

    def measure(self, model: Any, batch: Batch) -> Measured:
        output = model(**{name: value for name, value in batch.items() if name != "labels"})
        both = [
            _nearest(scores.float(), batch["labels"]) for scores in (output.logits_per_image, output.logits_per_text)
        ]
        halves = [torch.stack(parts).float().mean(0) for parts in zip(*both, strict=True)]
        return Measured(halves[0], both[0].counts, halves[2])

    def size(self, batch: Batch) -> int:
        return batch["input_ids"].numel()

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """For each picture the caption that lies nearest among all."""
        texts = list(dict.fromkeys(one.text for one in samples))
        rows: list[torch.Tensor] = []
        for at in range(0, len(samples), _AT_ONCE):
            given = {**self.texts(texts), "pixel_values": self.pixels(samples[at : at + _AT_ONCE])}
            rows.append(
                model(**{name: value.to(model.device) for name, value in given.items()}).logits_per_image.float().cpu()
            )
        yield from ranked(torch.cat(rows), [texts.index(one.text) for one in samples], texts)


def _pair(sample: Sample) -> tuple[str, str]:
    return sample.messages[0]["content"], sample.messages[-1]["content"]


def _nearest(scores: torch.Tensor, own: torch.Tensor) -> Measured:
    nll = torch.nn.functional.cross_entropy(scores, own, reduction="none")
    return Measured(nll, torch.ones_like(own), (scores.detach().argmax(-1) == own).to(nll.dtype))


def ranked(scores: torch.Tensor, own: Sequence[int], texts: Sequence[str]) -> Iterator[str]:
    """JSON for each row of `scores` (rows, texts): the text with the highest, and the rank of the row's own."""
    for row, mine in zip(scores, own, strict=True):
        rank = 1 + int((row > row[mine]).sum())
        yield json.dumps({"found": texts[int(row.argmax())], "rank": rank, "of": len(texts)}, ensure_ascii=False)
