"""Classes learnt: of texts, pictures and sounds, of words, and of words with their places on a page. Worker plane only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.samples import Sample
from lorasmith.families._batches import pad_token_id, reads_at_most, whole_characters
from lorasmith.families._calls import AudioCall, Call, ClassifierCall, DocumentCall, VisionCall
from lorasmith.families._layouts import Page, windows_of
from lorasmith.families._learning import IGNORED, Batch, padded
from lorasmith.families._learning_answers import CalledLearning
from lorasmith.families._pictures import picture_of
from lorasmith.families._sounds import read_sound
from lorasmith.families._transformers import takes

_FILLERS = {"attention_mask": 0, "token_type_ids": 0}


class _Classes(CalledLearning):
    def prepare(self, model: Any) -> None:
        self.numbers = {str(name): number for number, name in model.config.id2label.items()}

    def classes(self, samples: Sequence[Sample]) -> torch.Tensor:
        """The class of each row, of shape (rows,)."""
        return torch.tensor([self.numbers[one.label] for one in samples])

    def said(self, value: dict[str, Any]) -> str:
        return value["results"][0]["labels"][0]["label"]


class TextClasses(_Classes):
    """One class for each text."""

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        self.most_tokens = reads_at_most(model, self.tokenizer)
        self.pad = pad_token_id(model) or self.tokenizer.pad_token_id or 0

    def rows(self, samples: Sequence[Sample], **options: Any) -> Any:
        limit = min(self.most_tokens, self.max_length or self.most_tokens)
        return self.tokenizer(
            [whole_characters(one.text) for one in samples], truncation=True, max_length=limit, **options
        )

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        return {**_filled(self.rows(samples), self.pad), "labels": self.classes(samples)}

    def size(self, batch: Batch) -> int:
        return batch["input_ids"].numel()

    def call(self, sample: Sample) -> Call:
        return ClassifierCall(texts=[sample.text], top_k=1)


class WordClasses(TextClasses):
    """A tag for each word of a text; words are given apart."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        limit = min(self.most_tokens, self.max_length or self.most_tokens)
        read = self.tokenizer(
            [list(one.words) for one in samples], is_split_into_words=True, truncation=True, max_length=limit
        )
        labels = [
            _first_tokens(read.word_ids(at), [self.numbers[tag] for tag in one.tags]) for at, one in enumerate(samples)
        ]
        return {**_filled(read, self.pad), "labels": padded(labels, IGNORED)}

    def answers(self, model: Any, samples: Sequence[Sample]) -> Any:
        """By the words of the row itself: those of a text cut anew might be others."""
        names = {number: name for name, number in self.numbers.items()}
        for sample in samples:
            batch = {name: value.to(model.device) for name, value in self.batch([sample], training=False).items()}
            labels = batch.pop("labels")[0]
            with torch.inference_mode():
                best = model(**batch).logits[0].argmax(-1)
            tags = [names[int(number)] for number, label in zip(best, labels, strict=True) if label != IGNORED]
            yield " ".join(tags + ["O"] * (len(sample.words) - len(tags)))


class PageClasses(_Classes):
    """A tag for each word of a page (LayoutLM, LiLT), seen with its place, and with the picture where the model looks at it."""

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        self.limit = reads_at_most(model, self.tokenizer)
        self.pad = pad_token_id(model) or 0
        self.sees = "pixel_values" in takes(model)
        self.inputs = set(takes(model))

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        rows: list[dict[str, Any]] = []
        labels: list[list[int]] = []
        for sample in samples:
            page = Page([whole_characters(word) for word in sample.words], list(sample.boxes), {})
            window = next(windows_of(self.tokenizer, page, "", self.limit))
            rows.append({name: value[0].tolist() for name, value in window.inputs.items()})
            labels.append(_first_tokens(window.places, [self.numbers[tag] for tag in sample.tags]))
        made = {"labels": padded(labels, IGNORED), **_filled(rows, self.pad)}
        longest = made["labels"].shape[1]
        made["bbox"] = torch.tensor([row["bbox"] + [[0] * 4] * (longest - len(row["bbox"])) for row in rows])
        if self.sees:
            pictures = [picture_of(Path(one.images[0]).read_bytes(), what=f"'{one.images[0]}'") for one in samples]
            read = self.processor.image_processor(pictures, apply_ocr=False, return_tensors="pt")
            made["pixel_values"] = read["pixel_values"]
        return {name: value for name, value in made.items() if name == "labels" or name in self.inputs}

    def call(self, sample: Sample) -> Call:
        images = ["data:,"] * len(sample.images[:1]) if self.sees else []
        return DocumentCall(images=images, words=list(sample.words), boxes=list(sample.boxes))

    def said(self, value: dict[str, Any]) -> str:
        return " ".join(word["label"] or "O" for word in value["results"][0]["words"])


class PictureClasses(_Classes):
    """One class for each picture."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        pictures = [picture_of(Path(one.images[0]).read_bytes(), what=f"'{one.images[0]}'") for one in samples]
        return {**self.processor(pictures, return_tensors="pt"), "labels": self.classes(samples)}

    def call(self, sample: Sample) -> Call:
        return VisionCall(images=list(sample.images[:1]), top_k=1)


class SoundClasses(_Classes):
    """One class for each recording."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        extractor = getattr(self.processor, "feature_extractor", self.processor)
        rate = extractor.sampling_rate
        sounds = [read_sound(Path(one.audio[0]).read_bytes(), rate).samples for one in samples]
        read = extractor(sounds, sampling_rate=rate, padding=True, return_tensors="pt")
        return {**read, "labels": self.classes(samples)}

    def call(self, sample: Sample) -> Call:
        return AudioCall(audio=sample.audio[0], top_k=1)

    def said(self, value: dict[str, Any]) -> str:
        return value["labels"][0]["label"]


def _first_tokens(places: Sequence[int | None], tags: list[int]) -> list[int]:
    """The label of each token: a word's at its first one."""
    return [
        tags[word] if word is not None and (at == 0 or places[at - 1] != word) else IGNORED
        for at, word in enumerate(places)
    ]


def _filled(read: Any, pad: int) -> Batch:
    """What a tokenizer gave, as tensors (rows, longest)."""
    rows: dict[str, list[list[int]]] = (
        {name: [row[name] for row in read] for name in read[0] if name != "bbox"}
        if isinstance(read, list)
        else dict(read)
    )
    fills = {"input_ids": pad, **_FILLERS}
    made = {name: padded(values, fills[name]) for name, values in rows.items() if name in fills}
    if "attention_mask" not in made:
        made["attention_mask"] = padded([[1] * len(row) for row in rows["input_ids"]], 0)
    return made
