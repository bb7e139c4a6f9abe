"""Encoders that turn text (or images) into vectors: BERT and its like, sentence-transformers, CLIP, SigLIP."""

from __future__ import annotations

from lorasmith.core.evidence import Evidence
from lorasmith.families._base import BY_HEAD, BY_LAYOUT, BY_SHAPE, BY_STRUCTURE, Family, Recognition

_GENERATING_HEADS = (
    "ForConditionalGeneration",
    "ForCausalLM",
    "LMHeadModel",
    "ForImageTextToText",
    "ForQuestionAnswering",
)
_PIXELS = ("image_size", "vision_config", "backbone_config", "num_queries")
_ENCODER_HEADS = (
    "EncoderModel",
    "QuestionEncoder",
    "ContextEncoder",
    "TextModel",
    "TextModelWithProjection",
    "ForTextEncoding",
)


class Embedding(Family):
    name = "embedding"
    title = "Embedding models and encoders"
    tasks = (
        "feature-extraction",
        "sentence-similarity",
        "fill-mask",
        "zero-shot-image-classification",
        "visual-document-retrieval",
    )

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if "modules.json" in evidence.documents:
            kind = "decoder-only" if evidence.ends("ForCausalLM") else "encoder-only"
            why = "modules.json: a sentence-transformers model"
            return Recognition(BY_LAYOUT - 1, kind, "sentence-similarity", why)
        if _is_dual_encoder(evidence):
            why = "a text and a vision encoder, and no head that writes"
            return Recognition(BY_STRUCTURE + 1, "dual-encoder", "zero-shot-image-classification", why)
        if evidence.speaks_of("ForRetrieval"):
            task, why = "visual-document-retrieval", evidence.architectures[0]
            return Recognition(BY_STRUCTURE + 1, "encoder-only", task, why)
        return _by_head(evidence)


def _by_head(evidence: Evidence) -> Recognition | None:
    sees = evidence.has(*_PIXELS)
    if evidence.ends("ForMaskedLM") or (evidence.ends("ForPreTraining") and not sees):
        return Recognition(BY_HEAD, "encoder-only", "fill-mask", f"{evidence.architectures[0]}: an encoder")
    if not evidence.has("vocab_size"):
        return None
    if evidence.ends(*_ENCODER_HEADS):
        why = f"{evidence.architectures[0]}: an encoder alone"
        return Recognition(BY_HEAD, "encoder-only", "feature-extraction", why)
    if evidence.ends("Model") and not evidence.config.get("is_encoder_decoder") and not sees:
        # A decoder without its head is of use for its vectors only.
        kind = "decoder-only" if evidence.has("rms_norm_eps", "n_embd", "n_head") else "encoder-only"
        return Recognition(BY_SHAPE, kind, "feature-extraction", f"{evidence.architectures[0]}: no head that writes")
    return None


def _is_dual_encoder(evidence: Evidence) -> bool:
    halves = (evidence.has("text_config") and evidence.has("vision_config")) or evidence.has("text_config_dict")
    return halves and evidence.ends("Model") and not evidence.speaks_of(*_GENERATING_HEADS)


plugin = Embedding()
