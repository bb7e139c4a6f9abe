"""Recurrent language models: Mamba, Mamba-2, Falcon-Mamba, RWKV, xLSTM, and hybrids with attention: Jamba, Bamba, Zamba."""

from __future__ import annotations

import re
from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.families._base import BY_HEAD, ArchitectureType, Recognition
from lorasmith.families._calls import TextCall
from lorasmith.families._transformers import TransformersFamily

_STATE = re.compile(r"mamba_|ssm_|state_size$|time_step_rank$|lru_width$")
_ATTENTION = (
    "attn_layer_indices",
    "attn_layer_period",
    "attention_bias",
    "num_key_value_heads",
    "layers_block_type",
    "hybrid_override_pattern",
    "hybrid_layer_ids",
)
_WRITING_HEADS = ("ForCausalLM", "LMHeadModel")
_FUSED = ("out_proj.weight", "conv1d.weight")


class StateSpace(TransformersFamily):
    name = "state_space"
    title = "State-space and recurrent language models"
    runs = ("state-space", "rnn", "hybrid")
    call = TextCall
    processor_class = "AutoTokenizer"
    tasks = ("text-generation",)

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if evidence.architectures and not evidence.ends(*_WRITING_HEADS, "Model"):
            return None
        kind = _kind(evidence)
        if kind is None or evidence.has("vision_config", "audio_config"):
            return None
        return Recognition(BY_HEAD + 1, kind, "text-generation", "a state that is carried from token to token")

    def adapts(self, name: str, shape: list[int]) -> bool:
        """PEFT refuses the layers that the scan's fused kernel passes by."""
        return super().adapts(name, shape) and not name.endswith(_FUSED)

    def writes(self, model: Any) -> bool:
        return bool(model.can_generate())

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import TEXT, tokens, write

        return write(model, tokens(model, processor, TEXT))


def _kind(evidence: Evidence) -> ArchitectureType | None:
    keys = [key for key in evidence.config if _STATE.search(key) and evidence.config[key]]
    if keys:
        return "hybrid" if evidence.has(*_ATTENTION) else "state-space"
    if evidence.model_type.startswith(("rwkv", "xlstm")) or evidence.speaks_of("Rwkv", "RWKV"):
        return "rnn"
    return None


plugin = StateSpace()
