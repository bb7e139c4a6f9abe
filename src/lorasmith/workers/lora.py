"""The one place where LoRA is put on a model, saved and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.plan.choose import TrainPlan
from lorasmith.workers.dropout import use_sparse_dropout


def apply_lora(model: torch.nn.Module, plan: TrainPlan, base: str) -> PeftModel:
    """`model` with fresh, trainable adapters in fp32 at the plan's targets. Raises UsageProblem where none is found."""
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=plan.target_modules,
        use_rslora=plan.use_rslora,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    try:
        wrapped = peft.get_peft_model(model, config)
    except ValueError as error:
        linear = {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
        raise UsageProblem(
            f"No layer of the model matches --target-modules {plan.target_modules}", why=str(error).split(". ", 1)[0],
            fix=f"Its linear layers are called: {', '.join(sorted(linear))}.",
        ) from error  # fmt: skip
    if plan.dropout and plan.device == "cpu":
        use_sparse_dropout(wrapped)
    return wrapped


def save_adapter(model: PeftModel, folder: Path) -> None:
    """`adapter_model.safetensors` and `adapter_config.json` in `folder`."""
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card


def restore_adapter(model: PeftModel, folder: Path) -> None:
    """Give the adapters of `model` the weights saved in `folder`."""
    peft.set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def load_adapters(model: torch.nn.Module, folders: dict[str, Path]) -> Any:
    """`model` with the saved adapters, by name; none is active more than another. The model itself for no folder.

    Raises NotFoundProblem where a folder holds no adapter, UsageProblem where it belongs to another base.
    """
    wrapped: Any = model
    for name, folder in folders.items():
        if not (folder / "adapter_model.safetensors").exists():
            raise NotFoundProblem(
                f"There is no adapter in '{folder}'", why="It holds no adapter_model.safetensors.",
                fix="Name the 'lora' folder of a training, or the training's own folder.",
            )  # fmt: skip
        try:
            if isinstance(wrapped, PeftModel):
                wrapped.load_adapter(folder, adapter_name=name)
            else:
                wrapped = PeftModel.from_pretrained(wrapped, folder, adapter_name=name)
        except (RuntimeError, ValueError) as error:
            raise UsageProblem(
                f"The adapter in '{folder}' does not fit this model", why=str(error).split("\n", 1)[0],
                fix="Give the model that it was trained on; adapter_config.json names it.",
            ) from error  # fmt: skip
    return wrapped.eval()
