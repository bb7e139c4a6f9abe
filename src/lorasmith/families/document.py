"""Document AI: Donut and Nougat (page to text), TrOCR (line to text), LayoutLM and LiLT (labelled words)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families import _tagged
from lorasmith.families._base import BY_STRUCTURE, Recognition
from lorasmith.families._calls import Answer, Call, DocumentCall, Tell
from lorasmith.families._lessons import Lesson, Survey, classes
from lorasmith.families._transformers import TransformersFamily, takes

_PAGE_ENCODERS = {"donut-swin", "swin"}
_DETECTRON = {"layoutlmv2", "layoutxlm"}
"""They look at the page by detectron2, which is not to be had here."""
_SPECIAL = 4  # tokens that begin and end a page, and RoBERTa's positions that stand for nothing
_START = "<s_answer>"
_LAYOUT_FIELDS = ("max_2d_position_embeddings", "dim_bbox", "bbox_scale")


def _page_changes(survey: Survey) -> ModelChanges:
    return ModelChanges(
        tokens=(_START, *_tagged.tags_for(survey.keys)), start=_START, lists=tuple(sorted(survey.lists))
    )


def _checked_page(sample: Sample) -> Sample:
    _tagged.to_tags(sample.target)
    return sample


def _fields_of(sample: Sample) -> str:
    return json.dumps(_tagged.as_read(sample.target), ensure_ascii=False)


def _word_changes(survey: Survey) -> ModelChanges:
    return classes(survey, "AutoModelForTokenClassification", bio=True)


_FIELDS = Lesson(
    "image-to-text", ("donut",), "document", "lorasmith.families._learning_pages:TaggedPages", ("field_f1", "json_tree", "anls"),
    wanted=_fields_of, written=lambda sample: _tagged.to_tags(sample.target), checked=_checked_page, changes=_page_changes,
)  # fmt: skip
_LINES = Lesson(
    "image-to-text",
    ("image-text",),
    "document",
    "lorasmith.families._learning_pages:Pages",
    ("cer", "wer", "exact_match"),
)
_WORDS = Lesson(
    "token-classification", ("layout",), "document", "lorasmith.families._learning_labels:PageClasses", ("seqeval",),
    wanted=lambda sample: " ".join(sample.tags), changes=_word_changes, unit="words",
)  # fmt: skip


class Document(TransformersFamily):
    name = "document"
    title = "Document AI"
    tasks = ("image-to-text", "token-classification", "document-question-answering", "image-text-to-text")
    call = DocumentCall

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if _is_page_reader(evidence):
            return Recognition(
                BY_STRUCTURE + 2, "encoder-decoder", "image-to-text", "a Swin page encoder with a text decoder"
            )
        if _is_line_reader(evidence):
            return Recognition(
                BY_STRUCTURE + 2,
                "encoder-decoder",
                "image-to-text",
                "an image encoder with TrOCR's decoder or processor",
            )
        if evidence.has(*_LAYOUT_FIELDS):
            if evidence.config.get("is_encoder_decoder"):
                return Recognition(
                    BY_STRUCTURE + 2,
                    "encoder-decoder",
                    "document-question-answering",
                    "word boxes go in, text comes out",
                )
            task = "document-question-answering" if evidence.ends("ForQuestionAnswering") else "token-classification"
            return Recognition(BY_STRUCTURE + 2, "encoder-only", task, "word boxes are part of the input")
        return None

    def processor_kind(self, model: Any) -> str:
        return "AutoProcessor" if "pixel_values" in takes(model) else "AutoTokenizer"

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        if facts.architecture_type == "encoder-decoder":
            if facts.task != "image-to-text":
                return ()
            is_page = bool(_PAGE_ENCODERS & {facts.model_type, *facts.part_types})
            return (_FIELDS, _LINES) if is_page else (_LINES,)
        if facts.model_type in _DETECTRON:
            return ()
        room = max(8, facts.max_positions - _SPECIAL)
        return (replace(_WORDS, words_per_row=room),)

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import for_model, label, output_of, picture, words_in_boxes, write

        if "bbox" not in takes(model):
            read = processor.image_processor(picture(), return_tensors="pt")
            return f"read a page and {write(model, for_model(model, read))}"
        words = words_in_boxes(model, processor)
        if model.can_generate():
            return f"read a page and {write(model, words)}"
        return f"labelled a word of a page {label(model, output_of(model, words)[0])}"

    def answer(self, model: Any, processor: Any, call: Call, media: list[bytes], tell: Tell) -> Answer:
        from lorasmith.families._reading import read_document

        return read_document(model, processor, cast("DocumentCall", call), media, tell)


def _halves(evidence: Evidence) -> tuple[str, str]:
    """Types of encoder and decoder of a VisionEncoderDecoder."""
    return str(evidence.part("encoder").get("model_type", "")), str(evidence.part("decoder").get("model_type", ""))


def _is_page_reader(evidence: Evidence) -> bool:
    encoder, decoder = _halves(evidence)
    return encoder in ("donut-swin", "swin") and decoder in ("mbart", "bart")


def _is_line_reader(evidence: Evidence) -> bool:
    encoder, decoder = _halves(evidence)
    if not encoder or (evidence.part("encoder").get("vocab_size") and not evidence.part("encoder").get("image_size")):
        return False
    return decoder == "trocr" or "TrOCR" in evidence.processor or evidence.speaks_of("TrOCR")


plugin = Document()
