"""Adapters made of adapters, and taken in from other tools. Only what is taken in needs its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import load_file, save_file

from lorasmith.adapters.spec import AdapterJob, CombineSpec, ResizeSpec
from lorasmith.core.errors import UsageProblem
from lorasmith.core.events import Writer
from lorasmith.env.records import is_trusted
from lorasmith.families import FAMILIES
from lorasmith.families._worn import Worn
from lorasmith.workers import diffusers_form, lora, plain
from lorasmith.workers.answering.adapters import is_plain
from lorasmith.workers.runtime import run_job

State = dict[str, torch.Tensor]
_SIDES = (".lora_A.weight", ".lora_B.weight")
_NEW = "combined"


def made(text: str, events: Writer) -> dict[str, Any]:  # noqa: ARG001  every job is given them
    """Fill the job's folder with the adapter's weights and configuration."""
    job = AdapterJob.model_validate_json(text)
    if job.combine:
        combine(job.combine, job.sources, job.target)
        return {}
    source = next(iter(job.sources.values()))
    if job.resize:
        return resize(job.resize, source, job.target)
    take_in(job, source)
    return {}


# One of several.


def combine(spec: CombineSpec, sources: dict[str, Path], target: Path) -> None:
    """By PEFT's `add_weighted_adapter`, on layers that hold no weights: only the adapters' own matrices are read.

    Raises UsageProblem for adapters that are more than low-rank matrices, and what PEFT has against the method.
    """
    states = {name: _read(folder) for name, folder in sources.items()}
    configs = {name: _config(folder, name) for name, folder in sources.items()}
    for name, state in states.items():
        if other := [key for key in state if not key.endswith(_SIDES)]:
            raise UsageProblem(f"The adapter '{name}' is more than LoRA matrices", why=f"It holds '{other[0]}'.")
    skeleton = _skeleton(states.values())
    first = next(iter(sources))
    wrapped = peft.PeftModel(skeleton, configs[first], adapter_name=first)
    for name in list(sources)[1:]:
        wrapped.add_adapter(name, configs[name])
    for name, state in states.items():
        peft.set_peft_model_state_dict(wrapped, state, adapter_name=name)
    torch.manual_seed(spec.seed)
    weights = [float(part) for part in spec.weights.split(",")]
    thins = not spec.method.startswith(("cat", "linear", "svd"))
    rank = spec.rank or max(config.r for config in configs.values())
    try:
        wrapped.base_model.add_weighted_adapter(
            list(sources), weights, _NEW, combination_type=spec.method, density=spec.density if thins else None,
            svd_rank=rank if "svd" in spec.method else None,
        )  # fmt: skip
    except ValueError as error:
        raise UsageProblem(
            f"'{spec.method}' cannot join these adapters", why=str(error).split("\n")[0],
            fix="Adapters of different ranks are joined by cat, svd, ties_svd or dare_ties_svd.",
        ) from error  # fmt: skip
    config = wrapped.peft_config[_NEW]
    _write(target, peft.get_peft_model_state_dict(wrapped, adapter_name=_NEW), config, sources[first])


def _skeleton(states: Any) -> torch.nn.Module:
    """Modules of the names and shapes that the adapters are for; their weights are one zero, seen as often as need be."""
    root = torch.nn.Module()
    for state in states:
        for name, side in state.items():
            if not name.endswith(_SIDES[0]):
                continue
            path = name.removeprefix(plain.INSIDE).removesuffix(_SIDES[0])
            up = state[name.replace(*_SIDES)]
            _put(root, path, _layer(side, up))
    return root


def _layer(down: torch.Tensor, up: torch.Tensor) -> torch.nn.Module:
    if down.ndim == 2:
        layer: Any = torch.nn.Linear(1, 1, bias=False)
        layer.in_features, layer.out_features = down.shape[1], up.shape[0]
        shape: tuple[int, ...] = (up.shape[0], down.shape[1])
    else:
        layer = torch.nn.Conv2d(1, 1, 1, bias=False)
        layer.in_channels, layer.out_channels, layer.kernel_size = down.shape[1], up.shape[0], tuple(down.shape[2:])
        shape = (up.shape[0], *down.shape[1:])
    layer.weight = torch.nn.Parameter(torch.zeros(1).expand(shape), requires_grad=False)
    return layer


def _put(root: torch.nn.Module, path: str, layer: torch.nn.Module) -> None:
    *parents, last = path.split(".")
    for part in parents:
        if part not in root._modules:
            root.add_module(part, torch.nn.Module())
        root = root._modules[part]  # type: ignore[assignment]
    if last not in root._modules:
        root.add_module(last, layer)


# A lower rank.


def resize(spec: ResizeSpec, source: Path, target: Path) -> dict[str, Any]:
    """Each layer's change B·A at the nearest one of the new rank: its largest singular values (Eckart and Young, 1936).

    The SVD is that of a matrix as wide as the rank, between the orthonormal sides of B and A. Raises UsageProblem.
    """
    config = _config(source, source.parent.name)
    state = _read(source)
    made: State = {name: side for name, side in state.items() if not name.endswith(_SIDES)}
    ranks: dict[str, int] = {}
    kept = whole = 0.0
    downs = [name for name in state if name.endswith(_SIDES[0])]
    before = max((state[name].shape[0] for name in downs), default=0)
    if spec.rank and before and spec.rank >= before:
        raise UsageProblem(
            f"The adapter is of rank {before}, and {spec.rank} is not smaller", why="A higher rank would only add zeros to it.",
            fix=f"Name a rank below {before}.",
        )  # fmt: skip
    for name in downs:
        layer = name.removesuffix(_SIDES[0])
        down, up = state[name], state[layer + _SIDES[1]]
        scale = lora.scaling(layer.removeprefix(plain.INSIDE), config.to_dict(), down.shape[0])
        left, values, right = _svd(down.flatten(1).float(), up.flatten(1).float() * scale)
        energy = values.square().cumsum(0) / values.square().sum().clamp(min=1e-30)
        rank = spec.rank or int((energy < (spec.energy or 1) - 1e-7).sum()) + 1
        rank = min(rank, len(values))
        root = values[:rank].sqrt()
        made[name] = (root[:, None] * right[:rank]).reshape(rank, *down.shape[1:]).to(down.dtype)
        made[layer + _SIDES[1]] = (left[:, :rank] * root).reshape(up.shape[0], rank, *up.shape[2:]).to(up.dtype)
        ranks[layer.removeprefix(plain.INSIDE)] = rank
        kept, whole = kept + float(values[:rank].square().sum()), whole + float(values.square().sum())
    if not ranks:
        raise UsageProblem(f"The adapter in '{source}' holds no LoRA matrices")
    config.r = config.lora_alpha = max(ranks.values())
    apart = {layer: rank for layer, rank in ranks.items() if rank != config.r}
    config.rank_pattern, config.alpha_pattern, config.use_rslora = apart, dict(apart), False
    _write(target, made, config, source)
    return {"rank_before": before, "rank_after": config.r, "energy": kept / whole if whole else 1.0}


def _svd(down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of up·down, of shapes (rank, in) and (out, rank), without making it."""
    left, upper = torch.linalg.qr(up)
    right, lower = torch.linalg.qr(down.T)
    inner, values, outer = torch.linalg.svd(upper @ lower.T)
    return left @ inner, values, outer @ right.T


# From other tools.


def take_in(job: AdapterJob, source: Path) -> None:
    """Put what another tool made on its base, and write it down as PEFT's folder.

    Raises UsageProblem for what is missing, foreign, of a wrong shape or no finite number.
    """
    if job.model_folder is None:
        raise ValueError("what is taken in needs its base")
    family = FAMILIES.get(job.family)
    base = family.load(
        job.model_folder, dtype="float32", device="cpu", trust_remote_code=is_trusted(job.model_folder), changes=job.changes
    )  # fmt: skip
    if source.is_file():
        _take_file(base, family.wearer(base), source, job.target)
    else:
        _take_folder(source, job.target, family.wearer(base))
        lora.load_adapters(family.wearer(base), {"taken": job.target})
        plain.change_config(job.target, base_model_name_or_path=job.model_id)
    diffusers_form.write_beside(job.model_folder, job.target)


def _take_folder(source: Path, target: Path, worn: Any) -> None:
    """PEFT's two files; weights that are pickled are read as nothing but tensors. What PEFT saved of a pipeline's denoiser alone
    is called as the pipeline's."""
    for name in (plain.CONFIG, plain.WEIGHTS):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if not (target / plain.WEIGHTS).exists() and (source / "adapter_model.bin").is_file():
        _save(torch.load(source / "adapter_model.bin", map_location="cpu", weights_only=True), target)
    if isinstance(worn, Worn) and (target / plain.WEIGHTS).exists():
        state = load_file(target / plain.WEIGHTS)
        begins = tuple(f"{plain.INSIDE}{name}." for name, _ in worn.named_children())
        if not any(name.startswith(begins) for name in state):
            _save({name.replace(plain.INSIDE, begins[0], 1): side for name, side in state.items()}, target)
            targets = plain.read_config(target).get("target_modules")
            if isinstance(targets, str):  # a pattern for whole names
                plain.change_config(target, target_modules=rf"{worn.main}\.(?:{targets})")


def _take_file(pipeline: Any, worn: torch.nn.Module, file: Path, target: Path) -> None:
    """What kohya's scripts, diffusers and others write for diffusion models; diffusers knows their names for each layer, and says
    what rank and scaling each part's have."""
    if not hasattr(pipeline, "load_lora_weights"):
        raise UsageProblem(
            f"'{file.name}' cannot be taken in for this base",
            why="A lone safetensors file is read for diffusion models; for others its configuration is needed.",
            fix="Give the folder with adapter_config.json.",
        )  # fmt: skip
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="taken")
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise UsageProblem(
            f"'{file.name}' does not fit this base", why=str(error).split("\n")[0][:300],
            fix="Give the model that it was trained on: --base MODEL",
        ) from error  # fmt: skip
    parts = {name: one for name, one in worn.named_children() if "taken" in (getattr(one, "peft_config", None) or {})}
    if not parts:
        raise UsageProblem(
            f"'{file.name}' holds nothing for this base",
            why="Read are layers of the part that draws, and of CLIP text encoders.",
        )
    config = next(iter(parts.values())).peft_config["taken"]
    state: State = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for name, part in parts.items():
        own = part.peft_config["taken"].to_dict()
        found = peft.get_peft_model_state_dict(part, adapter_name="taken")
        # Queries, keys and values that were one matrix share a side, which a safetensors file cannot say.
        state |= {f"{plain.INSIDE}{name}.{key}": side.clone() for key, side in found.items()}
        for key in (key for key in found if key.endswith(_SIDES[0])):
            layer, rank = key.removesuffix(_SIDES[0]), found[key].shape[0]
            ranks[f"{name}.{layer}"] = rank
            alphas[f"{name}.{layer}"] = lora.scaling(layer, own, rank) * rank
    lora.require_finite(file, state)
    config.target_modules, config.use_rslora, config.base_model_name_or_path = set(ranks), False, None
    config.r, config.lora_alpha = max(ranks.values()), max(alphas.values())
    config.rank_pattern = {layer: rank for layer, rank in ranks.items() if rank != config.r}
    config.alpha_pattern = {layer: alpha for layer, alpha in alphas.items() if alpha != config.lora_alpha}
    config.save_pretrained(target)
    _save(state, target)


# Files.


def _config(folder: Path, name: str) -> peft.LoraConfig:
    told = plain.read_config(folder)
    if not is_plain({**told, "modules_to_save": None, "trainable_token_indices": None}):
        raise UsageProblem(
            f"The adapter '{name}' is more than two low-rank matrices a layer",
            why=f"Its kind is {str(told.get('peft_type')).lower()}{' with DoRA' if told.get('use_dora') else ''}.",
            fix="Merge it into its base instead:  lorasmith export MODEL --adapter NAME --to merged",
        )  # fmt: skip
    config = peft.LoraConfig.from_pretrained(folder)
    config.task_type = config.modules_to_save = config.trainable_token_indices = None
    config.inference_mode = True
    config.target_modules = {
        key.removeprefix(plain.INSIDE).removesuffix(_SIDES[0]) for key in _read(folder) if key.endswith(_SIDES[0])
    }
    return config


def _read(folder: Path) -> State:
    state = load_file(folder / plain.WEIGHTS)
    lora.require_finite(folder, state)
    return state


def _write(target: Path, state: State, config: Any, like: Path) -> None:
    """The adapter's two files; what its configuration has that the matrices do not change is as in `like`."""
    config.save_pretrained(target)
    _save(
        {name if name.startswith(plain.INSIDE) else plain.INSIDE + name: side for name, side in state.items()}, target
    )
    before = plain.read_config(like)
    kept = (
        "base_model_name_or_path",
        "revision",
        "task_type",
        "modules_to_save",
        "trainable_token_indices",
        "fan_in_fan_out",
    )
    plain.change_config(target, **{name: before.get(name) for name in kept if name in before})
    diffusers_form.write_like(like, target)


def _save(state: State, target: Path) -> None:
    save_file(
        {name: side.contiguous() for name, side in state.items()}, target / plain.WEIGHTS, metadata={"format": "pt"}
    )


if __name__ == "__main__":
    run_job(made, lambda text: Path(json.loads(text)["events"]))
