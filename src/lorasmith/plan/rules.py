"""The rule for each training parameter that the user did not give, with its reason (AUT-1). Pure arithmetic on facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lorasmith.core.facts import PREFERENCES, DataFacts, ModelFacts
from lorasmith.core.progress import count
from lorasmith.plan.hardware import HardwareFacts

EFFECTIVE_BATCH = 16
MIN_STEPS = 100
MAX_EPOCHS = 30
CIRCULAR_PASSES = 50
FULL_RATE_SHARE = 0.1
_FEWEST_ROWS = 2
"""Of an evaluation, whatever it costs: where pairs are told apart within a batch, one alone has a loss of 0."""
# Exponents of lr = 5e-4 · (2000 / hidden)^p: tinker-cookbook, hyperparam_utils.get_lr.
_RATE_EXPONENTS = {"llama": 0.781, "qwen": 0.0775}
_LLAMA_LIKE = ("llama", "mistral", "smollm", "granite", "olmo")
# Preferences move a model that knows the task already. TRL's defaults are 1e-6 for DPO and KTO against 2e-5 for answers (its
# dpo_config, kto_config, sft_config). Its LoRA example takes 5e-6 (scripts/dpo.py), tinker-cookbook 1e-5; at widths of 2,048 to
# 4,096 a twentieth of our rule comes to 1.4e-5 … 2.5e-5.
# ORPO learns the task beside, at a tenth of the usual rate.
_PREFERENCE_SHARE = {"dpo": 1 / 20, "kto": 1 / 20, "orpo": 1 / 10}
_HALF_PRECISION_PARAMETERS = 100_000_000
_CLASSIC_BATCHES = ((8, 1), (16, 2), (24, 4))  # (GB of memory below which, rows at a time)
_CLASSIC_LARGEST_BATCH = 8


class Chosen(NamedTuple):
    """A value and why."""

    value: Any
    reason: str


class Chooser:
    """Takes what the user gave, else what the profile says, else what the rule says, and keeps the reason."""

    def __init__(self, given: Mapping[str, Any], profile: Mapping[str, Any], profile_name: str = ""):
        self.given = given
        self.profile = profile
        self.profile_name = profile_name
        self.reasons: dict[str, str] = {}

    def take(self, name: str, rule: Chosen, *, option: str = "") -> Any:
        value, self.reasons[name] = self.given.get(option or name), "given"
        if value is None and self.profile.get(name) is not None:
            value, self.reasons[name] = self.profile[name], f"profile {self.profile_name}"
        if value is None:
            value, self.reasons[name] = rule
        return value


def precision(model: ModelFacts, hardware: HardwareFacts, device: str) -> Chosen:
    if device == "cuda":
        if hardware.gpu_capability >= 8:
            return Chosen("bfloat16", f"{hardware.gpu} computes it natively")
        return Chosen("float16", f"{hardware.gpu} has no native bfloat16")
    if hardware.cpu_has_bf16 and model.num_parameters >= _HALF_PRECISION_PARAMETERS:
        return Chosen("bfloat16", "this CPU computes it natively")
    if hardware.cpu_has_bf16:
        return Chosen("float32", "the model is small: half precision would save nothing")
    return Chosen("float32", "this CPU has no native bfloat16; 16-bit weights are computed in fp32")


def targets(model: ModelFacts) -> Chosen:
    if model.targets:
        return Chosen(model.targets, f"attention, as is usual for a {model.architecture}")
    return Chosen("all-linear", "attention and MLP of every layer learn best together")


def rank(model: ModelFacts, data: DataFacts) -> Chosen:
    if data.num_train < 500:
        return Chosen(16, f"{data.num_train} rows: fewer than 500")
    billions = model.num_parameters / 1e9
    value = 8 if billions < 1 else 16 if billions < 7 else 32 if billions < 13 else 64
    reason = f"a model of {count(model.num_parameters)} parameters"
    per_rank = sum(out + into for out, into in model.linear_shapes)
    # Beyond a quarter of the width an adapter is no longer low-rank.
    most = max(8, min(128, model.hidden_size // 4 // 8 * 8))
    raised = value
    while raised * per_rank < data.num_supervised_tokens and raised < most:
        raised = min(most, raised * 2)
    if raised > value:
        reason += f", raised from {value} for {count(data.num_supervised_tokens)} supervised tokens"
    return Chosen(raised, reason)


def alpha(rank_taken: int, *, classic: bool) -> Chosen:
    if classic:
        return Chosen(2.0 * rank_taken, "twice the rank: the classic rule")
    return Chosen(32.0, "fixed: scaled by alpha/r, the best rate hardly depends on r")


def beta(data: DataFacts) -> Chosen:
    if data.objective == "orpo":
        return Chosen(0.1, "what TRL and the paper's larger models take")
    return Chosen(0.1, "what TRL and the paper take; lower values let the model move further")


def dropout(model: ModelFacts, data: DataFacts) -> Chosen:
    if data.objective in PREFERENCES:
        return Chosen(0.0, "answers are compared with each other and with the untouched model: noise would blur that")
    if model.has_experts:
        return Chosen(0.0, "experts are fused into one parameter, and PEFT adapts those without dropout only")
    if data.num_train > 2000:
        return Chosen(0.0, f"{data.num_train:,} rows: more than 2,000 need none")
    return Chosen(0.05, f"{data.num_train:,} rows: few enough to be learnt by heart")


def max_length(model: ModelFacts, data: DataFacts) -> Chosen:
    wanted = -(-data.length_p995 // 64) * 64
    if data.objective == "pretrain":
        wanted = min(wanted, 1024)
    if wanted > model.max_positions:
        return Chosen(model.max_positions, f"all that the model can read (rows go up to {data.length_max:,} tokens)")
    return Chosen(wanted, f"99.5 % of the rows have at most {data.length_p995:,} tokens")


def learning_rate(model: ModelFacts, effective_batch: int, *, method: str = "lora", objective: str = "sft") -> Chosen:
    """Peak learning rate by family, width, batch, method and objective."""
    factor = min(2.0, max(0.5, (effective_batch / 32) ** 0.5))
    rate, reason = _supervised_rate(model)
    if objective in PREFERENCES:
        share = "a tenth" if objective == "orpo" else "a twentieth"
        rate, reason = rate * _PREFERENCE_SHARE[objective], f"{share} of the {reason} for {objective.upper()}"
    if method == "full":
        rate, reason = rate * FULL_RATE_SHARE, f"a tenth for all weights, {reason}"
    return Chosen(float(f"{rate * factor:.3g}"), f"{reason}, × {factor:.2f} for batch {effective_batch}")


def _supervised_rate(model: ModelFacts) -> Chosen:
    kind = model.model_type.lower()
    family = "llama" if kind.startswith(_LLAMA_LIKE) else "qwen" if kind.startswith("qwen") else ""
    if family and model.hidden_size:
        rate = 5e-4 * (2000 / model.hidden_size) ** _RATE_EXPONENTS[family]
        return Chosen(rate, f"{family.capitalize()} rule for width {model.hidden_size}")
    return Chosen(2e-4, "usual rate for a family without a rule of its own")


def classic_learning_rate(model: ModelFacts, data: DataFacts) -> Chosen:
    """The older rule: 5e-5, less for large models, more for much data."""
    rate, reason = 5e-5, "classic: 5e-5"
    if model.num_parameters > 13e9:
        rate, reason = rate * 0.3, f"{reason} × 0.3 over 13B parameters"
    elif model.num_parameters > 7e9:
        rate, reason = rate * 0.5, f"{reason} × 0.5 over 7B parameters"
    if data.num_rows > 10_000:
        rate, reason = rate * 1.5, f"{reason} × 1.5 over 10,000 rows"
    return Chosen(float(f"{rate:.3g}"), reason)


def classic_batch(memory_bytes: int) -> Chosen:
    """The older rule: rows at a time by the memory there is."""
    gigabytes = memory_bytes / 1e9
    for limit, rows in _CLASSIC_BATCHES:
        if gigabytes < limit:
            return Chosen(rows, f"classic: {rows} for under {limit} GB of memory")
    return Chosen(
        _CLASSIC_LARGEST_BATCH, f"classic: {_CLASSIC_LARGEST_BATCH} for {_CLASSIC_BATCHES[-1][0]} GB and more"
    )


def epochs(data: DataFacts, effective: int, *, circular: bool) -> Chosen:
    rows = data.num_train
    if circular:
        return Chosen(CIRCULAR_PASSES, f"{CIRCULAR_PASSES} passes at most; it ends after three that gain nothing")
    most = 3 if rows > 10_000 else 5 if rows > 1_000 else 10
    if most * rows / effective < MIN_STEPS:
        most = min(MAX_EPOCHS, -(-MIN_STEPS * effective // rows))
        return Chosen(most, f"{rows:,} rows: enough passes for about {MIN_STEPS} steps")
    return Chosen(most, f"at most {most} for {rows:,} rows; ends sooner when it stops paying")


def steps(pick: Chooser, data: DataFacts, effective: int) -> tuple[int, float]:
    """Optimizer steps and the passes over the data that they make."""
    rows = data.num_train
    passes = pick.take("epochs", epochs(data, effective, circular=bool(pick.given.get("circular"))))
    number = max(1, round(passes * rows / effective))
    limit = pick.given.get("max_steps")
    if limit is not None and limit < number:
        pick.reasons["epochs"] = f"--max-steps {limit}"
        number = limit
    pick.reasons["steps"] = f"{passes:g} epochs of {rows:,} rows" if number != limit else "given"
    return number, number * effective / rows


def schedule(number_of_steps: int, *, circular: bool) -> Chosen:
    if circular:
        return Chosen("constant", "nobody knows beforehand after which pass it ends")
    if number_of_steps < 200:
        return Chosen("linear", f"{number_of_steps} steps: fewer than 200")
    return Chosen("cosine", f"{number_of_steps:,} steps")


def evaluations(pick: Chooser, data: DataFacts, number_of_steps: int, passes: float) -> tuple[int, int]:
    """How many evaluations, and on how many validation rows, so that they cost at most a tenth of the time.

    A forward pass is a third of a training step's work, so n evaluations of v tokens cost n·v/3 of the t tokens trained.
    It counts tokens, not seconds: a resumed run must decide as an unbroken one.
    """
    if not data.num_validation:
        pick.reasons["evaluations"] = "no row is held out"
        return 0, 0
    number = min(number_of_steps, max(10, min(30, number_of_steps // 50)))
    if pick.given.get("circular"):
        number = min(number_of_steps, max(10, round(passes)))
    row_tokens = data.num_tokens / data.num_rows
    trained = passes * data.num_train * row_tokens
    affordable = int(0.1 * 3 * trained / (number * row_tokens))
    rows = min(data.num_validation, max(_FEWEST_ROWS, affordable))
    pick.reasons["evaluations"] = f"every {max(1, number_of_steps // number)} steps, each on {rows} held-out rows: " + (
        "at most 10 % of the time" if rows <= affordable else "fewer would tell nothing"
    )
    return number, rows
