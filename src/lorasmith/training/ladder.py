"""The next smaller way to train when memory has run out (AUT-2). Pure: a plan in, a plan out."""

from __future__ import annotations

from lorasmith.plan.choose import TrainPlan


def smaller(plan: TrainPlan, *, can_quantize: bool) -> tuple[TrainPlan, str] | None:
    """The next rung and what changes on it, or None at the ladder's foot. The rows of each step stay the same.

    Fewer rows at a time; on a CPU freed memory given back at once; activations computed twice; a base in 4 bit.
    """
    if plan.micro_batch > 1:
        effective = plan.effective_batch
        micro = max(rows for rows in range(1, plan.micro_batch // 2 + 1) if effective % rows == 0)
        said = (
            f"rows at a time {plan.micro_batch} → {micro}, accumulated {plan.accumulation} → {effective // micro} times"
        )
        return _with(
            plan, said, micro_batch=micro, accumulation=effective // micro, packing=plan.packing and micro > 1
        ), said
    if plan.device == "cpu" and not plan.tight_memory:
        said = "freed memory is given back at once"
        return _with(plan, said, tight_memory=True), said
    if not plan.checkpointing:
        said = "activations are computed again instead of kept"
        return _with(plan, said, checkpointing=True), said
    if plan.method == "lora" and can_quantize:
        said = "the base is held in 4 bit"
        return _with(plan, said, method="qlora"), said
    return None


def _with(plan: TrainPlan, said: str, **changes: object) -> TrainPlan:
    names = {"packing": "", "accumulation": "makes the same effective batch"}
    reasons = {name: names.get(name) or f"memory ran out: {said}" for name in changes if name != "packing"}
    return plan.model_copy(update=changes | {"reasons": plan.reasons | reasons})
