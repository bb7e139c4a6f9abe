"""The CLIP score worker: vectors of drawn pictures, of the right ones and of their texts, and how near they are (EVA-5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from lorasmith.core import paths
from lorasmith.core.events import Progress, Writer
from lorasmith.families import FAMILIES
from lorasmith.families._calls import EmbeddingCall
from lorasmith.families._vectors import embed
from lorasmith.workers.runtime import run_job

_AT_ONCE = 16


def compare(text: str, events: Writer) -> dict[str, Any]:
    """Of each [drawn, right, text] in `triples` write [likeness to the text, likeness to the right picture], from 0 to
    100 each, to its `out`. Names of pictures are below its `folder`."""
    spec = json.loads(text)
    folder, model_folder = Path(spec["folder"]), Path(spec["model"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    family = FAMILIES.get("embedding")
    model = family.load(model_folder, dtype="float32", device=device)
    processor = family.processor(model_folder, model)
    triples: list[list[str]] = spec["triples"]
    found: list[list[float]] = []
    for start in range(0, len(triples), _AT_ONCE):
        some = triples[start : start + _AT_ONCE]
        files = [name for drawn, right, _ in some for name in (drawn, right)]
        call = EmbeddingCall(texts=[said for _, _, said in some], images=files, normalize=True)
        answer = embed(model, processor, call, [(folder / name).read_bytes() for name in files], lambda **_: None)
        rows = torch.tensor(answer.value["embeddings"])
        texts, pictures = rows[: len(some)], rows[len(some) :].unflatten(0, (len(some), 2))
        near = torch.stack([(pictures[:, 0] * texts).sum(1), (pictures[:, 0] * pictures[:, 1]).sum(1)], 1)
        found += (100 * near.clamp_min(0)).tolist()
        events.send(Progress(stage="clip_score", done=len(found), total=len(triples), unit="pictures"))
    paths.write_json(Path(spec["out"]), found)
    return {"pictures": len(found)}


if __name__ == "__main__":
    run_job(compare, lambda text: Path(json.loads(text)["events"]))
