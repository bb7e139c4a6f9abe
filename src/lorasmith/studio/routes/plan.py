"""What a training would be, before it is begun, and the forms that ask for one."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from lorasmith import flow
from lorasmith.core.errors import NotFoundProblem
from lorasmith.core.specs import make_spec
from lorasmith.studio.kinds import KINDS
from lorasmith.studio.rights import require_free
from lorasmith.studio.state import Here, Number
from lorasmith.training.planning import Known, given_in
from lorasmith.training.spec import TrainSpec

router = APIRouter(tags=["train"])
_SHOWN = (
    "method", "variant", "target_modules", "rank", "alpha", "dropout", "learning_rate", "beta", "schedule", "warmup_steps",
    "epochs", "micro_batch", "accumulation", "max_length", "packing", "precision", "optimizer", "checkpointing", "evaluations",
)  # fmt: skip
"""Of a plan, in the order in which one reads it."""
_OPTIONS = {
    "rank": "lora_r", "alpha": "lora_alpha", "dropout": "lora_dropout", "micro_batch": "batch_size",
    "accumulation": "gradient_accumulation",
}  # fmt: skip
"""What a plan's parameters are called where they are asked for, unless by the same name."""


def _option(name: str) -> str:
    option = _OPTIONS.get(name, name)
    return option if option in TrainSpec.model_fields else ""


_MOST_KNOWN = 100


class PlanRequest(BaseModel):
    """A training that might be begun."""

    model_config = ConfigDict(extra="forbid")

    base_model: str = Field(min_length=1, max_length=400)
    dataset_id: Number
    training_params: dict[str, Any] = Field(default_factory=dict)


class ParameterShown(BaseModel):
    """A parameter, the name by which a training is asked for it (empty where it is not), and why it is so."""

    name: str
    option: str
    value: Any
    reason: str
    is_given: bool


class PlanShown(BaseModel):
    """A training as it would be. Memory in bytes."""

    parameters: list[ParameterShown]
    predicted_peak_bytes: int
    free_bytes: int
    device: str
    steps: int
    epochs: float
    effective_batch: int
    train_rows: int
    eval_rows: int
    seconds: float | None
    """As the last training of this base took for a token."""
    warnings: list[str]


_known: Known = {}
_one_at_a_time = threading.Lock()
"""Reading a large file takes a core and some memory: two pages that ask the same wait for one answer."""


@router.post("/plan")
def plan(asked: PlanRequest, studio: Here) -> PlanShown:
    """Every parameter with its reason, and what the training would take. Nothing is begun."""
    require_free("train", asked.training_params)
    studio.tasks.require_allowed(asked.training_params)
    dataset = studio.datasets.get(asked.dataset_id)
    studio.datasets.require_read(dataset)
    params = {**asked.training_params, "model": asked.base_model, "data": dataset.file}
    spec = make_spec(TrainSpec, **params)
    with _one_at_a_time:
        if len(_known) > _MOST_KNOWN:
            _known.clear()
        found = flow.foresee(spec, _known)
    chosen, given = found.plan, given_in(spec)
    return PlanShown(
        parameters=[
            ParameterShown(
                name=name, option=_option(name), value=getattr(chosen, name), reason=chosen.reasons.get(name, ""),
                is_given=_option(name) in given.keys() & asked.training_params.keys(),
            )
            for name in _SHOWN if getattr(chosen, name) is not None
        ],
        predicted_peak_bytes=chosen.predicted_peak_bytes, free_bytes=found.free_bytes, device=chosen.device, steps=chosen.steps,
        epochs=chosen.epochs, effective_batch=chosen.effective_batch, train_rows=found.data.num_train,
        eval_rows=found.data.num_validation, seconds=found.seconds, warnings=found.warnings,
    )  # fmt: skip


@router.get("/schemas/{kind}")
def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of what a task of that kind may be asked with."""
    if kind not in KINDS:
        raise NotFoundProblem(f"There is no kind of task '{kind[:50]}'", fix=f"Known: {', '.join(KINDS)}.")
    return KINDS[kind].spec.model_json_schema()
