"""Small networks that sort texts by their bytes: the family, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges
from lorasmith.families import BY_STRUCTURE, Answer, ClassifierCall, Family, Lesson, Recognition, classes

LABELS = Lesson(
    "text-classification",
    formats=("labelled",),
    family="sniffer",
    learning="lorasmith_sniffer.worker:Sniffing",
    metrics=("accuracy",),
    wanted=lambda sample: sample.label,
    changes=lambda survey: classes(survey, "Sniffer"),
    unit="rows",
)


class SnifferFamily(Family):
    name = "sniffer"
    title = "Byte sniffers"
    primary_library = "lorasmith-sniffer"
    tasks = ("text-classification",)
    call = ClassifierCall

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if not evidence.has("sniffed_bytes"):
            return None
        return Recognition(BY_STRUCTURE, "encoder-only", "text-classification", "it says how many bytes it sniffs at")

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        return (LABELS,)

    def load(self, folder: Path, *, dtype: str, device: str, changes: ModelChanges | None = None, **_: Any) -> Any:
        from lorasmith_sniffer.worker import load

        return load(folder, dtype, changes or ModelChanges()).to(device)

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith_sniffer.worker import sniff

        return f"took a text for {sniff(model, ['The quick brown fox'])[0][0]['label']}"

    def answer(self, model: Any, processor: Any, call: Any, media: list[bytes], tell: Any) -> Answer:
        from lorasmith_sniffer.worker import sniff

        return Answer(
            {"results": [{"labels": labels[: call.top_k], "entities": []} for labels in sniff(model, call.texts)]}
        )


plugin = SnifferFamily()
