"""BERTScore (Zhang et al. 2020, arXiv 1904.09675) by the library bert-score: precision, recall and F1 of the tokens' likeness."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lorasmith.core import paths
from lorasmith.evaluation._base import Answered, Columns, How, Metric, Parts
from lorasmith.evaluation.encoder import choose_encoder
from lorasmith.runners.local import Worker, run


class BertScore(Metric):
    """All answers of all models are compared in one worker, each pair of texts once."""

    name = "bertscore"
    title = "BERTScore F1"

    def parts(self, row: Answered) -> Parts | None:
        raise NotImplementedError("pairs are compared all at once")

    def measured(self, columns: Columns, how: How) -> dict[str, list[Parts | None]]:
        """Raises EnvironmentProblem where the encoder or the library is not there."""
        pairs = list(
            dict.fromkeys((row.answer.strip(), row.wanted.strip()) for rows in columns.values() for row in rows)
        )
        encoder = choose_encoder(how.encoder, how.encoder_layers, [wanted for _, wanted in pairs])
        spec, events = how.folder / "bertscore.json", how.folder / "bertscore.events.jsonl"
        out = how.folder / "bertscore.out.json"
        asked = {"pairs": pairs, "encoder": str(encoder.folder), "layers": encoder.layers}
        paths.write_json(spec, asked | {"events": str(events), "out": str(out)})
        run(Worker("bertscore", spec, events, how.folder / "bertscore.log"), how.on_event)
        found = dict(zip(pairs, json.loads(out.read_text(encoding="utf-8")), strict=True))
        for file in (spec, events, out):
            file.unlink(missing_ok=True)
        return {
            name: [tuple(found[row.answer.strip(), row.wanted.strip()]) for row in rows]
            for name, rows in columns.items()
        }

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        precision, recall, f1 = (sum(side) / len(parts) for side in zip(*parts, strict=True))
        return {self.name: f1, "bertscore_precision": precision, "bertscore_recall": recall}


plugin = BertScore()
