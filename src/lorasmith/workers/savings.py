"""Memory bought with time, on a model that is loaded already: activations computed twice, embeddings in the machine's memory."""

from __future__ import annotations

from typing import Any

import torch

from lorasmith.core.errors import UsageProblem


def apply_memory_optimizations(model: Any, *, checkpointing: bool = True, embeddings_on_cpu: bool = False) -> list[str]:
    """Apply what is asked for and say what was done, one line each. PeftModels are taken as well.

    Checkpointing goes part by part where a model is made of two (an image encoder with a decoder), and only on those that can;
    raises UsageProblem where none can. No hook asks the embeddings for gradients: with `use_reentrant=False` none is needed, and
    with one every frozen layer would be walked back.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    done = [f"activations of {name} are computed twice" for name in _checkpoint(base)] if checkpointing else []
    if embeddings_on_cpu and (moved := _move_embeddings(base)):
        done.append(moved)
    return done


def _checkpoint(base: Any) -> list[str]:
    how = {"use_reentrant": False}
    able = [(name, part) for name, part in _parts(base) if getattr(part, "supports_gradient_checkpointing", False)]
    if not able:
        raise UsageProblem(
            f"{type(base).__name__} cannot compute activations twice", why="Its layers do not know how.",
            fix="Leave checkpointing out, and take fewer or shorter rows instead.",
        )  # fmt: skip
    for _, part in able:
        enable = getattr(part, "activation_checkpointing_enable", None) or part.gradient_checkpointing_enable
        enable(how)
    return [name for name, _ in able]


def _parts(base: Any) -> list[tuple[str, Any]]:
    """The model itself, or the two models that it is put together from."""
    halves = [(f"the {name}", getattr(base, name, None)) for name in ("encoder", "decoder")]
    are_models = all(hasattr(part, "gradient_checkpointing_enable") for _, part in halves)
    return halves if are_models else [("the model", base)]


def _move_embeddings(base: Any) -> str:
    """Keep the input's embeddings in the machine's own memory: a step looks up a few rows. Nothing where a head shares them."""
    table = base.get_input_embeddings()
    if not isinstance(table, torch.nn.Embedding):
        return ""  # of what reads no words
    device = table.weight.device
    head = base.get_output_embeddings()
    if device.type == "cpu" or (head is not None and head.weight is table.weight):
        return ""
    table.to("cpu")
    table.register_forward_pre_hook(lambda _, inputs: tuple(part.to("cpu") for part in inputs))
    table.register_forward_hook(lambda _, __, rows: rows.to(device))
    size = table.weight.numel() * table.weight.element_size()
    torch.cuda.empty_cache()
    return f"{size / 1e6:.0f} MB of embeddings are in the machine's memory"
