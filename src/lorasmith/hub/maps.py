"""The feature maps of a diffusion pipeline, from its components' configurations: how much of them is held at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorasmith.core.evidence import Config
from lorasmith.hub.shape import number

_ATTENDED = 25  # rows of a transformer block's width that it keeps for each pixel


def widest_maps(documents: Mapping[str, Config]) -> int:
    """Elements that a diffusion pipeline holds at once for one picture of its own size, in the part that holds most.

    A UNet of the kind of Stable Diffusion's keeps a map for each layer on its way down, and ten of the first width while it works
    at full size (oneDNN's copies in a layout of its own among them; fitted to one measured pipeline), all twice for guidance.
    The decoder widens the picture and holds three maps of the second width and one of the first at full size. 0 without either.
    """
    unet, decoder = documents.get("unet/config.json", {}), documents.get("vae/config.json", {})
    denoiser = unet or documents.get("transformer/config.json", {})
    side = number(denoiser, "sample_size", default=0)
    widths, wide = _whole(unet.get("block_out_channels")), _whole(decoder.get("block_out_channels"))
    held = 0
    if side and widths:
        layers = number(unet, "layers_per_block", default=2) + 1
        down = sum(layers * width * (side >> level) ** 2 for level, width in enumerate(widths))
        held = 2 * (down + 10 * widths[0] * side**2)
    if side and wide:
        full = side << (len(wide) - 1)
        held = max(held, (3 * wide[min(1, len(wide) - 1)] + wide[0]) * full**2)
    return held


def kept_maps(documents: Mapping[str, Config]) -> int:
    """Elements that a UNet keeps for the backward pass of one picture of its own size, LoRA at its attention's projections.

    What comes before the first adapter needs no gradient and keeps nothing. A residual block keeps what its norms, activations
    and convolutions read; a transformer block its norms' and projections' rows, queries, keys, values, and the widened row
    thrice. Counted with a tracer on a UNet of two levels. 0 for what is no UNet.
    """
    unet = documents.get("unet/config.json", {})
    side, widths = number(unet, "sample_size", default=0), _whole(unet.get("block_out_channels"))
    if not side or not widths:
        return 0
    levels = len(widths)
    attends = ["Attn" in str(kind) for kind in unet.get("down_block_types") or [""] * levels]
    layers = _each(unet.get("layers_per_block", 2), levels)
    depths = _each(unet.get("transformer_layers_per_block", 1), levels)
    kept, meets_adapter = 0, False
    coming = widths[0]
    for level, width in enumerate(widths):
        pixels = (side >> level) ** 2
        for _ in range(layers[level]):
            kept += _residual(coming, width) * pixels if meets_adapter else 0
            kept += _ATTENDED * depths[level] * width * pixels if attends[level] else 0
            meets_adapter, coming = meets_adapter or attends[level], width
    pixels = (side >> (levels - 1)) ** 2
    kept += (2 * _residual(coming, coming) + _ATTENDED * depths[-1] * coming) * pixels  # the middle
    for level in reversed(range(levels)):
        width, pixels = widths[level], (side >> level) ** 2
        for layer in range(layers[level] + 1):  # each is handed a map from the way down
            handed = width if layer < layers[level] else widths[max(0, level - 1)]
            kept += _residual(coming + handed, width) * pixels
            kept += _ATTENDED * depths[level] * width * pixels if attends[level] else 0
            coming = width
    return kept


def _residual(coming: int, going: int) -> int:
    return 3 * coming + 4 * going


def _each(value: Any, count: int) -> list[int]:
    return (
        _whole(value)
        if isinstance(value, list) and len(value) == count
        else [value if isinstance(value, int) else 1] * count
    )


def _whole(value: Any) -> list[int]:
    return [one for one in value if isinstance(one, int)] if isinstance(value, list) else []
