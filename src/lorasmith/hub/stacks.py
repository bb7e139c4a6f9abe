"""The transformer blocks of a model, from its configuration: a decoder, an encoder, both, a picture's encoder beside a text's."""

from __future__ import annotations

from typing import Any

from lorasmith.core.evidence import Config
from lorasmith.core.facts import Stack
from lorasmith.hub.shape import EXPERT_COUNTS, EXPERTS_USED, number

_GATED = {"silu", "swish", "geglu", "swiglu"}
_TEXTS = ("text_config", "llm_config", "language_config", "thinker_config")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim", "embed_dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
_MIDDLE = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim")
_ACTIVATIONS = (
    "hidden_act",
    "activation_function",
    "hidden_activation",
    "activation",
    "dense_act_fn",
    "feed_forward_proj",
)
_HIDDEN_DROPOUTS = ("hidden_dropout_prob", "resid_pdrop", "dropout", "dropout_rate", "hidden_dropout")
_ATTENTION_DROPOUTS = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")
# Widths that grow from stage to stage, convolutions, scans: no row of like blocks.
_OTHER_KINDS = (
    "depths",
    "hidden_sizes",
    "state_size",
    "mamba_d_state",
    "linear_num_key_heads",
    "downsample_ratio",
    "block_types",
)


def stacks_of(config: Config, names: frozenset[str]) -> list[Stack]:
    """The stacks of a model with this configuration; `names` are those of its weights. Empty for kinds not known here."""
    inner = [
        config[key] for key in (*_TEXTS, "vision_config", "encoder", "decoder") if isinstance(config.get(key), dict)
    ]
    if inner and not number(config, *_HIDDEN, *_LAYERS, default=0):
        found = [stack for part in inner for stack in stacks_of(part, names)]
        is_pair = isinstance(config.get("decoder"), dict) and len(found) == 2
        if is_pair:
            found[1] = found[1].model_copy(update={"across": found[0].tokens})
        return found
    if any(config.get(key) for key in _OTHER_KINDS):
        return []
    if config.get("encoder_layers") and config.get("decoder_layers"):
        return _two_halves(config, names)
    if config.get("is_encoder_decoder") and config.get("d_kv"):
        drops = _drops(config, _HIDDEN_DROPOUTS)  # one rate for all that a T5 drops
        encoder = _stack(config, names).model_copy(update={"attention_dropout": drops})
        layers = number(config, "num_decoder_layers", default=encoder.layers)
        return [encoder, encoder.model_copy(update={"layers": layers, "across": 0})]
    stack = _stack(config, names)
    return [stack] if stack.hidden and stack.layers and stack.heads else []


def _two_halves(config: Config, names: frozenset[str]) -> list[Stack]:
    """BART's way to write two stacks in one configuration; a decoder alone where nothing is encoded."""
    halves: list[Stack] = []
    for half in ("encoder", "decoder"):
        its = {
            "num_hidden_layers": config[f"{half}_layers"], "num_attention_heads": config.get(f"{half}_attention_heads"),
            "intermediate_size": config.get(f"{half}_ffn_dim"),
        }  # fmt: skip
        halves.append(_stack({**config, **its}, names))
    heard = number(config, "max_source_positions", default=0) if config.get("num_mel_bins") else 0
    encoder = halves[0].model_copy(update={"tokens": heard})
    if config.get("is_encoder_decoder") is False:
        return [halves[1].model_copy(update={"across": 0} if config.get("add_cross_attention") else {})]
    return [encoder, halves[1].model_copy(update={"across": heard})]


def _stack(config: Config, names: frozenset[str]) -> Stack:
    hidden = number(config, *_HIDDEN, default=0)
    heads = number(config, *_HEADS, default=1)
    head = number(config, "head_dim", "d_kv", "kv_channels", default=hidden // max(1, heads))
    keys = 1 if config.get("multi_query") else number(config, "num_key_value_heads", "num_kv_heads", default=heads)
    activation = str(next((config[key] for key in _ACTIVATIONS if config.get(key)), "gelu"))
    gated = activation in _GATED or bool(config.get("is_gated_act")) or any("gate_proj" in name for name in names)
    ratio = config.get("mlp_ratio")
    grown = round(float(ratio) * hidden) if isinstance(ratio, int | float) else 4 * hidden
    used = number(config, *EXPERTS_USED, default=0) if number(config, *EXPERT_COUNTS, default=0) else 0
    middle = number(config, *_MIDDLE, default=grown)
    if used:  # of a mixture those experts that a token meets, side by side
        middle = used * number(config, "moe_intermediate_size", default=middle)
    return Stack(
        layers=number(config, *_LAYERS, default=0),
        hidden=hidden,
        middle=middle,
        queries=heads * head,
        keys=keys * head,
        heads=heads,
        tokens=_patches(config),
        gated=gated and not config.get("image_size"),
        activation=activation,
        head_norms=any(name.endswith("q_norm.weight") for name in names),
        hidden_dropout=_drops(config, _HIDDEN_DROPOUTS),
        attention_dropout=_drops(config, _ATTENTION_DROPOUTS),
    )


def _drops(config: Config, keys: tuple[str, ...]) -> bool:
    return any(isinstance(config.get(key), int | float) and config[key] > 0 for key in keys)


def _patches(config: Config) -> int:
    """Tokens of one picture with the one that stands for all of it; 0 for what reads no pictures."""
    size: Any = config.get("image_size")
    patch: Any = config.get("patch_size")
    sides = (size, size) if isinstance(size, int) else size
    if not patch or not isinstance(sides, list | tuple) or not isinstance(patch, int):
        return 0
    return (sides[0] // patch) * (sides[1] // patch) + 1
