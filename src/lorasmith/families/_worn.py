"""The parts of a diffusion pipeline that adapters are put on, as one module. Worker plane only.

Their names are those of the pipeline's folders, so that an adapter's weights are called as diffusers calls them in its own files:
`unet.down_blocks.0…`, `text_encoder.encoder.layers.0…`.
"""

from __future__ import annotations

from typing import Any

import torch

DENOISERS = ("unet", "transformer")
_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


class Worn(torch.nn.Module):
    """The part that takes the noise away, and beside it the text encoders that diffusers reads adapters for: CLIP's. It is called
    as the denoiser is."""

    def __init__(self, pipeline: Any):
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        super().__init__()
        self.main = next(name for name in DENOISERS if getattr(pipeline, name, None) is not None)
        """The denoiser's name: what `all-linear` and `attention` mean lies in it."""
        self.add_module(self.main, getattr(pipeline, self.main))
        for name in _TEXT_ENCODERS:
            part = getattr(pipeline, name, None)
            if isinstance(part, CLIPTextModel | CLIPTextModelWithProjection):
                self.add_module(name, part)
        self.training = self.get_submodule(self.main).training

    @property
    def config(self) -> Any:
        """The denoiser's."""
        return self.get_submodule(self.main).config

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.get_submodule(self.main)(*given, **named)

    def gradient_checkpointing_enable(self, _: dict[str, Any]) -> None:
        """Compute the denoiser's activations twice. The text encoders' are few."""
        denoiser: Any = self.get_submodule(self.main)
        denoiser.enable_gradient_checkpointing()


def has_adapters(part: torch.nn.Module) -> bool:
    """Whether adapters lie on it."""
    return any(".lora_" in name for name, _ in part.named_parameters())
