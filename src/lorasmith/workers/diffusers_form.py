"""An adapter for a pipeline that draws, as `load_lora_weights` of diffusers reads it: matrices under the names of their parts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from lorasmith.core.paths import read_json
from lorasmith.workers import plain

FILE = "pytorch_lora_weights.safetensors"
_INDEX = "model_index.json"
_PARTS = ("unet", "transformer")
_TOLD = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias")
"""What diffusers needs of PEFT's configuration (`lora_adapter_metadata` in the file's header)."""


def write_beside(pipeline: Path, adapter: Path) -> None:
    """Write it into the adapter's folder, unless the base is no such pipeline, or the adapter is more than LoRA."""
    if any(name in read_json(pipeline / _INDEX) for name in _PARTS):
        _write(adapter)


def write_like(before: Path, adapter: Path) -> None:
    """Write it for what was made of an adapter that has it; the base need not be there."""
    if (before / FILE).exists():
        _write(adapter)


def _write(adapter: Path) -> None:
    config, state = plain.read_config(adapter), load_file(adapter / plain.WEIGHTS)
    if config.get("peft_type") != "LORA" or any(".lora_" not in name for name in state):
        return
    named = {name.removeprefix(plain.INSIDE): side.contiguous() for name, side in state.items()}
    told: dict[str, Any] = {}
    for part in dict.fromkeys(name.partition(".")[0] for name in named):
        told |= {f"{part}.{name}": value for name, value in _told(f"{part}.", config, named).items()}
    header = json.dumps(told, sort_keys=True)
    save_file(named, adapter / FILE, metadata={"format": "pt", "lora_adapter_metadata": header})


def _told(part: str, config: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What the header says of one part, whose layers are called by their names within it."""
    told = {name: config[name] for name in _TOLD if name in config}
    layers = {name.partition(".lora_")[0] for name in names}
    for pattern in ("rank_pattern", "alpha_pattern"):
        known = {name: value for name, value in (config.get(pattern) or {}).items() if _is_of(part, name, layers)}
        told[pattern] = {name.removeprefix(part): value for name, value in known.items()}
    told["target_modules"] = sorted(name.removeprefix(part) for name in layers if name.startswith(part))
    return told


def _is_of(part: str, name: str, layers: Collection[str]) -> bool:
    """Whether what a pattern names lies in a part; it may be the end of a name."""
    return name.startswith(part) or any(layer.startswith(part) and layer.endswith(f".{name}") for layer in layers)
