"""How many trainings over one base there is memory for at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.core.facts import ModelFacts
from lorasmith.plan.choose import TrainPlan
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.memory import held_once


def free_for(plan: TrainPlan, machine: HardwareFacts) -> int:
    """Bytes that a training by this plan may take."""
    return plan.memory_bytes or (machine.gpu_free_bytes if plan.device == "cuda" else machine.ram_free_bytes)


def held_together(plan: TrainPlan, facts: ModelFacts) -> int:
    """Bytes of such a training that there are only once, however many train over the base."""
    return held_once(facts, plan.method, plan.precision, on_gpu=plan.device == "cuda")


def fitting(plans: Sequence[TrainPlan], facts: ModelFacts, machine: HardwareFacts) -> int:
    """How many of these trainings there is memory for at the same time, whichever they are; at least one."""
    own = sorted((plan.predicted_peak_bytes - held_together(plan, facts) for plan in plans), reverse=True)
    room = max(free_for(plan, machine) - held_together(plan, facts) for plan in plans)
    number = taken = 0
    for one in own:
        taken += max(1, one)
        if taken > room:
            break
        number += 1
    return max(1, number)
