"""An adapter for a pipeline that draws, as `load_lora_weights` of diffusers reads it: matrices under the names of their parts."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
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
    part = next((name for name in _PARTS if name in read_json(pipeline / _INDEX)), None)
    if part is not None:
        _write(part, adapter)


def write_like(before: Path, adapter: Path) -> None:
    """Write it for what was made of an adapter that has it; the base need not be there."""
    if (before / FILE).exists():
        with safe_open(before / FILE, framework="pt") as opened:
            part = next(iter(opened.keys())).partition(".")[0]
        _write(part, adapter)


def _write(part: str, adapter: Path) -> None:
    config, state = plain.read_config(adapter), load_file(adapter / plain.WEIGHTS)
    if config.get("peft_type") != "LORA" or any(".lora_" not in name for name in state):
        return
    inner = {name.removeprefix(plain.INSIDE): side for name, side in state.items()}
    told = {name: config[name] for name in _TOLD if name in config}
    told["target_modules"] = sorted({name.partition(".lora_")[0] for name in inner})
    header = json.dumps({f"{part}.{name}": value for name, value in told.items()}, sort_keys=True)
    named = {f"{part}.{name}": side.contiguous() for name, side in inner.items()}
    save_file(named, adapter / FILE, metadata={"format": "pt", "lora_adapter_metadata": header})
