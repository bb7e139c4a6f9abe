"""A trial's parameters as a training: its plan, where it lies, how far it goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorasmith.core.errors import DoesNotFitProblem
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.core.progress import amount
from lorasmith.plan.choose import TrainPlan, choose
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.training.planning import given_in
from lorasmith.training.spec import TrialCourse, WorkerSpec
from lorasmith.tuning import space
from lorasmith.tuning.rungs import UNITS
from lorasmith.tuning.sharing import fitting, free_for, held_together


class Trials:
    """Makes trainings of parameters. `epochs` are those of trial 0, by which rows are reckoned; of so many `together` each may
    take its share of the memory."""

    def __init__(
        self, start: WorkerSpec, facts: ModelFacts, machine: HardwareFacts, epochs: float, *, together: int = 1
    ):
        self.start, self.facts, self.machine = start, facts, machine
        self.unit_rows = epochs * start.data_facts["num_train"] / UNITS
        self.together = fitting([start.plan] * together, facts, machine)

    def plan(self, params: Mapping[str, Any]) -> TrainPlan:
        """The plan of a trial. Raises DoesNotFitProblem where it would take more memory than there is."""
        automatic = self.start.plan
        held = {"max_length": automatic.max_length, "precision": automatic.precision, "method": automatic.method}
        given = given_in(self.start.spec) | held | space.as_given(params, automatic)
        plan = choose(
            given, self.facts, DataFacts(**self.start.data_facts), self.machine, can_quantize=self.start.can_quantize
        )
        once = held_together(plan, self.facts)
        share = once + (free_for(plan, self.machine) - once) // self.together
        if plan.predicted_peak_bytes > share:  # rows at a time are given here, so that `choose` only reckons
            raise DoesNotFitProblem(f"It needs {amount(plan.predicted_peak_bytes)}, and {amount(share)} are free")
        every = max(1, round(self.unit_rows / plan.effective_batch))
        return plan.model_copy(
            update={
                "warmup_steps": round(params["warmup"] * plan.steps),
                "eval_every": every,
                "evaluations": -(-plan.steps // every),
                "eval_rows": automatic.eval_rows,
            }
        )

    def spec(
        self, plan: TrainPlan, folder: Path, *, units: int, stop_above: Mapping[int, float], stops_itself: bool = True
    ) -> WorkerSpec:
        """What the worker is given to train a trial in `folder` for so many units from its start on; `stop_above` by units."""
        last = folder / "checkpoints" / "last"
        every = plan.eval_every
        end = plan.steps if units == UNITS else units * every  # units are whole steps, and the last is cut short
        limits = {at * every: loss for at, loss in stop_above.items()}
        course = TrialCourse(pause_at=end, stop_above=limits, stops_itself=stops_itself)
        # As often as it is looked at, so much more patience it takes: in rows it is a training's.
        patience = round(self.start.spec.patience * max(1.0, UNITS / max(1, self.start.plan.evaluations)))
        return self.start.model_copy(
            update={
                "spec": self.start.spec.model_copy(update={"patience": patience}),
                "plan": plan,
                "run_folder": folder,
                "resume_from": last.resolve() if last.exists() else None,
                "trial": course,
            }
        )

    def units(self, plan: TrainPlan, losses: Mapping[int, float]) -> dict[int, float]:
        """Validation losses by units, of losses by step. What ends before the first unit stands as if it had come to it."""
        return {max(1, step // plan.eval_every): loss for step, loss in sorted(losses.items())}
