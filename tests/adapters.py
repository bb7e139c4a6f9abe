"""LoRA adapters with random weights that change what a model says, made by PEFT itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

SHAPES: tuple[dict[str, Any], ...] = (
    {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 16, "lora_alpha": 16, "target_modules": "all-linear"},
    {"r": 8, "lora_alpha": 32, "target_modules": ["gate_proj", "up_proj", "down_proj"], "use_rslora": True},
    {"r": 2, "lora_alpha": 4, "target_modules": ["o_proj"], "alpha_pattern": {"layers.0.self_attn.o_proj": 16}},
)


def make_adapter(base: Any, folder: Path, *, seed: int, size: float = 0.3, **config: Any) -> Path:
    """An adapter for the model `base`, saved in `folder`; `size` is the spread of its B matrices."""
    import peft
    import torch

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own, of what transformers 5 has renamed
        wrapped = peft.get_peft_model(base, peft.LoraConfig(**{"task_type": "CAUSAL_LM", **config}))
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, size / config["r"])
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    wrapped.unload()
    return folder


def demo_adapters(folder: Path, count: int, *, size: float = 0.3) -> dict[str, Path]:
    """`count` adapters of different shapes for the demo model, by name."""
    from lorasmith.demo import MODEL_FOLDER
    from lorasmith.families import FAMILIES

    found: dict[str, Path] = {}
    for number in range(count):
        base = FAMILIES.get("language").load(MODEL_FOLDER, dtype="float32", device="cpu")
        name = f"a{number}"
        found[name] = make_adapter(base, folder / name, seed=number, size=size, **SHAPES[number % len(SHAPES)])
    return found


def plain_adapter(model: Path, target: Path, *, base: str = "", seed: int = 0, **options: Any) -> Path:
    """An adapter of the language model in a folder, as PEFT alone leaves it in `target`; it names `base` as its base."""
    from transformers import AutoModelForCausalLM

    asked = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "down_proj"], **options}
    make_adapter(AutoModelForCausalLM.from_pretrained(model), target, seed=seed, size=1.6, **asked)
    file = target / "adapter_config.json"
    file.write_text(file.read_text().replace(f'"{model}"', f'"{base or model}"'))
    return target


def changed(adapter: Path, change: Any) -> Path:
    """The adapter with other weights: `change` is given the tensors and gives them back."""
    from safetensors.torch import load_file, save_file

    file = adapter / "adapter_model.safetensors"
    save_file({name: weight.contiguous() for name, weight in change(load_file(file)).items()}, file)
    return adapter
