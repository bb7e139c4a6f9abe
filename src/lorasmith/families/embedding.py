"""Encoders that turn text (or images) into vectors: BERT and its like, sentence-transformers, CLIP, SigLIP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges
from lorasmith.families._base import BY_HEAD, BY_LAYOUT, BY_SHAPE, BY_STRUCTURE, Recognition
from lorasmith.families._calls import Answer, Call, EmbeddingCall, Tell
from lorasmith.families._lessons import Lesson, one_pair, text_lessons
from lorasmith.families._transformers import TransformersFamily, takes

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


_TEXTS = Lesson(
    "sentence-similarity", ("pairs", "preference", "prompt-completion", "question-answer"), "embedding",
    "lorasmith.families._learning_vectors:TextVectors", ("retrieval",), wanted=lambda sample: sample.messages[-1]["content"],
    checked=one_pair, unit="rows",
)  # fmt: skip
_PICTURES = Lesson(
    "zero-shot-image-classification", ("image-text",), "embedding", "lorasmith.families._learning_vectors:PictureVectors",
    ("retrieval",), unit="rows",
)  # fmt: skip


def _transformer(folder: Path) -> Path:
    """The folder of the first module of a sentence-transformers model."""
    return folder / json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]["path"]


class Embedding(TransformersFamily):
    name = "embedding"
    title = "Embedding models and encoders"
    tasks = (
        "feature-extraction",
        "sentence-similarity",
        "fill-mask",
        "zero-shot-image-classification",
        "visual-document-retrieval",
    )
    call = EmbeddingCall

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

    def load(self, folder: Path, **how: Any) -> Any:
        from lorasmith.families._sentences import load_sentences

        if (folder / "modules.json").is_file():
            changes: ModelChanges | None = how.pop("changes", None)
            if changes and changes.auto_class:
                return super().load(_transformer(folder), changes=changes, **how)
            return load_sentences(self, folder, {"quantization": "none", "trust_remote_code": False, **how})
        return super().load(folder, **how)

    def processor(
        self, folder: Path, model: Any, *, trust_remote_code: bool = False, changes: ModelChanges | None = None
    ) -> Any:
        """None for a model of sentence-transformers, which comes with its own."""
        if (folder / "modules.json").is_file():
            if not (changes and changes.auto_class):
                return None
            folder = _transformer(folder)
        return super().processor(folder, model, trust_remote_code=trust_remote_code, changes=changes)

    def processor_kind(self, model: Any) -> str:
        return "AutoProcessor" if "pixel_values" in takes(model) else "AutoTokenizer"

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        if facts.architecture_type == "dual-encoder":
            return (_PICTURES,)
        if facts.task == "visual-document-retrieval" or facts.architecture_type == "encoder-decoder":
            return ()
        heads = text_lessons() if facts.architecture_type == "encoder-only" else ()
        return (_TEXTS, *heads)

    def can(self, model: Any) -> dict[str, bool]:
        return {"images": "pixel_values" in takes(getattr(model, "model", model))}

    def wearer(self, model: Any) -> Any:
        return super().wearer(getattr(model, "model", model))

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import TEXT, checked, for_model, output_of, picture, tokens

        if processor is None:
            return f"made a vector of {checked(model.encode([TEXT])).shape[-1]} numbers"
        if "pixel_values" in takes(model):
            pair = processor(images=picture(), text=[TEXT], padding=True, return_tensors="pt")
            output = output_of(model, for_model(model, pair))
            if "logits_per_image" in output:
                return f"scored a picture and a text {output['logits_per_image'].item():.2f}"
            return "read a picture and a text"
        output = output_of(model, tokens(model, processor, TEXT))
        if "last_hidden_state" in output:
            return f"made a vector of {output['last_hidden_state'].shape[-1]} numbers"
        return f"guessed {output[0].shape[1]} tokens"

    def answer(self, model: Any, processor: Any, call: Call, media: list[bytes], tell: Tell) -> Answer:
        from lorasmith.families._vectors import embed

        return embed(model, processor, cast("EmbeddingCall", call), media, tell)


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
