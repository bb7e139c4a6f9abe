"""How well things are found in pictures: COCO's mean average precision."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts

_OVERLAPS = tuple(at / 100 for at in range(50, 100, 5))
"""Intersections over unions from which a box is right: 0.5, 0.55 … 0.95."""
_RECALLS = 101  # places of the curve over which precision is averaged: 0, 0.01 … 1
_MOST = 100  # boxes of a class in a picture, the surest
_PER_BOX = 3


class MeanAveragePrecision(Metric):
    """AP of COCO (Lin et al. 2014, arXiv 1405.0312; https://cocodataset.org/#detection-eval): the mean over classes and overlaps
    of the precision at 101 recalls, for boxes of any size, without crowds. The same figures as pycocotools gives.

    An answer is JSON with `boxes`, each with `label`, `score` and `box` (left, top, right, bottom); the wanted one has no scores.
    A row's parts are its number of boxes found; of each its class, its score, and for which overlaps it is right, as bits; then
    the class of each thing that is there.
    """

    name = "map"
    title = "mAP (IoU 0.50 to 0.95)"

    def parts(self, row: Answered) -> Parts | None:
        try:
            found, there = (_by_class(json.loads(text)["boxes"]) for text in (row.answer, row.wanted))
        except (ValueError, TypeError, KeyError):
            return None
        told: list[float] = []
        for label, boxes in found.items():
            right = there.get(label, [])
            surest = sorted(boxes, key=lambda box: -float(box["score"]))[:_MOST]
            bits = _matched(surest, right)
            for box, hits in zip(surest, bits, strict=True):
                told += [_number(label), float(box["score"]), float(hits)]
        things = [float(_number(label)) for label, boxes in there.items() for _ in boxes]
        return (float(len(told) // _PER_BOX), *told, *things)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        import numpy as np

        rows = [np.asarray(one) for one in parts]
        ends = [1 + _PER_BOX * int(one[0]) for one in rows]
        found = np.concatenate([one[1:end] for one, end in zip(rows, ends, strict=True)]).reshape(-1, _PER_BOX)
        there = np.concatenate([one[end:] for one, end in zip(rows, ends, strict=True)])
        curves = [
            _averages(found[found[:, 0] == label], int(count))
            for label, count in zip(*np.unique(there, return_counts=True), strict=True)
        ]
        by_overlap = np.mean(curves, axis=0) if curves else np.zeros(len(_OVERLAPS))
        return {self.name: float(by_overlap.mean()), "ap_50": float(by_overlap[0]), "ap_75": float(by_overlap[5])}


def _by_class(boxes: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for box in boxes:
        found[str(box["label"])].append(box)
    return found


def _number(label: str) -> int:
    """The class as a number that a float holds exactly, the same in every row."""
    return int.from_bytes(blake2b(label.encode(errors="surrogatepass"), digest_size=6).digest(), "big")


def _matched(found: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]]) -> list[int]:
    """For each box, the surest first, for which overlaps it is right, as bits: it takes the thing that it overlaps most of those
    that no surer box has taken."""
    overlaps = [[_overlap(one["box"], other["box"]) for other in there] for one in found]
    bits = [0] * len(found)
    for place, least in enumerate(_OVERLAPS):
        taken: set[int] = set()
        for at, row in enumerate(overlaps):
            free = [(overlap, thing) for thing, overlap in enumerate(row) if thing not in taken and overlap >= least]
            if free:
                taken.add(max(free)[1])
                bits[at] |= 1 << place
    return bits


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes: left, top, right, bottom."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _averages(found: Any, count: int) -> Any:
    """The average precision of one class at each overlap. `found` is of shape (boxes, 3); `count` things are there."""
    import numpy as np

    if not len(found):
        return np.zeros(len(_OVERLAPS))
    order = np.argsort(-found[:, 1], kind="stable")
    right = (found[order, 2].astype(np.int64)[:, None] >> np.arange(len(_OVERLAPS))) & 1
    hits = right.cumsum(0)
    precision = hits / np.arange(1, len(hits) + 1)[:, None]
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or any greater one
    recall, wanted = hits / count, np.linspace(0, 1, _RECALLS)
    averages = np.zeros(len(_OVERLAPS))
    for place in range(len(_OVERLAPS)):
        at = np.searchsorted(recall[:, place], wanted, side="left")
        averages[place] = precision[at[at < len(hits)], place].sum() / _RECALLS
    return averages


plugin = MeanAveragePrecision()
