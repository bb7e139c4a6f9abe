"""How well areas of pictures are found: the intersection over the union of each class, and their mean."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums


class MeanIou(Metric):
    """An answer is JSON with `pixels`: of each class how many it was given, how many it has, and how many are both. Counts are
    added up over all pictures first (PASCAL VOC's and ADE20K's way); classes that no mask has are left out."""

    name = "mean_iou"
    title = "Mean IoU"

    def parts(self, row: Answered) -> Parts | None:
        try:
            pixels = json.loads(row.answer)["pixels"]
        except (ValueError, TypeError, KeyError):
            return None
        return tuple(float(count) for counts in pixels.values() for count in counts)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        counts = sums(parts)
        classes = [counts[at : at + 3] for at in range(0, len(counts), 3)]
        shares = [ratio(both, given + has - both) for given, has, both in classes if has]
        right, all_pixels = sum(both for _, _, both in classes), sum(has for _, has, _ in classes)
        return {self.name: ratio(sum(shares), len(shares)), "pixel_accuracy": ratio(right, all_pixels)}


plugin = MeanIou()
