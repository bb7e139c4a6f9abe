"""Text in, labels out: *ForSequenceClassification, *ForTokenClassification, rerankers, reward models."""

from __future__ import annotations

from lorasmith.core.evidence import Evidence
from lorasmith.families._base import BY_HEAD, ArchitectureType, Family, Recognition, task_by_head

_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForNextSentencePrediction": "text-classification",
}


class Classifier(Family):
    name = "classifier"
    title = "Text classifiers"
    tasks = ("text-classification", "token-classification", "text-ranking", "zero-shot-classification")

    def recognise(self, evidence: Evidence) -> Recognition | None:
        task = task_by_head(evidence, _HEADS)
        return Recognition(BY_HEAD + 2, _kind(evidence), task, evidence.architectures[0]) if task else None


def _kind(evidence: Evidence) -> ArchitectureType:
    if evidence.config.get("is_encoder_decoder"):
        return "encoder-decoder"
    return "decoder-only" if evidence.has("rms_norm_eps", "n_embd", "num_key_value_heads") else "encoder-only"


plugin = Classifier()
