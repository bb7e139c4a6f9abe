"""The one place where adapters are put on a model, stepped, saved and read back. Loading the base is the families' matter."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import peft
import torch
from peft import PeftModel
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.profiles import ATTENTION
from lorasmith.workers import plain
from lorasmith.workers.dropout import use_sparse_dropout
from lorasmith.workers.targets import as_names, has_fused_experts, layers_of, linear_layers
from lorasmith.workers.variants import RATE_RATIO, AdapterShape, config_of

_STATE = "adapter_state.safetensors"
_NAME = "default"
_IMPORTANCES = ("exp_avg_ipt", "exp_avg_unc")
"""What AdaLoRA's allocator remembers from step to step."""
_FROM_WEIGHTS = ("pissa", "olora")
"""Variants that take what they start from out of the base's weights."""
# What libraries tell about themselves; none of it is the user's to mend.
_CHATTER = (
    ".*is_gradient_checkpointing.*", "Failed to load the CUDA extension.*", "Setting boft_n_butterfly_factor.*",
    "The following (rank|alpha)_pattern keys.*",
)  # fmt: skip


class AdapterPlan(AdapterShape, Protocol):
    """What of a training plan the functions here read."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def accumulation(self) -> int: ...


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # SHiRA's sparse tensors are made of indices that torch made itself; to say so is the way not to be warned.
        torch.sparse.check_sparse_tensor_invariants.disable()
        for message in _CHATTER:
            warnings.filterwarnings("ignore", message=message)
        yield


def apply_lora(
    model: torch.nn.Module, plan: AdapterPlan, base: str, *, tokens: dict[str, list[int]] | None = None
) -> PeftModel:
    """`model` with fresh, trainable adapters in fp32 at the plan's targets; `base` is the name that they will say they belong to.
    Of the modules in `tokens` these rows, which are new, are trained in full.

    Raises what `adapter_config` raises.
    """
    config = adapter_config(model, plan)
    if tokens:
        config.trainable_token_indices = tokens
    try:
        with _quiet():
            wrapped = peft.get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        raise UsageProblem(
            f"'{plan.variant}' cannot be put on this model", why=f"{str(error).splitlines()[0]}",
            fix="Take --variant lora, or name layers that it can adapt: --target-modules NAME,NAME.",
        ) from error  # fmt: skip
    wrapped.base_id = base
    if plan.variant in _FROM_WEIGHTS:
        wrapped.start = {name: weight.detach().clone() for name, weight in _state(wrapped).items()}
    if plan.dropout and plan.device == "cpu":
        use_sparse_dropout(wrapped)
    return wrapped


def remove_lora(model: PeftModel) -> torch.nn.Module:
    """The base beneath the adapters, bit for bit what it was before any were put on it, and with no trace of them.

    Not for variants that take their start out of the base's weights.
    """
    base = model.unload()
    for trace in ("peft_config", "_hf_peft_config_loaded"):
        vars(base).pop(trace, None)
    return base


def adapter_config(model: torch.nn.Module, plan: AdapterPlan) -> Any:
    """PEFT's configuration of the plan's adapter for this model.

    Raises UsageProblem where no layer matches, and where the variant cannot be had with this model, EnvironmentProblem where PEFT
    is too old for it.
    """
    layers = layers_of(model, plan.target_modules, trained_in_full=plan.modules_to_save)
    _require_modules(model, plan)
    config = config_of(plan, layers, quantized=_quantization(model))
    # Fused experts are no layers: PEFT's LoRA finds them by the names they had, where it is asked by those.
    is_asked_by_name = plan.target_modules != ATTENTION and not plan.modules_to_save
    by_name = is_asked_by_name and has_fused_experts(model) and isinstance(config, peft.LoraConfig)
    config.target_modules = as_names(plan.target_modules) if by_name else set(layers)
    if by_name and isinstance(config.target_modules, str):
        config.exclude_modules = [name for name in linear_layers(model) if name not in layers] or None
    if hasattr(config, "fan_in_fan_out"):
        config.fan_in_fan_out = any(type(layer).__name__ == "Conv1D" for layer in layers.values())
    config.task_type = _task(model)
    return config


def _require_modules(model: torch.nn.Module, plan: AdapterShape) -> None:
    """Raises UsageProblem where a module that is to be trained in full is not there."""
    names = [f".{name}" for name, _ in model.named_modules()]
    for name in plan.modules_to_save:
        if not any(one.endswith(f".{name}") for one in names):
            raise UsageProblem(
                f"The model has no module '{name}' to train in full", why="The profile or the options name it.",
                fix=f"Its outermost parts are called: {', '.join(name for name, _ in model.named_children())}.",
            )  # fmt: skip


def _quantization(model: Any) -> str:
    if getattr(model, "is_loaded_in_4bit", False):
        return "4 bit"
    if getattr(model, "is_loaded_in_8bit", False):
        return "8 bit"
    method = getattr(model, "quantization_method", None)
    return str(getattr(method, "value", method)) if method else ""


def _task(model: Any) -> str | None:
    """PEFT's task type where its own wrapper helps to generate; the plain one takes whatever the model takes."""
    config = getattr(model, "config", None)
    writes = hasattr(model, "can_generate") and model.can_generate() and hasattr(model, "prepare_inputs_for_generation")
    return "CAUSAL_LM" if writes and not getattr(config, "is_encoder_decoder", False) else None


# What the trainer calls.


def parameter_groups(model: PeftModel, plan: AdapterPlan) -> list[dict[str, Any]] | None:
    """The optimizer's groups with their rates for LoRA+; None where all trainable parameters are one group."""
    if plan.variant != "lora+":
        return None
    fast = [weight for name, weight in model.named_parameters() if weight.requires_grad and "lora_B" in name]
    chosen = {id(weight) for weight in fast}
    slow = [weight for weight in model.parameters() if weight.requires_grad and id(weight) not in chosen]
    return [{"params": slow, "lr": plan.learning_rate}, {"params": fast, "lr": RATE_RATIO * plan.learning_rate}]


def after_step(model: PeftModel, plan: AdapterPlan, step: int) -> None:
    """Move rank between layers, as AdaLoRA does after step number `step` (from 1): before gradients are zeroed."""
    if plan.variant == "adalora":
        model.base_model.update_and_allocate(step)


def extra_loss(model: PeftModel, plan: AdapterPlan) -> torch.Tensor | None:
    """What a variant adds to the loss of each micro-batch; None for nothing.

    AdaLoRA keeps A and B orthonormal, arXiv 2303.10512, equation 4. PEFT adds that where the model computes the loss itself.
    """
    if plan.variant != "adalora":
        return None
    weight = model.peft_config[_NAME].orth_reg_weight
    apart = [_distance_from_orthonormal(name, part) for name, part in model.named_parameters() if _is_side(name)]
    return weight * torch.stack(apart).mean() / plan.accumulation


def _is_side(name: str) -> bool:
    return "lora_A" in name or "lora_B" in name


def _distance_from_orthonormal(name: str, side: torch.Tensor) -> torch.Tensor:
    gram = side @ side.T if "lora_A" in name else side.T @ side
    return torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device, dtype=gram.dtype))


def ranks(model: PeftModel) -> dict[str, int]:
    """By layer, how many ranks AdaLoRA has left it; empty before it has moved any, and for other variants."""
    pattern = getattr(model.peft_config[_NAME], "rank_pattern", None) or {}
    return {name.split(".lora_E", 1)[0]: sum(kept) for name, kept in pattern.items() if isinstance(kept, list)}


@contextmanager
def base_only(model: PeftModel) -> Iterator[None]:
    """The untouched base, for as long as it lasts: `model.disable_adapter()` leaves one from which PiSSA has taken its start."""
    if not hasattr(model, "start"):
        with model.disable_adapter():
            yield
        return
    learnt = {name: weight.detach().clone() for name, weight in _state(model).items()}
    was_training = model.training
    _put(model, model.start)
    model.eval()  # dropout would take from the start, and the base lacks it
    try:
        yield
    finally:
        model.train(was_training)
        _put(model, learnt)


def _state(model: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's weights under the names that a file has."""
    return peft.get_peft_model_state_dict(model)


def _put(model: PeftModel, state: dict[str, torch.Tensor]) -> None:
    with _quiet():
        peft.set_peft_model_state_dict(model, state)


# Files.


def save_adapter(model: PeftModel, folder: Path) -> None:
    """`adapter_model.safetensors` and `adapter_config.json` in `folder`, to be loaded onto the untouched base."""
    folder.mkdir(parents=True, exist_ok=True)
    with _quiet():
        if _is_allocated(model):
            plain.write_allocated(model, folder, adapter=_NAME)
        else:
            # Left to choose, PEFT asks the Hub how many embeddings the base has.
            model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # an empty model card
        if hasattr(model, "start"):
            plain.write_difference(_state(model), model.start, folder)
    # While it is trained PEFT calls the base by its folder, where nothing need be asked of the Hub.
    if hasattr(model, "base_id"):
        plain.change_config(folder, base_model_name_or_path=model.base_id)


def save_state(model: PeftModel, folder: Path) -> None:
    """Beside a checkpoint's adapter what that leaves out and a resumed run needs: AdaLoRA's full ranks and importances."""
    if not _is_allocated(model):
        return
    state = {f"weight.{name}": weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    for kind in _IMPORTANCES:
        state |= {f"{kind}.{name}": weight for name, weight in getattr(model.base_model.rankallocator, kind).items()}
    for name, kept in (model.peft_config[_NAME].rank_pattern or {}).items():
        state[f"pattern.{name}"] = torch.tensor(kept)
    save_file({name: weight.contiguous() for name, weight in state.items()}, folder / _STATE)


def restore_adapter(model: PeftModel, folder: Path) -> None:
    """Give the adapters of `model` the weights in `folder`, which `save_adapter` or a checkpoint left there."""
    if (folder / _STATE).exists():
        _restore_state(model, load_file(folder / _STATE))
        return
    saved = load_file(folder / plain.WEIGHTS)
    if _is_allocated(model):
        with _quiet():
            plain.take_allocated(model, saved, adapter=_NAME)
    else:
        _put(model, plain.learnt_half(saved, model.peft_config[_NAME].r) if hasattr(model, "start") else saved)


def _is_allocated(model: PeftModel) -> bool:
    return model.peft_config[_NAME].peft_type == peft.PeftType.ADALORA


def _restore_state(model: PeftModel, state: dict[str, torch.Tensor]) -> None:
    parts: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in ("weight", "pattern", *_IMPORTANCES)}
    for name, weight in state.items():
        kind, _, rest = name.partition(".")
        parts[kind][rest] = weight
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in parts["weight"].items():
            own[name].copy_(weight)
    allocator = model.base_model.rankallocator
    for kind in _IMPORTANCES:
        moved = {name: weight.to(own[plain.INSIDE + name].device) for name, weight in parts[kind].items()}
        setattr(allocator, kind, moved)
    # Made anew at every step, but a name that is missing would have the others start from zero.
    allocator.ipt = {name: torch.zeros_like(weight) for name, weight in allocator.exp_avg_ipt.items()}
    model.peft_config[_NAME].rank_pattern = {name: kept.tolist() for name, kept in parts["pattern"].items()} or None


def load_adapters(model: torch.nn.Module, folders: dict[str, Path]) -> Any:
    """`model` with the saved adapters, by name; none is active more than another. The model itself for no folder.

    Raises NotFoundProblem where a folder holds no adapter, UsageProblem where it belongs to another base or where adapters of
    different kinds are to lie side by side.
    """
    wrapped: Any = model
    kinds: dict[str, str] = {}
    for name, folder in folders.items():
        if not (folder / plain.WEIGHTS).exists():
            raise NotFoundProblem(
                f"There is no adapter in '{folder}'", why="It holds no adapter_model.safetensors.",
                fix="Name the 'lora' folder of a training, or the training's own folder.",
            )  # fmt: skip
        kinds[_kind(folder)] = name
        if len(kinds) > 1:
            raise UsageProblem(
                f"Adapters of different kinds cannot be loaded together: {', '.join(f'{n} ({k})' for k, n in kinds.items())}",
                fix="Load one of them at a time.",
            )
        try:
            with _quiet():
                if isinstance(wrapped, PeftModel):
                    wrapped.load_adapter(folder, adapter_name=name)
                else:
                    wrapped = PeftModel.from_pretrained(wrapped, folder, adapter_name=name)
        except (RuntimeError, ValueError) as error:
            raise _unfitting(folder, str(error).split("\n", 1)[0]) from error
        _require_whole(wrapped, name, folder)
    return wrapped.eval()


def _require_whole(wrapped: PeftModel, name: str, folder: Path) -> None:
    """Raises UsageProblem where the file lacks a weight of the adapter, holds one that nobody would use, or a value that is no
    finite number. PEFT itself says nothing of the first two."""
    saved = load_file(folder / plain.WEIGHTS)
    require_finite(folder, saved)
    expected = peft.get_peft_model_state_dict(wrapped, adapter_name=name, save_embedding_layers=False)
    own = wrapped.state_dict()
    if missing := sorted(set(expected) - set(saved)):
        raise _unfitting(folder, f"It lacks {len(missing)} of {len(expected)} weights: '{missing[0]}'.")
    foreign = sorted(key for key in set(saved) - set(expected) if key not in own)
    if foreign:
        raise _unfitting(folder, f"It has {len(foreign)} weights that this model has no place for: '{foreign[0]}'.")


def _unfitting(folder: Path, why: str) -> UsageProblem:
    return UsageProblem(
        f"The adapter in '{folder}' does not fit this model", why=why,
        fix="Give the model that it was trained on; adapter_config.json names it.",
    )  # fmt: skip


def require_finite(place: Path, state: dict[str, torch.Tensor]) -> None:
    """Raises UsageProblem where a weight of an adapter holds a value that is no finite number."""
    for name, weight in state.items():
        if not torch.isfinite(weight).all():
            raise UsageProblem(
                f"The adapter in '{place}' is damaged", why=f"'{name}' holds values that are no finite numbers."
            )


def scaling(layer: str, config: dict[str, Any], rank: int) -> float:
    """alpha / rank, or alpha / √rank for rsLoRA (arXiv 2312.03732); patterns are matched as PEFT does it."""
    patterns = config.get("alpha_pattern") or {}
    alpha = float(patterns.get(get_pattern_key(patterns, layer), config.get("lora_alpha") or rank))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _kind(folder: Path) -> str:
    try:
        return str(plain.read_config(folder).get("peft_type", ""))
    except (OSError, ValueError):
        return ""


__all__ = [
    "AdapterPlan", "adapter_config", "after_step", "apply_lora", "base_only", "extra_loss", "load_adapters", "parameter_groups",
    "peft", "ranks", "remove_lora", "restore_adapter", "save_adapter", "save_state",
]  # fmt: skip
