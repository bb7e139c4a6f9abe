"""Makes the invoices: pages with their fields (Donut), words with their places and tags (LayoutLM), lines with their texts (TrOCR).

    pip install -r examples/invoices/requirements.txt
    python examples/invoices/make.py data/invoices [--most 8]

Each in a folder `train` and a folder `heldout` of other invoices. The same command makes the same files; `--most` the first of them.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import invoices
import paper

SIZES = {"train": {"donut": 6000, "layout": 400, "lines": 3000}, "heldout": {"donut": 100, "layout": 100, "lines": 100}}
_FULL = 1000  # LayoutLM's places: thousandths of the page


def page(rng: random.Random, folder: Path, name: str) -> dict[str, Any]:
    made = invoices.invoice(rng)
    made.sheet.image.save(folder / name)
    return {"file_name": name, "ground_truth": {"gt_parse": made.fields}}


def words(rng: random.Random, folder: Path, name: str) -> dict[str, Any]:
    made = invoices.invoice(rng)
    made.sheet.image.save(folder / name)
    ordered = made.sheet.reading_order()
    return {
        "image": name, "words": [word.text for word in ordered],
        "bboxes": [[min(_FULL, max(0, round(_FULL * edge / paper.PAGE))) for edge in word.box] for word in ordered],
        "ner_tags": [word.tag for word in ordered],
    }  # fmt: skip


def line(rng: random.Random, folder: Path, name: str) -> dict[str, Any]:
    sheet = invoices.line(rng)
    sheet.image.save(folder / name)
    return {"image": name, "text": sheet.lines[0][0]}


KINDS: dict[str, Callable[[random.Random, Path, str], dict[str, Any]]] = {"donut": page, "layout": words, "lines": line}


def make(folder: Path, *, sizes: dict[str, dict[str, int]] = SIZES, most: int | None = None) -> None:
    """All three kinds below `folder`, so many rows of each part, and not more than `most`."""
    for kind, write in KINDS.items():
        for part, each in sizes.items():
            size = each[kind] if most is None else min(most, each[kind])
            place = folder / kind / part
            place.mkdir(parents=True, exist_ok=True)
            rng = random.Random(f"{kind}-{part}")
            rows = [write(rng, place, f"{number:04}.png") for number in range(size)]
            name = "metadata.jsonl" if kind == "donut" else "rows.jsonl"
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (place / name).write_text(text, encoding="utf-8")
            print(f"{place}: {size} rows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, help="rows of each part, at most")
    asked = parser.parse_args()
    make(asked.folder, most=asked.most)
