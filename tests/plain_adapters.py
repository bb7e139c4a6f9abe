"""Adapters as PEFT itself makes them, without a training: their matrices are random, so that they change what a model says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file


def plain_adapter(model: Path, target: Path, *, base: str = "", seed: int = 0, **options: Any) -> Path:
    """A LoRA adapter of the language model in a folder, by PEFT alone, in `target`."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    asked = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "down_proj"], **options}
    config = peft.LoraConfig(task_type="CAUSAL_LM", **asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT calls parts of transformers by their names of yesterday
        wrapped = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    wrapped.save_pretrained(target, save_embedding_layers=False)
    file = target / "adapter_config.json"
    file.write_text(file.read_text().replace(f'"{model}"', f'"{base or model}"'))
    return target


def changed(adapter: Path, change: Any) -> Path:
    """The adapter with other weights: `change` is given the tensors and gives them back."""
    file = adapter / "adapter_model.safetensors"
    save_file({name: weight.contiguous() for name, weight in change(load_file(file)).items()}, file)
    return adapter
