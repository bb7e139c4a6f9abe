"""Field F1 of answers that are JSON: right fields over all fields, and the share of answers whose JSON is right as a whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums
from lorasmith.evaluation._json import read_json

_MOST_FIELDS = 10_000


class FieldF1(Metric):
    """A field is right where the same value stands at the same path; the order of a list's entries does not count. An answer that
    is no JSON has no field right. Rows whose wanted answer is no JSON object or list say nothing."""

    name = "field_f1"
    title = "Field F1"

    def parts(self, row: Answered) -> Parts | None:
        wanted, given = read_json(row.wanted), read_json(row.answer)
        if not isinstance(wanted, dict | list):
            return None
        wants = Counter(_fields(wanted))
        has = Counter(_fields(given)) if isinstance(given, dict | list) else Counter[str]()
        return float((wants & has).total()), float(wants.total()), float(has.total()), float(given == wanted)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        right, wanted, given, whole = sums(parts)
        return {
            self.name: ratio(2 * right, wanted + given), "field_precision": ratio(right, given),
            "field_recall": ratio(right, wanted), "json_exact": whole / len(parts),
        }  # fmt: skip


def _fields(value: Any) -> Iterator[str]:
    """Every leaf with the path that leads to it, as a text. At most 10,000 of one answer."""
    waiting: list[tuple[str, Any]] = [("", value)]
    count = 0
    while waiting and count < _MOST_FIELDS:
        path, inner = waiting.pop()
        if isinstance(inner, dict) and inner:
            waiting += [(f"{path}/{key}", one) for key, one in inner.items()]
        elif isinstance(inner, list) and inner:
            waiting += [(f"{path}[]", one) for one in inner]
        else:
            count += 1
            yield f"{path}={json.dumps(inner.strip() if isinstance(inner, str) else inner)}"


plugin = FieldF1()
