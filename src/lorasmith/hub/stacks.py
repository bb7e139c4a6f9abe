"""The transformer blocks of a model, from its configuration: a decoder, an encoder, both, a picture's encoder beside a text's."""

from __future__ import annotations

from collections.abc import Sequence
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
# Models whose attention transformers has in single steps only, and how often the weights are kept: LayoutLMv3 scales them down
# and up again, LiLT attends to words and places apart. Traced (tests/integration/test_trace.py).
_ATTENTION_COPIES = {"donut-swin": 1.0, "swinv2": 1.0, "trocr": 1.0, "layoutlmv3": 1.6, "lilt": 2.7}
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
        return _of_parts([stacks_of(part, names) for part in inner], is_pair=isinstance(config.get("decoder"), dict))
    if config.get("depths") and config.get("window_size") and config.get("embed_dim"):
        return _stages(config, names)
    if any(config.get(key) for key in _OTHER_KINDS):
        return []
    if config.get("decoder_layers") and (config.get("encoder_layers") or not config.get("is_encoder_decoder")):
        return _two_halves(config, names)
    if config.get("is_encoder_decoder") and config.get("d_kv"):
        drops = _drops(config, _HIDDEN_DROPOUTS)  # one rate for all that a T5 drops
        encoder = _stack(config, names).model_copy(update={"attention_dropout": drops})
        layers = number(config, "num_decoder_layers", default=encoder.layers)
        return [encoder, encoder.model_copy(update={"layers": layers, "across": 0})]
    stack = _stack(config, names)
    return [stack] if stack.hidden and stack.layers and stack.heads else []


def _of_parts(parts: list[list[Stack]], *, is_pair: bool) -> list[Stack]:
    """Empty where a part is of a kind not known here."""
    found = [stack for part in parts for stack in part] if all(parts) else []
    if found and is_pair and len(parts) == 2 and len(parts[1]) == 1:
        found[-1] = found[-1].model_copy(update={"across": found[-2].tokens})
    return found


def brought_to(stacks: Sequence[Stack], height: int, width: int) -> list[Stack]:
    """The stacks as they are where pictures of `height` × `width` pixels are read, whatever the configuration says."""
    found: list[Stack] = []
    for stack in stacks:
        changes: dict[str, Any] = {}
        if stack.pixels:
            times = height * width / (stack.pixels[0] * stack.pixels[1])
            changes = {"tokens": round(stack.tokens * times), "pixels": (height, width)}
        elif stack.across and found:
            changes = {"across": found[-1].tokens}
        found.append(stack.model_copy(update=changes))
    return found


def _stages(config: Config, names: frozenset[str]) -> list[Stack]:
    """Swin's: each half as long and as wide as the one before and twice as wide, its attention in windows."""
    stages: list[Stack] = []
    height, width = _sides(config.get("image_size"), config.get("patch_size"))
    window = number(config, "window_size", default=0)
    depths: Any = config["depths"]
    heads: Any = config.get("num_heads") or [1] * len(depths)
    for stage, layers in enumerate(depths):
        shape = {"hidden_size": config["embed_dim"] * 2**stage, "num_heads": heads[stage], "num_layers": layers}
        down, across = max(1, height >> stage), max(1, width >> stage)
        seen: dict[str, Any] = {"tokens": down * across, "window": min(window, down, across) ** 2}
        stages.append(_stack({**config, **shape}, names).model_copy(update=seen))
    return stages


def _two_halves(config: Config, names: frozenset[str]) -> list[Stack]:
    """BART's way to write two stacks in one configuration; a decoder alone where nothing is encoded."""
    halves: list[Stack] = []
    alone = config.get("is_encoder_decoder") is False or not config.get("encoder_layers")
    for half in ("encoder", "decoder")[alone:]:
        its = {
            "num_hidden_layers": config[f"{half}_layers"], "num_attention_heads": config.get(f"{half}_attention_heads"),
            "intermediate_size": config.get(f"{half}_ffn_dim"),
        }  # fmt: skip
        halves.append(_stack({**config, **its}, names))
    if alone:
        return [halves[0].model_copy(update={"across": 0} if config.get("add_cross_attention") else {})]
    heard = number(config, "max_source_positions", default=0) if config.get("num_mel_bins") else 0
    return [halves[0].model_copy(update={"tokens": heard}), halves[1].model_copy(update={"across": heard})]


def _stack(config: Config, names: frozenset[str]) -> Stack:
    hidden = number(config, *_HIDDEN, default=0)
    heads = number(config, *_HEADS, default=1)
    head = number(config, "head_dim", "d_kv", "kv_channels", default=hidden // max(1, heads))
    keys = 1 if config.get("multi_query") else number(config, "num_key_value_heads", "num_kv_heads", default=heads)
    has_gate = any("gate_proj" in name for name in names)
    activation = str(next((config[key] for key in _ACTIVATIONS if config.get(key)), "silu" if has_gate else "gelu"))
    gated = activation in _GATED or bool(config.get("is_gated_act")) or has_gate
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
        pixels=_pixels(config.get("image_size")) if _patches(config) else None,
        gated=gated and not config.get("image_size"),
        activation=activation,
        head_norms=any(name.endswith("q_norm.weight") for name in names),
        beside=_patches({"image_size": config.get("input_size"), "patch_size": config.get("patch_size")})
        if config.get("visual_embed", True)
        else 0,
        attention_copies=_ATTENTION_COPIES.get(str(config.get("model_type")), 0),
        hidden_dropout=_drops(config, _HIDDEN_DROPOUTS),
        attention_dropout=_drops(config, _ATTENTION_DROPOUTS),
    )


def _drops(config: Config, keys: tuple[str, ...]) -> bool:
    return any(isinstance(config.get(key), int | float) and config[key] > 0 for key in keys)


def _patches(config: Config) -> int:
    """Tokens of one picture with the one that stands for all of it; 0 for what reads no pictures."""
    down, across = _sides(config.get("image_size"), config.get("patch_size"))
    return down * across + 1 if down * across else 0


def _sides(image: Any, patch: Any) -> tuple[int, int]:
    """Patches down and across a picture; (0, 0) where its size is not known."""
    pixels = _pixels(image)
    return (pixels[0] // patch, pixels[1] // patch) if pixels and patch and isinstance(patch, int) else (0, 0)


def _pixels(image: Any) -> tuple[int, int] | None:
    sides = (image, image) if isinstance(image, int) else image
    return (sides[0], sides[1]) if isinstance(sides, list | tuple) else None
