"""Things found in pictures, learnt from boxes around them (DETR, YOLOS and their like). Worker plane only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.errors import DataProblem
from lorasmith.core.samples import Sample
from lorasmith.families._calls import Call, VisionCall
from lorasmith.families._learning import Batch, Measured
from lorasmith.families._learning_answers import CalledLearning
from lorasmith.families._pictures import picture_of, sole_picture

_NOTHING = -1  # the class of a place where a row has no further box
_SURE = 0.05
"""Boxes that are less sure are not measured: as Detectron2 does it, a score's long tail would only fill reports."""


class Boxes(CalledLearning):
    """Boxes and their classes, by the model's own loss: it matches what it found with what is there, one to one (Carion et al.
    2020, arXiv 2005.12872).

    A picture is never padded to be computed with others, because some models cannot tell padding from picture: those of one size
    are computed at once, and held-out ones each alone, as a server does.
    """

    def prepare(self, model: Any) -> None:
        self.numbers = {str(name): number for number, name in model.config.id2label.items()}

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        """`pixel_values` (rows, channels, height, width), filled up with zeros to the largest; `sizes` (rows, 2), height and
        width of each; `labels` (rows, most boxes, 5): class, and middle and size of a box in shares of the picture."""
        pixels: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        for sample in samples:
            picture = picture_of(Path(sample.images[0]).read_bytes(), what=f"'{sample.images[0]}'")
            pixels.append(self.processor(picture, return_tensors="pt")["pixel_values"][0])
            labels.append(self._labels(sample, picture.width, picture.height))
        sizes = torch.tensor([one.shape[-2:] for one in pixels])
        height, width = sizes.max(0).values.tolist()
        most = max(1, *map(len, labels))
        return {
            "pixel_values": torch.stack([_filled(one, (height, width), (-2, -1), 0) for one in pixels]),
            "sizes": sizes,
            "labels": torch.stack([_filled(one, (most,), (-2,), _NOTHING) for one in labels]),
        }

    def check(self, sample: Sample) -> None:
        """Raises DataProblem for a picture that cannot be read, and for a box that is not in it."""
        picture = sole_picture(Path(sample.images[0]).read_bytes(), what=f"'{Path(sample.images[0]).name}'")
        self._labels(sample, picture.width, picture.height)

    def _labels(self, sample: Sample, width: int, height: int) -> torch.Tensor:
        """Of shape (boxes, 5). What of a box is outside the picture is cut away."""
        rows: list[list[float]] = []
        for number, (area, tag) in enumerate(zip(sample.areas, sample.tags, strict=True), 1):
            left, right = (min(max(edge / width, 0.0), 1.0) for edge in area[::2])
            top, bottom = (min(max(edge / height, 0.0), 1.0) for edge in area[1::2])
            if right <= left or bottom <= top:
                raise DataProblem(
                    f"Box {number} of '{Path(sample.images[0]).name}' is outside the picture",
                    why="It goes from {:g}, {:g} to {:g}, {:g}; ".format(*area)
                    + f"the picture has {width} × {height} pixels.",
                    fix="Boxes are left, top, width and height in pixels of the picture as it is seen.",
                )
            rows.append([self.numbers[tag], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        return torch.tensor(rows).reshape(-1, 5)

    def measure(self, model: Any, batch: Batch) -> Measured:
        """The model's own loss of each row; where rows are computed at once, of all of them."""
        sizes, labels = batch["sizes"].tolist(), batch["labels"]
        rows = len(sizes)
        at_once = model.training and all(size == sizes[0] for size in sizes)
        losses = (
            [self._loss(model, batch["pixel_values"], labels)] * rows if at_once
            else [
                self._loss(model, batch["pixel_values"][at : at + 1, :, :height, :width], labels[at : at + 1])
                for at, (height, width) in enumerate(sizes)
            ]
        )  # fmt: skip
        nll = torch.stack(losses).float()
        return Measured(nll, torch.ones(rows, dtype=torch.long, device=nll.device), torch.zeros_like(nll))

    def _loss(self, model: Any, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        there = [row[row[:, 0] != _NOTHING] for row in labels]
        told = [{"class_labels": row[:, 0].long(), "boxes": row[:, 1:]} for row in there]
        return model(pixel_values=pixels, labels=told).loss

    def count(self, batch: Batch) -> torch.Tensor:
        return torch.tensor(len(batch["labels"]))

    def size(self, batch: Batch) -> int:
        return len(batch["labels"])

    def call(self, sample: Sample) -> Call:
        return VisionCall(images=list(sample.images[:1]), threshold=_SURE)

    def said(self, value: dict[str, Any]) -> str:
        found = value["results"][0]["boxes"]
        return json.dumps(
            {
                "boxes": [
                    {**one, "score": round(one["score"], 5), "box": [round(edge, 1) for edge in one["box"]]}
                    for one in found
                ]
            }
        )


def _filled(values: torch.Tensor, sizes: Sequence[int], places: Sequence[int], fill: float) -> torch.Tensor:
    """`values` made as large as `sizes` say at `places`, behind their end."""
    shape = list(values.shape)
    for size, place in zip(sizes, places, strict=True):
        shape[place] = size
    wide = values.new_full(shape, fill)
    wide[tuple(slice(size) for size in values.shape)] = values
    return wide
