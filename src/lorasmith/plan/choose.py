"""Every training parameter that the user did not give, with the reason for it (AUT-1). Pure arithmetic on facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.errors import DoesNotFitProblem
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.core.progress import amount, count
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.learned import NO_CORRECTION, Correction
from lorasmith.plan.memory import Method, Training, TrainingNeed, training_bytes

EFFECTIVE_BATCH = 16
MIN_STEPS = 100
MAX_EPOCHS = 30
USABLE_MEMORY = 0.9
_DENSEST = 1.5  # a batch of the densest rows learns up to so many times the mean share of its tokens
# Exponents of lr = 5e-4 · (2000 / hidden)^p: tinker-cookbook, hyperparam_utils.get_lr.
_RATE_EXPONENTS = {"llama": 0.781, "qwen": 0.0775}
_LLAMA_LIKE = ("llama", "mistral", "smollm", "granite", "olmo")
_HALF_PRECISION_PARAMETERS = 100_000_000


class TrainPlan(BaseModel):
    """What was decided for one training. `reasons` has one line for each of the values above it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "lora"
    variant: str = "lora"
    """One of `lorasmith.profiles.VARIANTS`."""
    target_modules: str | list[str]
    modules_to_save: list[str] = []
    """Modules that are trained in full beside the adapters."""
    rank: int
    alpha: float
    use_rslora: bool
    dropout: float
    learning_rate: float
    micro_batch: int
    accumulation: int
    steps: int
    epochs: float
    max_length: int
    precision: Literal["float32", "bfloat16", "float16"]
    warmup_steps: int
    schedule: Literal["cosine", "linear"]
    evaluations: int
    eval_every: int
    eval_rows: int
    device: str
    tight_memory: bool = False
    """Whether the worker gives every freed block back to the system."""
    reasons: dict[str, str] = Field(default_factory=dict)
    predicted_peak_bytes: int
    uncorrected_peak_bytes: int = 0
    """What the plan says before this machine's measurements correct it."""

    @property
    def effective_batch(self) -> int:
        return self.micro_batch * self.accumulation


class Chosen(NamedTuple):
    """A value and why."""

    value: Any
    reason: str


class _Chooser:
    """Takes what the user gave, else what the rule says, and keeps the reason."""

    def __init__(self, given: Mapping[str, Any]):
        self.given = given
        self.reasons: dict[str, str] = {}

    def take(self, name: str, rule: Chosen, *, option: str = "") -> Any:
        value = self.given.get(option or name)
        self.reasons[name] = "given" if value is not None else rule.reason
        return rule.value if value is None else value


def choose(
    given: Mapping[str, Any],
    model: ModelFacts,
    data: DataFacts,
    hardware: HardwareFacts,
    learned: Correction = NO_CORRECTION,
) -> TrainPlan:
    """The plan for training `model` on `data` with this hardware; whatever stands in `given` (by option name) wins.

    `learned` is how far plans have been off on this machine.

    Raises DoesNotFitProblem where not even one row at a time fits.
    """
    pick = _Chooser(given)
    device = hardware.device if given.get("device") in (None, "auto") else given["device"]
    precision = pick.take("precision", _precision(model, hardware, device))
    targets = pick.take("target_modules", Chosen("all-linear", "attention and MLP of every layer learn best together"))
    rank = pick.take("rank", _rank(model, data), option="lora_r")
    alpha = pick.take(
        "alpha", Chosen(32.0, "fixed: scaled by alpha/r, the best rate hardly depends on r"), option="lora_alpha"
    )
    dropout = pick.take("dropout", _dropout(model, data), option="lora_dropout")
    max_length = pick.take("max_length", _max_length(model, data))
    share = min(1.0, _DENSEST * data.num_supervised_tokens / max(1, data.num_tokens))

    def planned(rows: int, *, tight: bool) -> TrainingNeed:
        how = Training(
            "lora", rows, max_length, precision, rank=rank, on_gpu=device == "cuda", dropout=dropout > 0,
            supervised=share, tight=tight,
        )  # fmt: skip
        return training_bytes(model, how)

    def need(rows: int, *, tight: bool = False) -> int:
        required = planned(rows, tight=tight).required
        return required + learned.of(required)

    free = hardware.gpu_free_bytes if device == "cuda" else hardware.ram_free_bytes
    # Giving freed blocks back at once costs time: only where not even one row at a time fits without.
    asked_rows = pick.given.get("batch_size") or 1
    tight = device == "cpu" and need(asked_rows) > USABLE_MEMORY * free
    micro, accumulation = _batch(pick, data, lambda rows: need(rows, tight=tight), free, max_length)
    peak = planned(micro, tight=tight).total
    if tight:
        pick.reasons["tight_memory"] = f"without it {amount(need(micro))} of {amount(free)} free; slower"
    if learned.runs:
        pick.reasons["predicted_peak_bytes"] = f"corrected {learned}"
    effective = micro * accumulation
    rate = pick.take("learning_rate", learning_rate(model, effective))
    steps, epochs = _steps(pick, data, effective)
    warmup = pick.take("warmup_steps", Chosen(max(1, round(0.05 * steps)), "5 % of the steps"))
    schedule = pick.take("schedule", _schedule(steps))
    evaluations, eval_rows = _evaluations(pick, data, steps, epochs)
    return TrainPlan(
        target_modules=targets,
        rank=rank,
        alpha=alpha,
        use_rslora=rank >= 64,
        dropout=dropout,
        learning_rate=rate,
        micro_batch=micro,
        accumulation=accumulation,
        steps=steps,
        epochs=round(epochs, 2),
        max_length=max_length,
        precision=precision,
        warmup_steps=warmup,
        schedule=schedule,
        evaluations=evaluations,
        eval_every=max(1, steps // evaluations) if evaluations else 0,
        eval_rows=eval_rows,
        device=device,
        reasons=pick.reasons,
        tight_memory=tight,
        predicted_peak_bytes=peak + learned.of(peak),
        uncorrected_peak_bytes=peak,
    )


def _precision(model: ModelFacts, hardware: HardwareFacts, device: str) -> Chosen:
    if device == "cuda":
        if hardware.gpu_capability >= 8:
            return Chosen("bfloat16", f"{hardware.gpu} computes it natively")
        return Chosen("float16", f"{hardware.gpu} has no native bfloat16")
    if hardware.cpu_has_bf16 and model.num_parameters >= _HALF_PRECISION_PARAMETERS:
        return Chosen("bfloat16", "this CPU computes it natively")
    if hardware.cpu_has_bf16:
        return Chosen("float32", "the model is small: half precision would save nothing")
    return Chosen("float32", "this CPU has no native bfloat16; 16-bit weights are computed in fp32")


def _rank(model: ModelFacts, data: DataFacts) -> Chosen:
    if data.num_train < 500:
        return Chosen(16, f"{data.num_train} rows: fewer than 500")
    billions = model.num_parameters / 1e9
    rank = 8 if billions < 1 else 16 if billions < 7 else 32 if billions < 13 else 64
    reason = f"a model of {count(model.num_parameters)} parameters"
    per_rank = sum(out + into for out, into in model.linear_shapes)
    # Beyond a quarter of the width an adapter is no longer low-rank.
    most = max(8, min(128, model.hidden_size // 4 // 8 * 8))
    raised = rank
    while raised * per_rank < data.num_supervised_tokens and raised < most:
        raised = min(most, raised * 2)
    if raised > rank:
        reason += f", raised from {rank} for {count(data.num_supervised_tokens)} supervised tokens"
    return Chosen(raised, reason)


def _dropout(model: ModelFacts, data: DataFacts) -> Chosen:
    if model.has_experts:
        return Chosen(0.0, "experts are fused into one parameter, and PEFT adapts those without dropout only")
    if data.num_train > 2000:
        return Chosen(0.0, f"{data.num_train:,} rows: more than 2,000 need none")
    return Chosen(0.05, f"{data.num_train:,} rows: few enough to be learnt by heart")


def _max_length(model: ModelFacts, data: DataFacts) -> Chosen:
    wanted = -(-data.length_p995 // 64) * 64
    if data.objective == "pretrain":
        wanted = min(wanted, 1024)
    if wanted > model.max_positions:
        return Chosen(model.max_positions, f"all that the model can read (rows go up to {data.length_max:,} tokens)")
    return Chosen(wanted, f"99.5 % of the rows have at most {data.length_p995:,} tokens")


def _batch(pick: _Chooser, data: DataFacts, need: Callable[[int], int], free: int, max_length: int) -> tuple[int, int]:
    """Micro-batch and accumulation: the largest micro-batch that fits, times what makes the effective batch.

    `need` gives the peak bytes for so many rows at a time. Raises DoesNotFitProblem where not even one fits.
    """
    accumulation = pick.given.get("gradient_accumulation")
    effective = min(EFFECTIVE_BATCH, data.num_train)
    if pick.given.get("batch_size") is None and need(1) > USABLE_MEMORY * free:
        raise DoesNotFitProblem(
            f"This training needs {amount(need(1))} even one row at a time, and {amount(free)} are free",
            why=f"Rows are up to {max_length} tokens long.",
            fix=f"Shorter rows: --max-length {max(64, max_length // 2)}; a lower rank: --lora-r 8; or a smaller model.",
        )
    micro = effective
    while micro > 1 and need(micro) > USABLE_MEMORY * free:
        micro = (micro + 1) // 2
    share = f"{amount(need(micro))} of {amount(free)} free"
    micro = pick.take("micro_batch", Chosen(micro, f"the largest that fits: {share}"), option="batch_size")
    if accumulation is None:
        accumulation = max(1, round(effective / micro))
        pick.reasons["accumulation"] = f"makes an effective batch of {micro * accumulation}"
    else:
        pick.reasons["accumulation"] = "given"
    return micro, accumulation


def learning_rate(model: ModelFacts, effective_batch: int) -> Chosen:
    """Peak learning rate for LoRA by family, width and batch."""
    kind = model.model_type.lower()
    family = "llama" if kind.startswith(_LLAMA_LIKE) else "qwen" if kind.startswith("qwen") else ""
    if family and model.hidden_size:
        rate = 5e-4 * (2000 / model.hidden_size) ** _RATE_EXPONENTS[family]
        reason = f"{family.capitalize()} rule for width {model.hidden_size}"
    else:
        rate, reason = 2e-4, "the usual rate for a family without a rule of its own"
    factor = min(2.0, max(0.5, (effective_batch / 32) ** 0.5))
    return Chosen(float(f"{rate * factor:.3g}"), f"{reason}, × {factor:.2f} for batch {effective_batch}")


def _steps(pick: _Chooser, data: DataFacts, effective: int) -> tuple[int, float]:
    rows = data.num_train
    most = 3 if rows > 10_000 else 5 if rows > 1_000 else 10
    reason = f"at most {most} for {rows:,} rows; ends sooner when it stops paying"
    if most * rows / effective < MIN_STEPS:
        most = min(MAX_EPOCHS, -(-MIN_STEPS * effective // rows))
        reason = f"{rows:,} rows: enough passes for about {MIN_STEPS} steps"
    epochs = pick.take("epochs", Chosen(most, reason))
    steps = max(1, round(epochs * rows / effective))
    limit = pick.given.get("max_steps")
    if limit is not None and limit < steps:
        pick.reasons["epochs"] = f"--max-steps {limit}"
        steps = limit
    pick.reasons["steps"] = f"{epochs:g} epochs of {rows:,} rows" if steps != limit else "given"
    return steps, steps * effective / rows


def _schedule(steps: int) -> Chosen:
    if steps < 200:
        return Chosen("linear", f"{steps} steps: fewer than 200")
    return Chosen("cosine", f"{steps:,} steps")


def _evaluations(pick: _Chooser, data: DataFacts, steps: int, epochs: float) -> tuple[int, int]:
    """How many evaluations, and on how many validation rows, so that they cost at most a tenth of the time.

    A forward pass is a third of a training step's work, so n evaluations of v tokens cost n·v/3 of the t tokens trained.
    It counts tokens, not seconds: a resumed run must decide as an unbroken one.
    """
    if not data.num_validation:
        pick.reasons["evaluations"] = "no row is held out"
        return 0, 0
    evaluations = min(steps, max(10, min(30, steps // 50)))
    row_tokens = data.num_tokens / data.num_rows
    trained = epochs * data.num_train * row_tokens
    affordable = int(0.1 * 3 * trained / (evaluations * row_tokens))
    rows = max(1, min(data.num_validation, affordable))
    pick.reasons["evaluations"] = (
        f"every {max(1, steps // evaluations)} steps, each on {rows} held-out rows: at most 10 % of the time"
    )
    return evaluations, rows
