"""Diffusion pipelines: Stable Diffusion, SDXL, SD3, FLUX and their like, and single components of one."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from lorasmith.core.errors import UsageProblem
from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families._base import BY_LAYOUT, Family, Recognition
from lorasmith.families._calls import Answer, DiffusionCall, Tell
from lorasmith.families._lessons import Lesson
from lorasmith.families._transformers import check_vocabulary, untrusted

# Part of the pipeline's class name → task; the first that fits.
_TASKS = {
    "Img2Img": "image-to-image", "ImageToImage": "image-to-image", "InstructPix2Pix": "image-to-image",
    "Kontext": "image-to-image", "Upscale": "image-to-image", "Inpaint": "image-to-image",
    "ImageToVideo": "image-to-video", "VideoDiffusion": "image-to-video",
    "Video": "text-to-video", "Wan": "text-to-video", "Mochi": "text-to-video", "LTX": "text-to-video",
    "Audio": "text-to-audio", "Music": "text-to-audio",
    "Depth": "depth-estimation", "Normals": "depth-estimation",
    "DDPM": "unconditional-image-generation", "DDIM": "unconditional-image-generation",
}  # fmt: skip
_INDEX = "model_index.json"
_FROZEN_PARTS = ("text_encoder", "vae", "vqvae", "safety_checker", "image_encoder", "movq")
_LATENT_SIDE = 32  # of what the denoiser sees; a Stable Diffusion draws 256 pixels then
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")  # of CLIP
_TEXT_ENCODERS = ("text_encoder.", "text_encoder_2.")


def _with_caption(sample: Sample) -> Sample:
    if not sample.text.strip():
        raise ValueError("the picture has no text; give one for all: --instance-prompt 'a photo of sks cat'")
    return sample


_DRAWING = Lesson(
    "text-to-image", ("image-text", "images"), "diffusion", "lorasmith.families._learning_drawing:Drawing",
    ("denoising_loss",),    checked=_with_caption, unit="rows", fixed_length=1,
)  # fmt: skip


class Diffusion(Family):
    name = "diffusion"
    title = "Diffusion pipelines"
    primary_library = "diffusers"
    tasks = (
        "text-to-image", "image-to-image", "text-to-video", "image-to-video", "text-to-audio",
        "unconditional-image-generation", "depth-estimation",
    )  # fmt: skip
    call = DiffusionCall
    usual_targets = _ATTENTION

    def recognise(self, evidence: Evidence) -> Recognition | None:
        kind = str(evidence.config.get("_class_name") or "")
        if not kind:
            return None
        if evidence.config_file != _INDEX:
            return Recognition(BY_LAYOUT, "diffusion", "component", f"one component of a pipeline: {kind}")
        task = next((task for part, task in _TASKS.items() if part in kind), "text-to-image")
        return Recognition(BY_LAYOUT, "diffusion", task, f"model_index.json names the pipeline {kind}")

    def adapts(self, name: str, shape: list[int]) -> bool:
        """The projections of attention in the part that removes the noise."""
        part = not name.startswith(_FROZEN_PARTS)
        return part and len(shape) == 2 and _is_layer(name, _ATTENTION)

    def adapts_texts(self, name: str, shape: list[int]) -> bool:
        """The projections of attention in CLIP's text encoders: diffusers reads adapters for no others."""
        return name.startswith(_TEXT_ENCODERS) and len(shape) == 2 and _is_layer(name, _TEXT_ATTENTION)

    def load(
        self, folder: Path, *, dtype: str, device: str, quantization: str = "none", trust_remote_code: bool = False,
        changes: ModelChanges | None = None,  # noqa: ARG002  nothing that is known here is changed about a pipeline
    ) -> Any:  # fmt: skip
        """The pipeline, or the one component that the folder holds."""
        import diffusers
        import torch

        library: Any = diffusers
        if quantization != "none":
            raise UsageProblem("Pipelines cannot be loaded quantized yet", fix="Leave --quantization out.")
        options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
        if not (folder / _INDEX).is_file():
            name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
            return getattr(library, name).from_pretrained(folder, **options).to(device).requires_grad_(False)
        if (own := _own_code(folder)) and not trust_remote_code:  # older versions of diffusers run it unasked
            raise untrusted(folder, own)
        pipeline = library.DiffusionPipeline.from_pretrained(folder, trust_remote_code=trust_remote_code, **options)
        for name, part in pipeline.components.items():
            if isinstance(part, torch.nn.Module):
                part.eval().requires_grad_(False)
            check_vocabulary(part, folder / name)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device)

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        return (_DRAWING,) if facts.task in ("text-to-image", "image-to-image") else ()

    def wearer(self, model: Any) -> Any:
        """The part that takes the noise away, and text encoders."""
        from lorasmith.families._worn import DENOISERS, Worn

        return Worn(model) if any(getattr(model, name, None) is not None for name in DENOISERS) else None

    def probe(self, model: Any, processor: Any) -> str:
        """Two steps of a small picture."""
        from lorasmith.families._probes import TEXT, checked, picture

        if not hasattr(model, "components"):
            return super().probe(model, processor)
        side = _LATENT_SIDE * int(getattr(model, "vae_scale_factor", 8))
        given = picture().resize((side, side))
        offers: dict[str, Any] = {
            "prompt": TEXT, "image": given, "mask_image": given.convert("L"), "height": side, "width": side, "num_frames": 9,
            "audio_length_in_s": 1.0, "strength": 1.0, "num_inference_steps": 2, "output_type": "np",
        }  # fmt: skip
        known = inspect.signature(type(model).__call__).parameters
        made = checked(next(iter(model(**{name: offers[name] for name in offers if name in known}).values())))
        size = f"a picture of {made.shape[2]} × {made.shape[1]} points" if made.ndim == 4 else f"{made.size} numbers"
        return f"made {size} in 2 steps"

    def answer(self, model: Any, processor: Any, call: Any, media: list[bytes], tell: Tell) -> Answer:  # noqa: ARG002
        """The pictures as PNG, each with its parameters inside."""
        from lorasmith.families._drawing import draw

        return draw(model, call, media, tell)


def _is_layer(weight: str, names: tuple[str, ...]) -> bool:
    return weight.endswith(tuple(f".{name}.weight" for name in names))


def _own_code(folder: Path) -> str:
    """The first class of the repository's own that its index names; empty without one."""
    index: dict[str, Any] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    for name, value in index.items():
        kind = value[0] if isinstance(value, list) else None
        if kind and (name == "_class_name" or (folder / name / f"{kind}.py").is_file()):
            return f"{kind}.py" if name == "_class_name" else f"{name}/{kind}.py"
    return ""


plugin = Diffusion()
