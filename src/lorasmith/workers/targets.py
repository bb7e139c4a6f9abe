"""Which layers of a loaded model an adapter goes on: named ones, or all linear ones but heads and pictures' towers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from lorasmith.core.errors import UsageProblem
from lorasmith.families._base import NOT_ADAPTED
from lorasmith.families._worn import Worn
from lorasmith.profiles import ALL_LINEAR, ATTENTION, names_that_exist, targeted

_ALL_LINEAR = (ALL_LINEAR, "auto")
_LINEAR = (torch.nn.Linear, Conv1D)
_NAMED = (*_LINEAR, torch.nn.Conv2d, torch.nn.Embedding)
# A mixture's shared expert is a layer like others; T5's shared embedding, which the name is listed for, is no Linear.
_NEVER = (*(part for part in NOT_ADAPTED if part != "shared"), "output_projection", "rel_pos", "lm_heads", "router")
# Their fused kernels read the weight of out_proj and pass the layer by: PEFT refuses it for the same reason.
_SCANS = {"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"}
_TIME_STEP = "dt_proj"


def as_names(targets: str | Sequence[str]) -> str | list[str]:
    """`all-linear`, `attention`, or a list of names of what was written with commas."""
    if isinstance(targets, str):
        if targets == ATTENTION:
            return ATTENTION
        return ALL_LINEAR if targets in _ALL_LINEAR else [part.strip() for part in targets.split(",") if part.strip()]
    return list(targets)


def has_fused_experts(model: torch.nn.Module) -> bool:
    """Whether experts are one parameter for all: PEFT then finds them itself, by the names they had as layers."""
    return any(".experts." in name and weight.dim() == 3 for name, weight in model.named_parameters())


def layers_of(
    model: torch.nn.Module, targets: str | Sequence[str], *, trained_in_full: Sequence[str] = ()
) -> dict[str, torch.nn.Module]:
    """The layers that `targets` mean, by full name. Raises UsageProblem with the names that exist where there is none."""
    asked = as_names(targets)
    parts = dict(model.named_modules())
    linear = linear_layers(model)
    free = [name for name in linear if not lies_in(name, trained_in_full)]
    if isinstance(asked, str):
        chosen = [name for name in free if _is_adapted(model, name)]
        if asked == ATTENTION:
            chosen = [name for name in chosen if any("att" in part for part in name.split(".")[:-1])]
    else:
        named = [name for name, part in parts.items() if isinstance(part, _NAMED)]
        chosen = targeted(asked, named)
        _require_called(parts, chosen)
    if not chosen:
        shown = asked if isinstance(asked, str) else ", ".join(asked)
        raise UsageProblem(
            f"No layer of the model matches --target-modules {shown}", why="Nothing would be trained.",
            fix=names_that_exist(linear),
        )  # fmt: skip
    return {name: parts[name] for name in chosen}


def lies_in(name: str, modules: Sequence[str]) -> bool:
    """Whether a layer of this full name is one of the modules, or part of one; these may be the ends of full names, as PEFT takes
    them."""
    return any(f".{part}." in f".{name}." for part in modules)


def linear_layers(model: torch.nn.Module) -> list[str]:
    """The names of all of them, the head's too."""
    return [name for name, part in model.named_modules() if isinstance(part, _LINEAR)]


def _require_called(parts: dict[str, torch.nn.Module], chosen: Sequence[str]) -> None:
    """Raises UsageProblem for a layer whose weight the model reads itself: PEFT puts an adapter on it that learns nothing."""
    for name in chosen:
        parent, _, last = name.rpartition(".")
        if _is_passed_by(parts[parent], last):
            raise UsageProblem(
                f"An adapter on '{name}' would learn nothing", why="The model reads its weight and passes the layer by.",
                fix=f"Leave {last} out of --target-modules.",
            )  # fmt: skip


def _is_passed_by(parent: torch.nn.Module, name: str) -> bool:
    """Whether a layer's weight is read by the part that holds it: torch's own attention (SigLIP's pooling head), a scan."""
    return isinstance(parent, torch.nn.MultiheadAttention) or (name == _TIME_STEP and hasattr(parent, "A_log"))


def _is_adapted(model: torch.nn.Module, name: str) -> bool:
    tower = _writing_tower(model)
    if tower and not name.startswith(tower):
        return False
    if getattr(getattr(model, "config", None), "model_type", "") in _SCANS and name.endswith(".out_proj"):
        return False
    parent, _, last = name.rpartition(".")
    if _is_passed_by(model.get_submodule(parent), last):
        return False
    head: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return not any(part in f"{name}." for part in _NEVER) and model.get_submodule(name) is not head


def _writing_tower(model: torch.nn.Module) -> str:
    """The prefix of the part that writes or draws, of a model that sees, hears or reads as well; empty for every other."""
    if isinstance(model, Worn):
        return f"{model.main}."
    config: Any = getattr(model, "config", None)
    senses = any(hasattr(config, key) for key in ("vision_config", "audio_config"))
    if not senses or not hasattr(config, "text_config") or not getattr(model, "can_generate", bool)():
        return ""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    return next((f"{name}." for name, part in model.named_modules() if part is decoder and name), "")
