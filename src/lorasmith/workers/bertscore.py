"""The BERTScore worker: compares pairs of texts by an encoder, in batches (EVA-2)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.core.events import Progress, Writer
from lorasmith.workers.runtime import run_job

_BATCH = 64
_PIECE = 256
"""Pairs between two words on how far it is; within a piece bert-score sorts by length."""
_POSITIONS_BEFORE = 2  # RoBERTa's positions begin behind its padding id


def compare(text: str, events: Writer) -> dict[str, Any]:
    """Write [precision, recall, f1] for each [answer, wanted] of the spec's `pairs` to its `out`.

    Pairs are compared from the longest on, so that batches hold texts of like lengths; an empty text is like nothing.
    """
    try:
        import bert_score
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"BERTScore needs the library {error.name}, which is not installed", fix="pip install 'lorasmith[evaluate]'"
        ) from error
    import torch

    spec = json.loads(text)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer: Any = bert_score.BERTScorer(
        model_type=spec["encoder"], num_layers=spec["layers"], batch_size=_BATCH, device=device, use_fast_tokenizer=True
    )
    room = getattr(scorer._model.config, "max_position_embeddings", 512) - _POSITIONS_BEFORE
    scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, room)
    pairs: list[list[str]] = spec["pairs"]
    found: list[list[float]] = [[0.0, 0.0, 0.0] for _ in pairs]
    order = sorted(
        (index for index, pair in enumerate(pairs) if all(pair)), key=lambda index: -sum(map(len, pairs[index]))
    )
    for start in range(0, len(order), _PIECE):
        piece = order[start : start + _PIECE]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sides = scorer.score([pairs[index][0] for index in piece], [pairs[index][1] for index in piece])
        for index, *values in zip(piece, *(side.tolist() for side in sides), strict=True):
            found[index] = values
        events.send(Progress(stage="bertscore", done=start + len(piece), total=len(order), unit="pairs"))
    for index, (answer, wanted) in enumerate(pairs):
        if answer == wanted:
            found[index] = [1.0, 1.0, 1.0] if not answer else found[index]
    paths.write_json(Path(spec["out"]), found)
    return {"pairs": len(pairs)}


if __name__ == "__main__":
    run_job(compare, lambda text: Path(json.loads(text)["events"]))
