"""How each kind of adapter is configured for a given model: sizes that its layers allow, schedules that its steps allow.

What they are is written in `profiles/variants.py`; putting them on a model is `workers/lora.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import peft
import torch

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.profiles import VARIANTS

RATE_RATIO = 16.0
"""Of B to A in LoRA+: the paper's choice, arXiv 2402.12354, section 5."""
_ADALORA_START = 1.5  # initial over final rank, as in the paper (12 to 8), arXiv 2303.10512
_ADALORA_SHARES = (0.1, 0.3)  # of the steps: before ranks fall, and after
_ADALORA_LEAST_STEPS = 4
_VERA_RANKS = 4  # arXiv 2310.11454 takes 256 to 1024 where LoRA takes 8 to 64


class AdapterShape(Protocol):
    """What of a training plan decides an adapter."""

    @property
    def variant(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def alpha(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def use_rslora(self) -> bool: ...
    @property
    def target_modules(self) -> str | Sequence[str]: ...
    @property
    def modules_to_save(self) -> Sequence[str]: ...
    @property
    def steps(self) -> int: ...


class _Asked(NamedTuple):
    """The plan, and the widths (out, in) of the layers that are adapted."""

    plan: AdapterShape
    shapes: list[tuple[int, int]]
    names: list[str]

    def dividing(self, most: int, *, both: bool) -> int:
        """The largest power of two up to `most` that divides every width: of inputs, and of outputs where `both`."""
        widths = [into for _, into in self.shapes] + ([out for out, _ in self.shapes] if both else [])
        common = math.gcd(*widths)
        return min(most, common & -common)

    @property
    def narrowest(self) -> int:
        return min(min(shape) for shape in self.shapes)

    @property
    def rank(self) -> int:
        """Not above what the narrowest layer has, for methods that cannot exceed it."""
        return min(self.plan.rank, self.narrowest)


def config_of(plan: AdapterShape, layers: dict[str, torch.nn.Module], *, quantized: str) -> Any:
    """PEFT's configuration, all but targets, for adapters on `layers`. `quantized` says how the base is, empty if it is not.

    Raises UsageProblem for what cannot be, EnvironmentProblem where the installed PEFT does not know the variant.
    """
    variant = VARIANTS.get(plan.variant)
    if variant is None:
        raise UsageProblem(f"There is no variant '{plan.variant}'", why=nearest(plan.variant, VARIANTS))
    if quantized and not variant.on_quantized:
        able = ", ".join(name for name, one in VARIANTS.items() if one.on_quantized)
        raise UsageProblem(
            f"'{plan.variant}' does not train over a base in {quantized}",
            why="It computes with the base's weights themselves, and those are packed.",
            fix=f"Take the base in 16 bit (--method lora), or one of: {able}.",
        )
    if plan.variant == "qlora" and not quantized:
        raise UsageProblem(
            "qlora trains over a base in 4 bit, and this one is not",
            fix="Load it so (--method qlora), or take --variant lora.",
        )
    kind, build = _BUILDERS[plan.variant]
    made = getattr(peft, kind, None)
    if made is None:
        raise EnvironmentProblem(
            f"The installed PEFT {peft.__version__} does not know '{plan.variant}'", fix="pip install --upgrade peft"
        )
    asked = _Asked(plan, [_shape(layer) for layer in layers.values()], list(layers))
    return made(**build(asked), modules_to_save=list(plan.modules_to_save) or None)


def _shape(layer: torch.nn.Module) -> tuple[int, int]:
    if hasattr(layer, "in_features"):
        return int(layer.out_features), int(layer.in_features)  # type: ignore[arg-type]
    if isinstance(layer, torch.nn.Conv2d):
        return layer.out_channels, layer.weight[0].numel()
    into, out = layer.weight.shape  # type: ignore[misc]  # GPT-2's layers and embeddings are written the other way round
    return out, into


Fields = dict[str, Any]


def _lora(asked: _Asked, **more: Any) -> Fields:
    plan = asked.plan
    return {
        "r": plan.rank, "lora_alpha": plan.alpha, "lora_dropout": plan.dropout,
        "use_rslora": plan.use_rslora or plan.variant == "rslora", "bias": "none", **more,
    }  # fmt: skip


def _from_weights(asked: _Asked) -> Fields:
    """PiSSA and OLoRA take their start from the weights, which have no more directions than their narrower side."""
    return _lora(asked, r=asked.rank, init_lora_weights=asked.plan.variant)


def _adalora(asked: _Asked) -> Fields:
    plan = asked.plan
    if plan.steps < _ADALORA_LEAST_STEPS:
        raise UsageProblem(
            f"adalora needs at least {_ADALORA_LEAST_STEPS} steps, and there are {plan.steps}",
            why="Ranks fall from step to step.", fix="Train longer (--epochs, --max-steps), or take --variant lora.",
        )  # fmt: skip
    before, after = (max(1, round(share * plan.steps)) for share in _ADALORA_SHARES)
    fields = _lora(asked)
    del fields["r"]
    # A window of a tenth of the falling steps at most: each reallocation sorts the importance of all ranks.
    every = max(1, (plan.steps - before - after) // 100)
    return fields | {
        "init_r": math.ceil(_ADALORA_START * plan.rank), "target_r": plan.rank, "total_step": plan.steps, "tinit": before,
        "tfinal": after, "deltaT": every,
    }  # fmt: skip


def _vera(asked: _Asked) -> Fields:
    return {"r": _VERA_RANKS * asked.plan.rank, "vera_dropout": asked.plan.dropout}


def _ia3(asked: _Asked) -> Fields:
    """Keys, values and the last layer of the MLP are scaled: of the latter what comes in, of the others what goes out."""
    last = ("down_proj", "fc2", "wo", "w2", "c_proj", "dense_4h_to_h", "output.dense", "down", "linear2")
    mlp = [name for name in asked.names if name.endswith(last) and "attn" not in name and "attention" not in name]
    return {"feedforward_modules": mlp}


def _fourier(asked: _Asked) -> Fields:
    # 1,000 frequencies and a scaling of 300 for models of 7B, arXiv 2405.03003, table 6; 150 is PEFT's for smaller ones.
    return {"n_frequency": min(1000, asked.narrowest**2), "scaling": 150.0}


def _wavelets(asked: _Asked) -> Fields:
    smallest = min(out * into for out, into in asked.shapes)
    mean = sum(out + into for out, into in asked.shapes) / len(asked.shapes)
    return {"n_frequency": min(smallest, round(asked.plan.rank * mean)), "scaling": 25.0}


def _randlora(asked: _Asked) -> Fields:
    # PEFT's scaling: alpha of twenty times the rank.
    return {"r": asked.rank, "randlora_alpha": 20 * asked.rank, "randlora_dropout": asked.plan.dropout}


def _gralora(asked: _Asked) -> Fields:
    blocks = asked.dividing(2, both=True)
    rank = max(blocks, asked.plan.rank // blocks * blocks)
    return {"r": rank, "alpha": asked.plan.alpha, "gralora_dropout": asked.plan.dropout, "gralora_k": blocks}


def _vblora(asked: _Asked) -> Fields:
    length = asked.dividing(256, both=True)
    return {"r": asked.plan.rank, "vector_length": length, "num_vectors": 256, "vblora_dropout": asked.plan.dropout}


def _shira(asked: _Asked) -> Fields:
    out, into = min(asked.shapes, key=lambda shape: shape[0] * shape[1] / (shape[0] + shape[1]))
    return {"r": max(1, min(asked.plan.rank, out * into // (out + into))), "random_seed": 0}


def _lily(asked: _Asked) -> Fields:
    return {"r": asked.plan.rank, "scaling": asked.plan.alpha / asked.plan.rank}


def _psoft(asked: _Asked) -> Fields:
    return {"r": asked.rank, "psoft_alpha": asked.rank, "psoft_dropout": asked.plan.dropout}


_BUILDERS: dict[str, tuple[str, Callable[[_Asked], Fields]]] = {
    "lora": ("LoraConfig", _lora),
    "qlora": ("LoraConfig", _lora),
    "rslora": ("LoraConfig", _lora),
    "lora+": ("LoraConfig", _lora),
    "dora": ("LoraConfig", lambda asked: _lora(asked, use_dora=True)),
    "pissa": ("LoraConfig", _from_weights),
    "olora": ("LoraConfig", _from_weights),
    "adalora": ("AdaLoraConfig", _adalora),
    "vera": ("VeraConfig", _vera),
    "oft": ("OFTConfig", lambda asked: {"r": 0, "oft_block_size": asked.dividing(32, both=False)}),
    "boft": ("BOFTConfig", lambda asked: {"boft_block_size": asked.dividing(8, both=False)}),
    "ia3": ("IA3Config", _ia3),
    "loha": ("LoHaConfig", lambda asked: {"r": asked.plan.rank, "alpha": asked.plan.alpha}),
    "lokr": ("LoKrConfig", lambda asked: {"r": asked.plan.rank, "alpha": asked.plan.alpha}),
    "fourierft": ("FourierFTConfig", _fourier),
    "waveft": ("WaveFTConfig", _wavelets),
    "hra": ("HRAConfig", lambda asked: {"r": max(2, asked.rank // 2 * 2)}),
    "randlora": ("RandLoraConfig", _randlora),
    "delora": ("DeloraConfig", lambda asked: {"r": asked.rank}),
    "miss": ("MissConfig", lambda asked: {"r": asked.rank, "miss_dropout": asked.plan.dropout}),
    "gralora": ("GraloraConfig", _gralora),
    "vblora": ("VBLoRAConfig", _vblora),
    "hira": ("HiraConfig", lambda asked: {"r": asked.plan.rank, "hira_dropout": asked.plan.dropout}),
    "shira": ("ShiraConfig", _shira),
    "c3a": ("C3AConfig", lambda asked: {"block_size": asked.dividing(256, both=True)}),
    "road": ("RoadConfig", lambda asked: {"group_size": asked.dividing(64, both=True)}),
    "lily": ("LilyConfig", _lily),
    "psoft": ("PsoftConfig", _psoft),
}
