"""Language models that carry a state, alone or between layers of attention. Data only."""

from __future__ import annotations

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import DECODER, IDS

_CHAT = Part("chat")
_STATE: Fields = {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
_HYBRID: Fields = {**DECODER, "mamba_d_state": 8}
MODELS: dict[str, Recipe] = {
    "mamba": Recipe("mamba", "MambaForCausalLM", {**_STATE, "time_step_rank": 4}, _CHAT),
    "mamba2": Recipe(
        "mamba2", "Mamba2ForCausalLM", {**_STATE, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16}, _CHAT
    ),
    "falcon_mamba": Recipe("falcon_mamba", "FalconMambaForCausalLM", {**_STATE, "time_step_rank": 4}, _CHAT),
    "jamba": Recipe(
        "jamba",
        "JambaForCausalLM",
        {
            **_HYBRID, "mamba_dt_rank": 4, "num_experts": 4, "expert_layer_period": 2, "attn_layer_period": 2,
            "attn_layer_offset": 1, "use_mamba_kernels": False,
        },
        _CHAT,
    ),
    "bamba": Recipe(
        "bamba",
        "BambaForCausalLM",
        {**_HYBRID, "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_chunk_size": 16},
        _CHAT,
    ),
    "rwkv": Recipe(
        "rwkv",
        "RwkvForCausalLM",
        {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "context_length": 256},
        _CHAT,
    ),
}  # fmt: skip
