"""Text in, labels out: *ForSequenceClassification, *ForTokenClassification, rerankers, reward models."""

from __future__ import annotations

from typing import Any, cast

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.families._base import BY_HEAD, ArchitectureType, Recognition, task_by_head
from lorasmith.families._calls import Answer, Call, ClassifierCall, Tell
from lorasmith.families._lessons import Lesson, text_lessons
from lorasmith.families._transformers import TransformersFamily

_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForNextSentencePrediction": "text-classification",
}


class Classifier(TransformersFamily):
    name = "classifier"
    title = "Text classifiers"
    processor_class = "AutoTokenizer"
    tasks = ("text-classification", "token-classification", "text-ranking", "zero-shot-classification")
    call = ClassifierCall

    def recognise(self, evidence: Evidence) -> Recognition | None:
        task = task_by_head(evidence, _HEADS)
        return Recognition(BY_HEAD + 2, _kind(evidence), task, evidence.architectures[0]) if task else None

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        texts, words = text_lessons()
        if (
            facts.architecture_type != "encoder-only"
        ):  # decoders have no head for words, and need one for texts as they are
            return (texts,)
        return (words, texts) if facts.task == "token-classification" else (texts, words)

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import TEXT, label, output_of, tokens

        return f"labelled a text {label(model, output_of(model, tokens(model, processor, TEXT))['logits'])}"

    def answer(self, model: Any, processor: Any, call: Call, media: list[bytes], tell: Tell) -> Answer:  # noqa: ARG002
        from lorasmith.families._labels import classify

        return classify(model, processor, cast("ClassifierCall", call), tell)


def _kind(evidence: Evidence) -> ArchitectureType:
    if evidence.config.get("is_encoder_decoder"):
        return "encoder-decoder"
    return "decoder-only" if evidence.has("rms_norm_eps", "n_embd", "num_key_value_heads") else "encoder-only"


plugin = Classifier()
