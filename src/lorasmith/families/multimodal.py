"""Text about images (and video, sound): LLaVA, Qwen-VL, SmolVLM, PaliGemma, InternVL, Gemma 3, Florence and their like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import Sample
from lorasmith.families._base import BY_STRUCTURE, ArchitectureType, Recognition
from lorasmith.families._calls import VisualTextCall
from lorasmith.families._lessons import Lesson
from lorasmith.families._transformers import TransformersFamily

_EYES = (
    "vision_config", "vision_tower", "mm_vision_tower", "visual", "img_processor", "vision_encoder", "vit_config", "vq_config",
    "qformer_config", "vision_model_config", "mm_config", "vision_tower_config", "image_token_id",
    "image_token_index", "thinker_config", "vlm_config",
)  # fmt: skip
_WRITING_HEADS = (
    "ForConditionalGeneration", "ForCausalLM", "LMHeadModel", "ForImageTextToText", "ForQuestionAnswering",
    "ForImageTextRetrieval",
    "ForMultimodalLM", "VisionEncoderDecoderModel", "ForVision2Seq", "Text2Text",
)  # fmt: skip

_SILENT_HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForImageClassification",
)


_DESCRIBE = "Describe the picture."
"""What is asked where a picture has a text and no question."""


def _as_chat(sample: Sample) -> Sample:
    if sample.messages:
        return sample
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": _DESCRIBE}, {"role": "assistant", "content": sample.text}
    ]  # fmt: skip
    return replace(sample, messages=turns, text="")


_CHATS = Lesson(
    "image-text-to-text", ("openai", "sharegpt", "image-text", "alpaca", "prompt-completion", "question-answer"), "multimodal",
    "lorasmith.families._learning_chats:VisualChats", ("exact_match", "chrf", "rouge"),
    wanted=lambda sample: sample.messages[-1]["content"], written=lambda sample: sample.messages[-1]["content"],
    checked=_as_chat,
)  # fmt: skip


class Multimodal(TransformersFamily):
    name = "multimodal"
    title = "Vision-language models"
    call = VisualTextCall
    tasks = (
        "image-text-to-text", "image-to-text", "visual-question-answering", "video-text-to-text", "any-to-any",
        "visual-document-retrieval", "robotics",
    )  # fmt: skip

    def recognise(self, evidence: Evidence) -> Recognition | None:
        sees = evidence.has(*_EYES) or _takes_patches(evidence)
        if evidence.has("encoder") and evidence.has("decoder") and evidence.part("encoder").get("image_size"):
            return Recognition(BY_STRUCTURE, "encoder-decoder", "image-to-text", "an image encoder with a text decoder")
        if not sees:
            return None
        writes = evidence.speaks_of(*_WRITING_HEADS)
        halves = evidence.has("text_config", "llm_config", "language_config") and evidence.has("vision_config")
        if not writes and not (halves and (evidence.has("auto_map") or not evidence.ends(*_SILENT_HEADS))):
            return None
        task = "any-to-any" if evidence.has("thinker_config", "vlm_config", "vq_config") else "image-text-to-text"
        return Recognition(BY_STRUCTURE, _kind(evidence), task, "an image encoder before a language model")

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        return (_CHATS,) if facts.architecture_type == "decoder-only" and facts.task != "any-to-any" else ()

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import about_a_picture, write

        return f"read a question about a picture and {write(model, about_a_picture(model, processor))}"

    def writes(self, model: Any) -> bool:
        return bool(model.can_generate())

    def inputs(
        self,
        model: Any,
        processor: Any,
        messages: list[dict[str, Any]],
        images: list[bytes],
        template_options: dict[str, Any],
    ) -> dict[str, Any]:
        """What `model.generate` takes for a conversation about picture files: input_ids of shape (1, tokens), pixel_values …

        A content is a text, or parts {"type": "text", "text": …} and {"type": "image"}, which stand for `images` in their order;
        pictures without a part go before the last user's text. `template_options` are switches of the chat template.
        Raises UsageProblem for a conversation that the model does not take, DataProblem for a picture that cannot be read.
        """
        from lorasmith.families._conversations import visual_inputs
        from lorasmith.families._pictures import pictures_of

        return visual_inputs(model, processor, messages, pictures_of(images), template_options)


def _takes_patches(evidence: Evidence) -> bool:
    """Patches go straight into the model that reads the words: Fuyu, ViLT."""
    return evidence.has("patch_size") and evidence.has("text_config", "vocab_size")


def _kind(evidence: Evidence) -> ArchitectureType:
    text = evidence.part("text_config", "llm_config", "language_config")
    both = (
        evidence.config.get("is_encoder_decoder")
        or text.get("is_encoder_decoder")
        or text.get("model_type") in ("t5", "bart", "florence2_language")
    )
    return "encoder-decoder" if both else "decoder-only"


plugin = Multimodal()
