"""Images in, labels, boxes, masks or depth out: ViT, DINO, Swin, DETR, YOLOS, SAM, SegFormer, depth models."""

from __future__ import annotations

import json
from typing import Any, cast

from lorasmith.core.errors import DataProblem
from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families._base import (
    BY_HEAD,
    BY_SHAPE,
    BY_STRUCTURE,
    ArchitectureType,
    Recognition,
    task_by_head,
)
from lorasmith.families._calls import Answer, Call, Tell, VisionCall
from lorasmith.families._lessons import Lesson, Survey, classes
from lorasmith.families._transformers import TransformersFamily, takes

_HEADS = {
    "ForImageClassification": "image-classification",
    "ForVideoClassification": "video-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
    "ForInstanceSegmentation": "image-segmentation",
    "ForUniversalSegmentation": "image-segmentation",
    "ForImageSegmentation": "image-segmentation",
    "ForPanopticSegmentation": "image-segmentation",
    "ForSegmentation": "image-segmentation",
    "ForDepthEstimation": "depth-estimation",
    "ForKeypoint": "keypoint-detection",
    "ForPoseEstimation": "keypoint-detection",
    "ForMaskedImageModeling": "image-feature-extraction",
    "ForImageSuperResolution": "image-to-image",
    "ForImageMatting": "image-to-image",
    "ForNormalEstimation": "depth-estimation",
    "ForTableRecognition": "object-detection",
    "ForTextRecognition": "image-to-text",
    "TextRecognition": "image-to-text",
    "TextDetection": "object-detection",
    "ForCausalImageModeling": "image-feature-extraction",
    "Backbone": "image-feature-extraction",
}
_PIXEL_FIELDS = (
    "image_size",
    "num_channels",
    "patch_size",
    "backbone_config",
    "backbone",
    "embedding_size",
    "in_channels",
    "downsample_in_first_stage",
)
_WORD_FIELDS = ("type_vocab_size", "max_position_embeddings", "text_config")


_CLASSES = Lesson(
    "image-classification", ("labelled",), "vision", "lorasmith.families._learning_labels:PictureClasses", ("accuracy",),
    wanted=lambda sample: sample.label, changes=lambda survey: classes(survey, "AutoModelForImageClassification"),
    unit="rows", fixed_length=1,
)  # fmt: skip
_PIXELS = Lesson(
    "image-segmentation", ("masks",), "vision", "lorasmith.families._learning_pixels:PixelClasses", ("mean_iou",),
    wanted=lambda _: "{}", unit="pixels", fixed_length=1,
)  # fmt: skip


def _things(sample: Sample) -> str:
    """What is in a picture, in the form in which it is answered."""
    there = zip(sample.tags, sample.areas, strict=True)
    return json.dumps({"boxes": [{"label": tag, "box": [round(edge, 1) for edge in area]} for tag, area in there]})


def _kinds_of_things(survey: Survey) -> ModelChanges:
    """A new head for the classes of boxes: one is enough. Raises DataProblem where there is no box at all."""
    if not survey.labels:
        raise DataProblem("No picture has a box", why="There is nothing to be found.", fix="Add rows with boxes.")
    return classes(survey, "AutoModelForObjectDetection", least=1)


_BOXES = Lesson(
    "object-detection", ("objects", "coco"), "vision", "lorasmith.families._learning_boxes:Boxes", ("map",),
    wanted=_things, changes=_kinds_of_things, unit="rows", fixed_length=1,
)  # fmt: skip


class Vision(TransformersFamily):
    name = "vision"
    title = "Image understanding"
    tasks = (*dict.fromkeys(_HEADS.values()), "mask-generation", "zero-shot-object-detection")
    call = VisionCall

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if evidence.has("pretrained_cfg") and evidence.has("architecture"):
            return Recognition(BY_STRUCTURE, "encoder-only", "image-classification", "a timm model")
        if evidence.has("prompt_encoder_config") or (
            evidence.has("mask_decoder_config", "tracker_config") and evidence.has("vision_config", "detector_config")
        ):
            return Recognition(
                BY_STRUCTURE + 2, "encoder-decoder", "mask-generation", "an image encoder with a mask decoder"
            )
        task = task_by_head(evidence, _HEADS)
        if task:
            if evidence.has("text_config") and task == "object-detection":
                return Recognition(
                    BY_STRUCTURE + 2, "dual-encoder", "zero-shot-object-detection", "finds what words describe"
                )
            return Recognition(BY_STRUCTURE + 2, _kind(evidence), task, f"{evidence.architectures[0]}")
        if (
            evidence.has(*_PIXEL_FIELDS)
            and not evidence.has(*_WORD_FIELDS)
            and (evidence.ends("Model", "ForPreTraining", "Decoder") or not evidence.architectures)
        ):
            weight = BY_HEAD if evidence.architectures else BY_SHAPE
            return Recognition(weight, "encoder-only", "image-feature-extraction", "pixels go in and no words")
        return None

    def processor_kind(self, model: Any) -> str:
        asks = {"input_points", "input_ids", "task_inputs"} & set(takes(model))
        return "AutoProcessor" if asks else "AutoImageProcessor"

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        if facts.architecture.endswith("ForSemanticSegmentation"):
            return (_PIXELS,)
        if facts.task == "object-detection" and facts.architecture.endswith("ForObjectDetection"):
            return (_BOXES,)
        sees_one = (
            facts.task in ("image-classification", "image-feature-extraction")
            and facts.primary_library == "transformers"
        )
        return (_CLASSES,) if sees_one and not facts.architecture.endswith("Backbone") else ()

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import for_model, output_of, picture, seen

        asks = {"input_points": [[[20, 20]]], "input_ids": [["a red fox"]], "task_inputs": ["semantic"]}
        asked = {name.replace("input_ids", "text"): value for name, value in asks.items() if name in takes(model)}
        frames = getattr(model.config, "num_frames", 0)
        shown = [picture()] * frames if frames else picture()
        return seen(model, output_of(model, for_model(model, processor(shown, return_tensors="pt", **asked))))

    def answer(self, model: Any, processor: Any, call: Call, media: list[bytes], tell: Tell) -> Answer:
        from lorasmith.families._seeing import see

        return see(model, processor, cast("VisionCall", call), media, tell)


def _kind(evidence: Evidence) -> ArchitectureType:
    return (
        "encoder-decoder"
        if evidence.config.get("is_encoder_decoder") or evidence.has("decoder_layers")
        else "encoder-only"
    )


plugin = Vision()
