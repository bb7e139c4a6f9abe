"""Language models that write text from left to right: Llama, Mistral, Qwen, Gemma, GPT-2, Phi and their like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.families._base import Family

_NOT_ADAPTED = ("embed", "wte", "wpe", "lm_head", "norm", "ln_", "embed_out", "shared", "score", "rotary")


class Language(Family):
    name = "language"
    title = "Language models (decoder-only)"

    def recognises(self, config: dict[str, Any]) -> bool:
        if config.get("is_encoder_decoder") or "vision_config" in config or "audio_config" in config:
            return False
        architectures = config.get("architectures") or []
        return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)

    def linear_shapes(self, shapes: dict[str, list[int]]) -> list[tuple[int, int]]:
        return [
            (shape[0], shape[1])
            for name, shape in shapes.items()
            if name.endswith(".weight") and len(shape) == 2 and not any(part in name for part in _NOT_ADAPTED)
        ]

    def load(self, folder: Path, *, dtype: str, device: str) -> Any:
        import torch
        import transformers

        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, attn_implementation="sdpa"
        )
        return model.to(device).eval().requires_grad_(False)


plugin = Language()
