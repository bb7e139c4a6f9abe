"""Pictures cut into areas of classes, learnt from masks (SegFormer and its like). Worker plane only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lorasmith.core.errors import DataProblem
from lorasmith.core.samples import Sample
from lorasmith.families._learning import IGNORED, Batch, Learning, Measured
from lorasmith.families._pictures import picture_of

_NO_CLASS = 255  # of a mask's pixels: to be left out


class PixelClasses(Learning):
    """A class for each pixel: a mask is a picture of one channel whose values are the classes' numbers."""

    def prepare(self, model: Any) -> None:
        self.num_classes = model.config.num_labels

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        pictures = [picture_of(Path(one.images[0]).read_bytes(), what=f"'{one.images[0]}'") for one in samples]
        pixels = self.processor(pictures, return_tensors="pt")["pixel_values"]
        size = (int(pixels.shape[-2]), int(pixels.shape[-1]))
        return {"pixel_values": pixels, "labels": torch.stack([self._mask(one, size) for one in samples])}

    def check(self, sample: Sample) -> None:
        super().check(sample)
        self._mask(sample, (8, 8))

    def _mask(self, sample: Sample, size: tuple[int, int]) -> torch.Tensor:
        """Classes of shape `size`, -100 for none. Raises DataProblem for a class that the model does not have."""
        from PIL import Image

        numbers = Image.fromarray(mask_numbers(sample.masks[0]).astype("uint8"))
        mask = torch.from_numpy(
            np.asarray(numbers.resize((size[1], size[0]), Image.Resampling.NEAREST)).astype("int64")
        )
        mask[mask == _NO_CLASS] = IGNORED
        if int(mask.max()) >= self.num_classes:
            raise DataProblem(
                f"'{sample.masks[0]}' holds the class {int(mask.max())}, and there are {self.num_classes}",
                why="A mask's pixels are numbers of classes, from 0; 255 is none.",
            )
        return mask

    def measure(self, model: Any, batch: Batch) -> Measured:
        labels = batch["labels"]
        logits = model(pixel_values=batch["pixel_values"]).logits.float()
        wide = torch.nn.functional.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        nll = torch.nn.functional.cross_entropy(wide, labels, reduction="none", ignore_index=IGNORED)
        hits = (wide.detach().argmax(1) == labels).flatten(1).sum(1)
        return Measured(nll.flatten(1).sum(1), (labels != IGNORED).flatten(1).sum(1), hits.to(nll.dtype))

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """JSON for each picture: of each class, pixels that it has here and in the mask, and those in both."""
        for sample in samples:
            batch = {name: value.to(model.device) for name, value in self.batch([sample], training=False).items()}
            labels = batch["labels"][0]
            logits = model(pixel_values=batch["pixel_values"]).logits.float()
            best = torch.nn.functional.interpolate(
                logits, size=labels.shape[-2:], mode="bilinear", align_corners=False
            )[0].argmax(0)
            known = labels != IGNORED
            counts = {str(number): _counted(best, labels, number, known) for number in range(self.num_classes)}
            yield json.dumps({"pixels": counts})


def _counted(best: torch.Tensor, labels: torch.Tensor, number: int, known: torch.Tensor) -> list[int]:
    """Pixels that a class was given, that it has, and both."""
    given, has = (best == number) & known, labels == number
    return [int(given.sum()), int(has.sum()), int((given & has).sum())]


def mask_numbers(file: str) -> Any:
    """The numbers in a mask file, of shape (height, width). Raises DataProblem for a picture of several channels."""
    from PIL import Image

    with Image.open(io.BytesIO(Path(file).read_bytes())) as opened:
        numbers = np.asarray(opened)
    if numbers.ndim != 2:
        raise DataProblem(
            f"'{file}' is no mask",
            why=f"It has {numbers.shape[-1]} channels; a mask has one, whose values are classes.",
            fix="Save it as PNG in grey or with a palette.",
        )
    return numbers
