"""Pipelines that turn text into images, with their text encoders, tokenizers, VAE, UNet or transformer and scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.testing.tiny import tokenizers
from lorasmith.testing.tiny._recipe import NOTHING, Fields, Part
from lorasmith.testing.tiny.embedding import CLIP_TEXT
from lorasmith.testing.tiny.tokenizers import VOCABULARY


class Pipeline(NamedTuple):
    """One small pipeline. Components are classes of diffusers or transformers, or one of `tokenizers.KINDS`."""

    kind: str
    denoiser: str
    """The component that removes noise, which LoRA adapts."""
    components: Mapping[str, Part]
    settings: Fields = NOTHING

    def write(self, folder: Path, changes: Fields) -> None:
        """The whole repository. `changes` go to the configuration of the UNet or transformer."""
        import diffusers

        made: dict[str, Any] = {}
        for name, (kind, settings) in self.components.items():
            made[name] = _component(kind, {**settings, **changes} if name == self.denoiser else settings)
        getattr(diffusers, self.kind)(**made, **self.settings).save_pretrained(folder)


def _component(kind: str, settings: Fields) -> Any:
    """A component with random weights."""
    import diffusers
    import transformers

    if kind in tokenizers.KINDS:
        return tokenizers.make(kind, **settings)
    if hasattr(diffusers, kind):
        return getattr(diffusers, kind)(**settings)
    model: Any = getattr(transformers, kind)
    return model(model.config_class(**settings)).eval()


_TOKENIZER = Part("clip")
_CLIP = Part("CLIPTextModel", CLIP_TEXT)
_HALF: Fields = {**CLIP_TEXT, "hidden_size": 16, "projection_dim": 16}
_T5 = Part(
    "T5EncoderModel", {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
)
_FLOW = Part("FlowMatchEulerDiscreteScheduler", {"shift": 3.0})
_NOISE: Fields = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def _vae(channels: int, **settings: Any) -> Part:
    """Halves the sides of an image once."""
    fields = {
        "block_out_channels": [8, 16], "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": channels, "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 32,
    }  # fmt: skip
    return Part("AutoencoderKL", {**fields, **settings})


def _unet(**settings: Any) -> Part:
    fields = {
        "sample_size": 16, "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4,
        "attention_head_dim": 4, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    }  # fmt: skip
    return Part("UNet2DConditionModel", {**fields, **settings})


MODELS: dict[str, Pipeline] = {
    "stable_diffusion": Pipeline(
        "StableDiffusionPipeline",
        "unet",
        {
            "vae": _vae(4),
            "text_encoder": _CLIP,
            "tokenizer": _TOKENIZER,
            "unet": _unet(cross_attention_dim=32),
            "scheduler": Part("PNDMScheduler", {**_NOISE, "skip_prk_steps": True}),
        },
        {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    ),
    "stable_diffusion_xl": Pipeline(
        "StableDiffusionXLPipeline",
        "unet",
        {
            "vae": _vae(4, scaling_factor=0.13025),
            "text_encoder": _CLIP,
            "tokenizer": _TOKENIZER,
            "text_encoder_2": Part("CLIPTextModelWithProjection", CLIP_TEXT),
            "tokenizer_2": _TOKENIZER,
            "unet": _unet(
                cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=32 + 6 * 8, transformer_layers_per_block=[1, 2],
                use_linear_projection=True,
            ),
            "scheduler": Part("EulerDiscreteScheduler", {**_NOISE, "timestep_spacing": "leading"}),
        },
    ),
    "stable_diffusion_3": Pipeline(
        "StableDiffusion3Pipeline",
        "transformer",
        {
            "vae": _vae(4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5305),
            "text_encoder": Part("CLIPTextModelWithProjection", _HALF),
            "tokenizer": _TOKENIZER,
            "text_encoder_2": Part("CLIPTextModelWithProjection", _HALF),
            "tokenizer_2": _TOKENIZER,
            "text_encoder_3": _T5,
            "tokenizer_3": Part("t5"),
            "transformer": Part(
                "SD3Transformer2DModel",
                {
                    "sample_size": 16, "patch_size": 2, "in_channels": 4, "out_channels": 4, "num_layers": 2,
                    "attention_head_dim": 8, "num_attention_heads": 4, "caption_projection_dim": 32,
                    "joint_attention_dim": 32, "pooled_projection_dim": 32, "pos_embed_max_size": 16,
                },
            ),
            "scheduler": _FLOW,
        },
    ),
    "flux": Pipeline(
        "FluxPipeline",
        "transformer",
        {
            "vae": _vae(4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611),
            "text_encoder": _CLIP,
            "tokenizer": _TOKENIZER,
            "text_encoder_2": _T5,
            "tokenizer_2": Part("t5"),
            "transformer": Part(
                "FluxTransformer2DModel",
                {
                    "patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
                    "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32,
                    "guidance_embeds": True, "axes_dims_rope": [4, 4, 8],
                },
            ),
            "scheduler": _FLOW,
        },
    ),
}  # fmt: skip
