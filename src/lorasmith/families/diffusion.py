"""Diffusion pipelines: Stable Diffusion, SDXL, SD3, FLUX and their like, and single components of one."""

from __future__ import annotations

from lorasmith.core.evidence import Evidence
from lorasmith.families._base import BY_LAYOUT, Family, Recognition

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
_FROZEN_PARTS = ("text_encoder", "vae", "vqvae", "safety_checker", "image_encoder", "movq")
_ATTENTION = tuple(f".to_{part}.weight" for part in ("q", "k", "v", "out.0"))


class Diffusion(Family):
    name = "diffusion"
    title = "Diffusion pipelines"
    primary_library = "diffusers"
    tasks = (
        "text-to-image", "image-to-image", "text-to-video", "image-to-video", "text-to-audio",
        "unconditional-image-generation", "depth-estimation",
    )  # fmt: skip

    def recognise(self, evidence: Evidence) -> Recognition | None:
        kind = str(evidence.config.get("_class_name") or "")
        if not kind:
            return None
        if evidence.config_file != "model_index.json":
            return Recognition(BY_LAYOUT, "diffusion", "component", f"one component of a pipeline: {kind}")
        task = next((task for part, task in _TASKS.items() if part in kind), "text-to-image")
        return Recognition(BY_LAYOUT, "diffusion", task, f"model_index.json names the pipeline {kind}")

    def adapts(self, name: str, shape: list[int]) -> bool:
        """The projections of attention in the part that removes the noise."""
        part = not name.startswith(_FROZEN_PARTS)
        return part and len(shape) == 2 and name.endswith(_ATTENTION)


plugin = Diffusion()
