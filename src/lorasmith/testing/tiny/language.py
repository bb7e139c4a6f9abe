"""Language models: decoders, and encoder-decoders of text. Data only."""

from __future__ import annotations

from typing import Any

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import DECODER, IDS, SEQ2SEQ
from lorasmith.testing.tiny.tokenizers import VOCABULARY

CHAT = Part("chat")
_MIXTURE = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_GEMMA = {"head_dim": 8, "sliding_window": 64, "query_pre_attn_scalar": 8}
_GPT2: dict[str, Any] = {
    **dict.fromkeys(DECODER.keys() - IDS.keys()), "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": 64,
}  # fmt: skip
_LATENT = {
    "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip


def _decoder(model_type: str, **differences: Any) -> Recipe:
    """A model that differs so from the small Llama-like shape."""
    return Recipe(model_type, "AutoModelForCausalLM", {**DECODER, **differences}, CHAT)


DECODERS: dict[str, Recipe] = {
    "llama": _decoder("llama"),
    "mistral": _decoder("mistral", sliding_window=64, head_dim=8),
    "mixtral": _decoder("mixtral", num_local_experts=4, num_experts_per_tok=2),
    "qwen2": _decoder("qwen2"),
    "qwen3": _decoder("qwen3", head_dim=8),
    "qwen3_moe": _decoder("qwen3_moe", num_experts=4, head_dim=8, **_MIXTURE),
    "gemma2": _decoder("gemma2", **_GEMMA),
    "gemma3": _decoder("gemma3_text", **_GEMMA),
    "phi": _decoder("phi"),
    "phi3": _decoder("phi3", original_max_position_embeddings=256),
    "gpt2": _decoder("gpt2", **_GPT2),
    "gpt_neox": _decoder("gpt_neox", num_key_value_heads=None),
    "gpt_oss": _decoder("gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=64),
    "deepseek_v2": _decoder("deepseek_v2", **_LATENT),
    "deepseek_v3": _decoder("deepseek_v3", **_LATENT),
    "olmo": _decoder("olmo"),
    "olmo2": _decoder("olmo2"),
    "falcon": _decoder(
        "falcon", num_kv_heads=2, new_decoder_architecture=True, num_key_value_heads=None, intermediate_size=None
    ),
    "granite": _decoder("granite"),
    "smollm3": _decoder("smollm3"),
}
_T5: Fields = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
}  # fmt: skip
MODELS: dict[str, Recipe] = {
    **DECODERS,
    "t5": Recipe("t5", "T5ForConditionalGeneration", _T5, Part("t5")),
    "bart": Recipe(
        "bart",
        "BartForConditionalGeneration",
        {**SEQ2SEQ, "vocab_size": VOCABULARY},
        Part("roberta", {"kind": "BartTokenizer"}),
    ),
}
