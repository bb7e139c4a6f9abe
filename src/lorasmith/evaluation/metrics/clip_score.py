"""CLIP score (Hessel et al. 2021, arXiv 2104.08718, without its factor of 2.5): how near drawn pictures are to their texts,
and to the held-out pictures of the same texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.evaluation._base import Answered, Columns, How, Metric, Parts
from lorasmith.evaluation.encoder import choose_clip
from lorasmith.runners.local import Worker, run

PICTURES, RIGHT = "pictures", "wanted"
"""The folder of an evaluation's pictures, and below it that of the held-out ones, beside those of the models."""


class ClipScore(Metric):
    """100 × the cosine of picture and text, 0 where it is negative, and that of both pictures. All pictures are compared in one
    worker, each once."""

    name = "clip_score"
    title = "CLIP score"
    needs_pictures = True
    is_share = False

    def parts(self, row: Answered) -> Parts | None:
        raise NotImplementedError("pictures are compared all at once")

    def measured(self, columns: Columns, how: How) -> dict[str, list[Parts | None]]:
        """Raises EnvironmentProblem where no model that compares pictures with texts is there, UsageProblem without pictures."""
        drawn = [row for rows in columns.values() for row in rows if row.answer]
        if not drawn:
            raise UsageProblem(
                "The CLIP score is of pictures, and this model draws none", fix="Choose other --metrics."
            )
        triples = [[row.answer, str(_right_of(row.answer)), row.wanted] for row in drawn]
        spec, events = how.folder / "clip.json", how.folder / "clip.events.jsonl"
        out = how.folder / "clip.out.json"
        asked = {"folder": str(how.folder), "triples": triples, "model": str(choose_clip(how.clip_model))}
        paths.write_json(spec, asked | {"events": str(events), "out": str(out)})
        run(Worker("clipscore", spec, events, how.folder / "clip.log"), how.on_event)
        found = {row.answer: tuple(one) for row, one in zip(drawn, json.loads(out.read_text("utf-8")), strict=True)}
        for file in (spec, events, out):
            file.unlink(missing_ok=True)
        return {name: [found.get(row.answer) for row in rows] for name, rows in columns.items()}

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        to_text, to_picture = (sum(side) / len(parts) for side in zip(*parts, strict=True))
        return {self.name: to_text, "clip_score_to_the_right_picture": to_picture}


def _right_of(answer: str) -> PurePosixPath:
    drawn = PurePosixPath(answer)
    return drawn.parent.parent / RIGHT / drawn.name


plugin = ClipScore()
