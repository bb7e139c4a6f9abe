"""A model's own class and inputs of the right shapes for it: to load, to measure or to trace a model nobody has data for yet."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from lorasmith.families import FAMILIES
from lorasmith.families._head import scores_at

Inputs = dict[str, torch.Tensor]
_WHISPER_FRAMES_A_POSITION = 2  # the second convolution of its encoder halves the frames


def class_and_config(folder: Path) -> tuple[Any, Any]:
    """The class that the repository names, and its configuration.

    Raises ValueError where neither transformers nor diffusers has that class.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    name = (config.architectures or [""])[0]
    kind = getattr(transformers, name, None)
    if kind is None:
        raise ValueError(f"transformers {transformers.__version__} has no class '{name}'")
    return kind, config


def inputs_for(model: torch.nn.Module, rows: int, length: int) -> Inputs:
    """What `model` is called with for `rows` examples; texts of `length` tokens, images and sound as large as it reads them."""
    model = _bare(model)
    config: Any = model.config
    takes = inspect.signature(model.forward).parameters
    text = getattr(config, "text_config", config)
    ids = torch.ones((rows, length), dtype=torch.long)
    inputs: Inputs = {}
    if "input_ids" in takes and getattr(text, "vocab_size", 0):
        inputs["input_ids"] = ids
    if "pixel_values" in takes:
        vision = getattr(config, "vision_config", getattr(config, "encoder", config))
        height, width = _pair(getattr(vision, "image_size", getattr(vision, "input_size", 224)))
        inputs["pixel_values"] = torch.zeros((rows, getattr(vision, "num_channels", 3), height, width))
    if "input_features" in takes:
        frames = _WHISPER_FRAMES_A_POSITION * getattr(config, "max_source_positions", 1500)
        inputs["input_features"] = torch.zeros((rows, config.num_mel_bins, frames))
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        inputs["decoder_input_ids"] = ids
    return inputs


def _pair(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)


def loss_for(model: torch.nn.Module, inputs: Inputs, supervised: float) -> torch.Tensor:
    """A loss with the memory of the real one: cross entropy at the last `supervised` part of each row, or of all tokens of a
    decoder; for other models the mean square of what comes out."""
    ids, learnt = inputs.get("input_ids"), supervised
    is_decoder = ids is not None and len(inputs) == 1 and _bare(model).can_generate()
    if "decoder_input_ids" in inputs:
        ids, learnt, is_decoder = inputs["decoder_input_ids"], 1.0, True
    if ids is not None and is_decoder:
        rows, length = ids.shape
        last = max(1, round(length * learnt))
        row = torch.arange(rows).repeat_interleave(last)
        column = torch.arange(length - last, length).repeat(rows)
        return scores_at(model, inputs, row, column, ids[row, column]).nll.mean()
    return next(iter(model(**inputs, return_dict=True).values())).float().pow(2).mean()


def _bare(model: Any) -> Any:
    """The model without PEFT around it: `forward` names what it takes."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def adapted_modules(model: torch.nn.Module, family: str) -> list[str]:
    """Names of the linear layers of `model` that LoRA adapts in this family."""
    adapts = FAMILIES.get(family).adapts
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear) and adapts(f"{name}.weight", list(part.weight.shape))
    ]
