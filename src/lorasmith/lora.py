"""LoRA for your own scripts: profiles by name, and one call that puts one on a model (PRO-3). Only that imports torch.

```python
from lorasmith.lora import apply_lora, get_llm_config

model = apply_lora(model, get_llm_config("llama"))
```
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from lorasmith import profiles
from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.profiles import Profile

__all__ = [
    "EnhancedDonut", "ModelType", "Profile", "apply_lora", "apply_memory_optimizations", "get_donut_config",
    "get_layoutlm_config", "get_llm_config", "get_profile", "get_trocr_config", "peft_config",
]  # fmt: skip

EnhancedDonut: Mapping[str, Any] = MappingProxyType({"profile": "donut_high_precision", "augment": True})
"""Donut with high precision: every layer adapted, pages varied at random, every field counted alike in the loss, the best
adapter kept and the training ended by field F1. Options of a training: `lorasmith.train(model, data=…, **EnhancedDonut)`."""
RANK = 16
"""Where a profile leaves the rank to the data, and there is none: what AUT-1 takes for few rows."""
ALPHA = 32.0
_UNKNOWN_STEPS = 1000


class ModelType(StrEnum):
    """Kinds of model that have a profile, or share the universal one."""

    DONUT = "donut"
    TROCR = "trocr"
    LAYOUTLM = "layoutlm"
    LLAMA = "llama"
    CODELLAMA = "codellama"
    MISTRAL = "mistral"
    QWEN = "qwen"
    GEMMA = "gemma"
    PHI = "phi"
    GPT2 = "gpt2"
    GPT_NEOX = "gpt_neox"
    FALCON = "falcon"
    T5 = "t5"
    BART = "bart"
    WHISPER = "whisper"
    UNIVERSAL = "universal"

    @property
    def profiles(self) -> list[Profile]:
        """The built-in profiles of this kind; the universal one where it has none of its own."""
        named = [one for name, one in profiles.builtin().items() if name.split("_")[0] == self.value]
        return named or [profiles.get("universal")]


def get_profile(name: str) -> Profile:
    """The profile of that name, built in or yours. Raises NotFoundProblem with the nearest name."""
    return profiles.get(name)


def get_donut_config(kind: str = "standard") -> Profile:
    """The Donut profile: standard, lightweight or high_precision."""
    return _of_kind(ModelType.DONUT, kind)


def get_trocr_config(kind: str = "safe") -> Profile:
    """The TrOCR profile: safe or extended."""
    return _of_kind(ModelType.TROCR, kind)


def get_layoutlm_config(kind: str = "standard") -> Profile:
    """The LayoutLM profile, for versions 1 to 3."""
    return _of_kind(ModelType.LAYOUTLM, kind)


def get_llm_config(model_type: str | ModelType, method: Literal["lora", "qlora"] = "lora") -> Profile:
    """The profile for a language model of this kind; the universal one where it has none of its own.

    Raises UsageProblem for an unknown kind or method.
    """
    if method not in {"lora", "qlora"}:
        raise UsageProblem(f"There is no method '{method}' for a profile", why=nearest(method, ("lora", "qlora")))
    kinds = [kind.value for kind in ModelType if kind not in {ModelType.DONUT, ModelType.TROCR, ModelType.LAYOUTLM}]
    if model_type not in kinds:
        raise UsageProblem(f"There is no kind of language model '{model_type}'", why=nearest(str(model_type), kinds))
    found = ModelType(model_type).profiles
    wanted = "4bit" if method == "qlora" else "none"
    own = next((one for one in found if one.quantization == wanted), None)
    return own or profiles.make(found[0].model_dump() | {"variant": method, "quantization": wanted})


def _of_kind(model_type: ModelType, kind: str) -> Profile:
    known = {one.name.removeprefix(f"{model_type.value}_"): one for one in model_type.profiles}
    if kind not in known:
        raise UsageProblem(f"There is no {model_type.value} profile '{kind}'", why=nearest(kind, known))
    return known[kind]


class _Plan(NamedTuple):
    """What a training plan says of an adapter, as far as a profile does."""

    variant: str
    rank: int
    alpha: float
    dropout: float
    use_rslora: bool
    target_modules: str | list[str]
    modules_to_save: list[str]
    device: str
    steps: int
    learning_rate: float = 0.0
    accumulation: int = 1


def _plan(profile: Profile, *, device: str, steps: int) -> _Plan:
    targets = profile.target_modules
    return _Plan(
        profile.variant, profile.r if isinstance(profile.r, int) else RANK, profile.alpha or ALPHA, profile.dropout or 0.0,
        profile.use_rslora, targets if isinstance(targets, str) else list(targets), list(profile.modules_to_save), device, steps,
    )  # fmt: skip


def apply_lora(model: Any, profile: Profile | str, *, steps: int = _UNKNOWN_STEPS) -> Any:
    """`model`, a loaded transformers model, as a PeftModel with fresh adapters of this profile; its weights are frozen.

    `steps` is how long it will be trained, which AdaLoRA must know. The same code puts adapters on in `lorasmith train`. Raises
    UsageProblem with the names that exist where no layer matches, and where the variant cannot be had with this model.
    """
    from lorasmith.workers import lora

    chosen = get_profile(profile) if isinstance(profile, str) else profile
    plan = _plan(chosen, device=str(getattr(model, "device", "cpu")).partition(":")[0], steps=steps)
    return lora.apply_lora(model, plan, str(getattr(model, "name_or_path", "")))


def peft_config(model: Any, profile: Profile | str, *, steps: int = _UNKNOWN_STEPS) -> Any:
    """PEFT's own configuration of this profile for `model`, for code that calls PEFT itself. The model stays as it is."""
    from lorasmith.workers import lora

    chosen = get_profile(profile) if isinstance(profile, str) else profile
    return lora.adapter_config(model, _plan(chosen, device="cpu", steps=steps))


def apply_memory_optimizations(model: Any, *, checkpointing: bool = True, embeddings_on_cpu: bool = False) -> list[str]:
    """Compute activations twice, and keep the input's embeddings in the machine's own memory. Says what was done.

    Raises UsageProblem where a model cannot compute its activations twice.
    """
    from lorasmith.workers import savings

    return savings.apply_memory_optimizations(model, checkpointing=checkpointing, embeddings_on_cpu=embeddings_on_cpu)
