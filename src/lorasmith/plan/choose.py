"""A whole training decided: what the user gave, what a profile says, what the rules say, what fits (AUT-1). Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.facts import PREFERENCES, DataFacts, ModelFacts
from lorasmith.core.progress import amount
from lorasmith.plan import rules
from lorasmith.plan.fit import Fit, Fitter, does_not_fit
from lorasmith.plan.hardware import HardwareFacts, parse_bytes
from lorasmith.plan.learned import NO_CORRECTION, Correction
from lorasmith.plan.memory import MOMENT_BYTES, Method, Training
from lorasmith.plan.rules import Chooser, Chosen
from lorasmith.profiles import VARIANTS, Profile

_DENSEST = 1.5  # a batch of the densest rows learns up to so many times the mean share of its tokens
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "lion_8bit", "adafactor"]


class TrainPlan(BaseModel):
    """What was decided for one training. `reasons` has one line for each of the values above it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "lora"
    variant: str = "lora"
    """One of `lorasmith.profiles.VARIANTS`."""
    objective: str = "sft"
    target_modules: str | list[str]
    modules_to_save: list[str] = []
    """Modules that are trained in full beside the adapters."""
    rank: int
    """0 where all weights are trained, as alpha and dropout."""
    alpha: float
    use_rslora: bool
    dropout: float
    learning_rate: float
    beta: float | None = None
    """For preferences: how closely to stay with the untouched model; for ORPO how much the preference counts."""
    optimizer: Optimizer = "adamw"
    micro_batch: int
    accumulation: int
    steps: int
    epochs: float
    max_length: int
    packing: bool = False
    """Whether the rows of a micro-batch are joined without padding."""
    precision: Literal["float32", "bfloat16", "float16"]
    warmup_steps: int
    schedule: Literal["cosine", "linear", "constant"]
    evaluations: int
    eval_every: int
    eval_rows: int
    device: str
    checkpointing: bool = False
    """Whether activations are computed again for the backward pass instead of kept."""
    tight_memory: bool = False
    """Whether the worker gives every freed block back to the system."""
    circular: bool = False
    memory_bytes: int = 0
    """What the worker may take at most; 0: what is free."""
    reasons: dict[str, str] = Field(default_factory=dict)
    predicted_peak_bytes: int
    uncorrected_peak_bytes: int = 0
    """What the plan says before this machine's measurements correct it."""

    @property
    def effective_batch(self) -> int:
        return self.micro_batch * self.accumulation


def choose(
    given: Mapping[str, Any], model: ModelFacts, data: DataFacts, hardware: HardwareFacts,
    learned: Correction = NO_CORRECTION, *, profile: Profile | None = None, can_quantize: bool = False,
) -> TrainPlan:  # fmt: skip
    """The plan for training `model` on `data` with this hardware; whatever stands in `given` (by option name) wins.

    `learned` is how far plans have been off on this machine; `can_quantize` whether bitsandbytes is there, so that a base in
    4 bit may be chosen.

    Raises DoesNotFitProblem where not even one row at a time fits, with what takes less.
    """
    pick = Chooser(given, *_of_profile(profile))
    device = hardware.device if given.get("device") in (None, "auto") else given["device"]
    classic = given.get("rules") == "classic"
    precision = pick.take("precision", rules.precision(model, hardware, device))
    max_length = pick.take("max_length", rules.max_length(model, data))
    optimizer = pick.take(
        "optimizer", Chosen("adamw", "the usual one; 8-bit ones save memory where all weights are trained")
    )
    asked = given.get("method") or ("qlora" if given.get("variant") == "qlora" else pick.profile.get("method"))
    adapter = _adapter(pick, model, data, classic=classic) if asked != "full" else _no_adapter(pick)
    free = hardware.gpu_free_bytes if device == "cuda" else hardware.ram_free_bytes
    limit = parse_bytes(given["memory"]) if given.get("memory") else 0
    free = min(free, limit) if limit else free
    base = Training(
        asked or "lora", 1, max_length, precision, rank=adapter["rank"], on_gpu=device == "cuda", dropout=adapter["dropout"] > 0,
        supervised=_supervised(data), moments=MOMENT_BYTES[optimizer], objective=data.objective,
        joined=VARIANTS[adapter.get("variant", "lora")].is_plain,
    )  # fmt: skip
    fitter = Fitter(model, base, free, learned)
    fit, micro, accumulation = _fitted(pick, fitter, data, asked, can_quantize=can_quantize, classic=classic)
    if learned.runs:
        pick.reasons["predicted_peak_bytes"] = f"corrected {learned}"
    effective = micro * accumulation
    rate = rules.learning_rate(model, effective, method=fit.method, objective=data.objective)
    if classic:
        rate = rules.classic_learning_rate(model, data)
    factor = VARIANTS[adapter.get("variant", "lora")].rate_factor
    if factor != 1:
        rate = Chosen(float(f"{rate.value * factor:.3g}"), f"{rate.reason}, × {factor:g} for {adapter['variant']}")
    rate = pick.take("learning_rate", rate)
    beta = pick.take("beta", rules.beta(data)) if data.objective in PREFERENCES else None
    steps, epochs = rules.steps(pick, data, effective)
    warmup = pick.take("warmup_steps", Chosen(max(1, round(0.05 * steps)), "5 % of the steps"))
    schedule = pick.take("schedule", rules.schedule(steps, circular=bool(given.get("circular"))))
    evaluations, eval_rows = rules.evaluations(pick, data, steps, epochs)
    return TrainPlan(
        **adapter,
        method=fit.method,  # type: ignore[arg-type]
        objective=data.objective,
        learning_rate=rate,
        beta=beta,
        optimizer=optimizer,
        micro_batch=micro,
        accumulation=accumulation,
        steps=steps,
        epochs=round(epochs, 2),
        max_length=max_length,
        packing=_packing(pick, model, data, micro),
        precision=precision,
        warmup_steps=warmup,
        schedule=schedule,
        evaluations=evaluations,
        eval_every=max(1, steps // evaluations) if evaluations else 0,
        eval_rows=eval_rows,
        device=device,
        checkpointing=fit.how.checkpointing,
        tight_memory=fit.how.tight,
        circular=bool(given.get("circular")),
        memory_bytes=limit,
        reasons=pick.reasons,
        predicted_peak_bytes=fit.need.total + learned.of(fit.need.total),
        uncorrected_peak_bytes=fit.need.total,
    )


def ways_out(
    plan: TrainPlan, given: Mapping[str, Any], model: ModelFacts, data: DataFacts, hardware: HardwareFacts
) -> str:
    """What to type where memory ran out in spite of `plan`: each way with what it should take."""
    free = hardware.gpu_free_bytes if plan.device == "cuda" else hardware.ram_free_bytes
    base = Training(
        plan.method, plan.micro_batch, plan.max_length, plan.precision, rank=plan.rank, on_gpu=plan.device == "cuda",
        checkpointing=plan.checkpointing, dropout=plan.dropout > 0, supervised=_supervised(data),
        moments=MOMENT_BYTES[plan.optimizer], tight=plan.tight_memory, objective=data.objective,
        joined=VARIANTS[plan.variant].is_plain,
    )  # fmt: skip
    fitter = Fitter(model, base, plan.memory_bytes or free, NO_CORRECTION)
    return does_not_fit(fitter, given, fitter.planned()).fix


def _supervised(data: DataFacts) -> float:
    return min(1.0, _DENSEST * data.num_supervised_tokens / max(1, data.num_tokens))


def _of_profile(profile: Profile | None) -> tuple[dict[str, Any], str]:
    """What a profile decides, by the names that the plan has for it."""
    if profile is None:
        return {}, ""
    values: dict[str, Any] = {
        "rank": None if profile.r == "auto" else profile.r, "alpha": profile.alpha, "dropout": profile.dropout,
        "target_modules": None if profile.target_modules == "auto" else profile.target_modules,
        "modules_to_save": list(profile.modules_to_save) or None, "use_rslora": profile.use_rslora or None,
        "variant": profile.variant, "method": "qlora" if profile.quantization == "4bit" else None,
    }  # fmt: skip
    return values, profile.name


def _adapter(pick: Chooser, model: ModelFacts, data: DataFacts, *, classic: bool) -> dict[str, Any]:
    """The adapter's shape."""
    variant = pick.take("variant", Chosen("lora", "tuned well, it is within 1–2 % of the others"))
    targets = pick.take("target_modules", rules.targets(model))
    rank = pick.take("rank", rules.rank(model, data), option="lora_r")
    alpha = pick.take("alpha", rules.alpha(rank, classic=classic), option="lora_alpha")
    dropout = pick.take("dropout", rules.dropout(model, data), option="lora_dropout")
    to_save = pick.take("modules_to_save", Chosen([], "")) if pick.profile.get("modules_to_save") else []
    is_plain = variant in {"lora", "qlora"}
    return {
        "variant": "lora" if is_plain else variant, "rank": rank, "alpha": alpha, "dropout": dropout, "modules_to_save": to_save,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "use_rslora": variant == "rslora" or bool(pick.profile.get("use_rslora")) or (is_plain and rank >= 64),
    }  # fmt: skip


def _no_adapter(pick: Chooser) -> dict[str, Any]:
    pick.reasons["target_modules"] = "all weights are trained"
    return {"target_modules": "all weights", "rank": 0, "alpha": 0.0, "dropout": 0.0, "use_rslora": False}


def _fitted(
    pick: Chooser, fitter: Fitter, data: DataFacts, asked: str | None, *, can_quantize: bool, classic: bool
) -> tuple[Fit, int, int]:
    """The way of training, rows at a time and accumulation: the largest micro-batch that fits, times what makes the effective
    batch."""
    given = pick.given
    effective = min(rules.EFFECTIVE_BATCH, data.num_train)
    checkpointing = bool(given.get("checkpointing"))
    fit = fitter.best(given.get("batch_size") or 1, asked, checkpointing=checkpointing, can_quantize=can_quantize)
    if fit is None:
        fit = fitter.planned(
            rows=given.get("batch_size") or 1, method=asked or "lora", tight=not fitter.base.on_gpu, checkpointing=True
        )
        if given.get("batch_size") is None:
            raise does_not_fit(fitter, given, fit)
    free = amount(fitter.free)
    if given.get("batch_size") is None:
        fit = fitter.largest(fit, effective)
        reason = f"the largest that fits: {amount(fit.required)} of {free} free"
        rule = rules.classic_batch(fitter.free) if classic else Chosen(fit.how.rows, reason)
        micro = pick.take("micro_batch", rule)
        fit = fitter.planned(**fit.how._asdict() | {"rows": micro})
    else:
        micro, pick.reasons["micro_batch"] = given["batch_size"], "given"
    accumulation = given.get("gradient_accumulation")
    pick.reasons["accumulation"] = "given"
    if accumulation is None:
        accumulation = max(1, round(effective / micro))
        pick.reasons["accumulation"] = f"makes an effective batch of {micro * accumulation}"
    _explain(pick, fitter, fit, asked)
    return fit, micro, accumulation


def _explain(pick: Chooser, fitter: Fitter, fit: Fit, asked: str | None) -> None:
    """Why memory is bought with time, where it is."""
    how, free = fit.how, amount(fitter.free)

    def without(**changes: Any) -> str:
        return f"without it {amount(fitter.planned(**how._asdict() | changes).required)} of {free} free; slower"

    if asked:
        pick.reasons["method"] = "given" if pick.given.get("method") else f"profile {pick.profile_name}"
    elif how.method == "qlora":
        pick.reasons["method"] = f"the base in 4 bit: {without(method='lora')}"
    else:
        pick.reasons["method"] = "small matrices beside frozen weights: a fraction of the memory, about as good"
    if how.checkpointing:
        asked_for = pick.given.get("checkpointing")
        pick.reasons["checkpointing"] = "given" if asked_for else without(checkpointing=False)
    if how.tight:
        pick.reasons["tight_memory"] = without(tight=False)


def _packing(pick: Chooser, model: ModelFacts, data: DataFacts, micro: int) -> bool:
    """Whether rows are joined: the worker still proves on the model itself that none sees another."""
    if pick.given.get("no_packing"):
        pick.reasons["packing"] = "given"
        return False
    keeps_state = any(group.state for group in model.cache)
    hindrance = (
        "one row at a time" if micro == 1
        else "pairs of answers are padded" if data.objective in PREFERENCES
        else "its layers carry a state from row to row" if keeps_state
        else "decoders alone can" if model.architecture_type != "decoder-only"
        else ""
    )  # fmt: skip
    pick.reasons["packing"] = hindrance or "rows are joined without padding; none sees another"
    return not hindrance
