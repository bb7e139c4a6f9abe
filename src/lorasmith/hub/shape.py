"""What a model keeps while it answers, layer by layer, from its configuration: keys and values, windows, states."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lorasmith.core.evidence import Config
from lorasmith.core.facts import CacheGroup

Shape = tuple[int, int, int]  # elements a token, window, elements of a constant state

_STATE_WORDS = ("mamba", "mamba2", "linear_attention", "conv", "recurrent", "m", "s", "rnn")

EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")


def cache_groups(config: Config) -> list[CacheGroup]:
    """The layers of a decoder, those of one shape together. `config` is the part that writes."""
    layers = number(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", default=0)
    attention = (_per_token(config), 0, 0)
    sliding = (
        attention[0],
        number(config, "sliding_window", "attention_window_size", "attention_chunk_size", default=0),
        0,
    )
    state = (0, 0, _state(config))
    kinds = _kinds(config, layers)
    shapes: Counter[Shape] = Counter()
    for kind in kinds:
        if kind == "both":
            shapes[attention[0], 0, state[2]] += 1
        elif kind == "none":
            continue
        else:
            shapes[state if kind == "state" else sliding if kind == "sliding" else attention] += 1
    return [
        CacheGroup(count=count, per_token=one, window=window, state=kept)
        for (one, window, kept), count in shapes.items()
    ]


def _per_token(config: Config) -> int:
    """Elements of keys and values that one layer keeps for one token."""
    latent = number(config, "kv_lora_rank", default=0)
    if latent:  # what transformers 5 keeps of latent attention
        return latent + number(config, "qk_rope_head_dim", default=0)
    heads = number(
        config, "num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", default=0
    )
    hidden = number(config, "hidden_size", "n_embd", "d_model", "dim", default=0)
    kv_heads = number(
        config, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", default=heads
    )
    if config.get("new_decoder_architecture"):  # Falcon hands each query its own copy, and keeps these
        kv_heads = heads
    elif config.get("multi_query"):
        kv_heads = 1
    head = number(config, "head_dim", "d_kv", "kv_channels", default=hidden // heads if heads else 0)
    return kv_heads * (head + number(config, "v_head_dim", default=head))


def _state(config: Config) -> int:
    """Elements of the state that one recurrent layer keeps, whatever the context: scan state and convolution's window."""
    hidden = number(config, "hidden_size", "n_embd", "d_model", "dim", default=0)
    if config.get("linear_num_value_heads"):  # gated delta net: a matrix for each head
        keys = number(config, "linear_key_head_dim", default=0)
        values = number(config, "linear_value_head_dim", default=0)
        value_heads, key_heads = (
            number(config, "linear_num_value_heads", default=0),
            number(config, "linear_num_key_heads", default=0),
        )
        mixed = 2 * key_heads * keys + value_heads * values
        return value_heads * keys * values + mixed * number(config, "linear_conv_kernel_dim", default=4)
    if config.get("conv_L_cache"):
        return hidden * number(config, "conv_L_cache", default=3)
    if config.get("lru_width"):
        return number(config, "lru_width", default=hidden) * (1 + number(config, "conv1d_width", default=4) - 1)
    size = number(config, "mamba_d_state", "ssm_state_size", "state_size", "d_state", default=0)
    if not size:  # RWKV keeps five vectors a layer
        return 5 * hidden
    expand = number(config, "mamba_expand", "expand", default=2)
    heads = number(config, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads", default=0)
    head = number(config, "mamba_d_head", "mamba_head_dim", "head_dim", default=0)
    inner = number(config, "mamba_d_ssm", "intermediate_size" if "time_step_rank" in config else "", default=0) or (
        heads * head if heads and head else expand * hidden
    )
    groups = number(config, "mamba_n_groups", "n_groups", "mamba_ngroups", default=0)
    kernel = number(config, "mamba_d_conv", "conv_kernel", "ssm_conv_kernel", default=4)
    return inner * size + (inner + 2 * groups * size) * kernel


def _kinds(config: Config, layers: int) -> list[str]:
    """For each layer: attention, sliding, state, both or none."""
    if pattern := config.get("hybrid_override_pattern"):
        return [{"M": "state", "*": "attention"}.get(sign, "none") for sign in str(pattern)]
    for key in ("layer_types", "layers_block_type", "block_types"):
        named = config.get(key)
        if isinstance(named, list) and named:
            several = [named[index % len(named)] for index in range(layers or len(named))]
            return [_kind_of(str(word)) for word in several]
    if indices := config.get("attn_layer_indices"):
        return ["attention" if layer in indices else "state" for layer in range(layers)]
    if period := config.get("attn_layer_period"):
        offset = config.get("attn_layer_offset", 0)
        return ["attention" if layer % period == offset else "state" for layer in range(layers)]
    return _all_alike(config, layers) or _windows(config, layers)


def _all_alike(config: Config, layers: int) -> list[str]:
    """Layers of models that have one kind only; empty where there may be several."""
    if config.get("mamba_d_ssm"):
        return ["both"] * layers
    recurrent = any(config.get(key) for key in ("state_size", "time_step_rank", "rescale_every"))
    return ["state"] * layers if recurrent else []


def _kind_of(word: str) -> str:
    if word == "hybrid":
        return "both"
    if word in _STATE_WORDS:
        return "state"
    return "sliding" if word.startswith(("sliding", "chunked", "local")) else "attention"


def _windows(config: Config, layers: int) -> list[str]:
    """Sliding windows of configurations that list no layer types."""
    window: Any = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return ["attention"] * layers
    kind = str(config.get("model_type", ""))
    pattern = config.get("sliding_window_pattern") or {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "gpt_oss": 2}.get(
        kind
    )
    if isinstance(pattern, int):
        return ["sliding" if (layer + 1) % pattern else "attention" for layer in range(layers)]
    full = number(config, "max_window_layers", default=0) if config.get("use_sliding_window") else 0
    return ["attention" if layer < full else "sliding" for layer in range(layers)]


def number(config: Config, *keys: str, default: int) -> int:
    """The first of these keys that holds a whole number; the largest where it holds one for each layer."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, list) and value and all(type(item) is int for item in value):
            return max(value)
        if type(value) is int:
            return value
    return default


def max_positions(config: Config) -> int:
    """Tokens that the model reads, rope scaling included."""
    plain = number(
        config,
        "max_position_embeddings",
        "n_positions",
        "max_target_positions",
        "max_seq_len",
        "seq_length",
        "n_ctx",
        default=2048,
    )
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) in ("linear", "dynamic", "yarn"):
        factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
        # Most models write the stretched length; those that write the original one are to be stretched.
        if isinstance(factor, int | float) and original in (None, plain):
            return round(factor * plain)
    return plain
