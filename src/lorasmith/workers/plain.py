"""Adapters that only their own training understands, as plain LoRA files for the untouched base, and back: PiSSA and OLoRA, which
change the base, and AdaLoRA, whose ranks differ. Every program that knows LoRA can then load, merge and serve them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import save_file

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
INSIDE = "base_model.model."
"""What a PeftModel puts before the names of the model in it."""
State = dict[str, torch.Tensor]


def read_config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CONFIG).read_text(encoding="utf-8"))


def change_config(folder: Path, **values: Any) -> None:
    text = json.dumps(read_config(folder) | values, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def write_difference(learnt: State, start: State, folder: Path) -> None:
    """What PiSSA or OLoRA has learnt since its start, as a LoRA of twice the rank: B·A - B₀·A₀ = [B | -B₀]·[A ; A₀].

    `folder` holds it as PEFT saved it.
    """
    plain = {
        name: torch.cat([weight, start[name]], dim=0) if "lora_A" in name
        else torch.cat([weight, -start[name]], dim=1) if "lora_B" in name
        else weight
        for name, weight in learnt.items()
    }  # fmt: skip
    _write(plain, folder)
    config = read_config(folder)
    more = 2**0.5 if config["use_rslora"] else 2  # the scaling stays: alpha/√r, or alpha/r
    change_config(folder, init_lora_weights=True, r=2 * config["r"], lora_alpha=more * config["lora_alpha"])


def learnt_half(state: State, rank: int) -> State:
    """Of what `write_difference` wrote the trained half; what has that rank already stays."""
    return {
        name: weight[:rank] if "lora_A" in name else weight[:, :rank] if "lora_B" in name else weight
        for name, weight in state.items()
    }


def write_allocated(model: Any, folder: Path, *, adapter: str) -> None:
    """AdaLoRA's triples as a LoRA as wide as the widest layer: B·(A·E·s), where s is its scaling over its rank."""
    layers = _triples(model, adapter)
    kept = {name: layer.lora_E[adapter].detach().flatten().nonzero().flatten() for name, layer in layers.items()}
    rank = max(1, *(len(places) for places in kept.values()))
    plain = {name: weight for name, weight in peft.get_peft_model_state_dict(model).items() if "lora_" not in name}
    for name, layer in layers.items():
        side_a = layer.lora_A[adapter].detach() * layer.lora_E[adapter].detach() * _scale(layer, adapter)
        side_b = layer.lora_B[adapter].detach()
        places = kept[name]
        plain[f"{name}.lora_A.weight"] = _padded(side_a[places], (rank, side_a.shape[1]))
        plain[f"{name}.lora_B.weight"] = _padded(side_b[:, places], (side_b.shape[0], rank))
    _write(plain, folder)
    old = model.peft_config[adapter]
    new = peft.LoraConfig(
        r=rank, lora_alpha=rank, lora_dropout=old.lora_dropout, target_modules=old.target_modules, bias="none",
        fan_in_fan_out=old.fan_in_fan_out, modules_to_save=old.modules_to_save, task_type=old.task_type,
    )  # fmt: skip
    new.inference_mode = True
    new.save_pretrained(folder)


def take_allocated(model: Any, saved: State, *, adapter: str) -> None:
    """Give AdaLoRA's layers what `write_allocated` wrote: the same answers, though the scaling is now part of A."""
    with torch.no_grad():
        for name, layer in _triples(model, adapter).items():
            side_a, side_b = saved[f"{name}.lora_A.weight"], saved[f"{name}.lora_B.weight"]
            scales = torch.zeros_like(layer.lora_E[adapter])
            scales[: len(side_a)][side_a.abs().sum(dim=1) > 0] = 1 / _scale(layer, adapter)
            layer.lora_E[adapter].copy_(scales)
            layer.lora_A[adapter].copy_(_padded(side_a, layer.lora_A[adapter].shape))
            layer.lora_B[adapter].copy_(_padded(side_b, layer.lora_B[adapter].shape))
    model.peft_config[adapter].rank_pattern = None
    others = {name: weight for name, weight in saved.items() if "lora_" not in name}
    peft.set_peft_model_state_dict(model, others)


def _triples(model: Any, adapter: str) -> dict[str, Any]:
    return {name: part for name, part in model.named_modules() if adapter in getattr(part, "lora_E", {})}


def _scale(layer: Any, adapter: str) -> float:
    return layer.scaling[adapter] / (float(layer.ranknum[adapter]) + 1e-5)  # as its forward divides


def _padded(weight: torch.Tensor, shape: Any) -> torch.Tensor:
    wide = weight.new_zeros(shape)
    wide[: weight.shape[0], : weight.shape[1]] = weight
    return wide


def _write(state: State, folder: Path) -> None:
    save_file(
        {name: weight.contiguous() for name, weight in state.items()}, folder / WEIGHTS, metadata={"format": "pt"}
    )
