"""Evaluations, and the profiles that suit a model."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lorasmith import flow
from lorasmith.studio.rights import require_free
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.state import Here, Number

router = APIRouter(tags=["evaluate"])


class EvaluateRequest(BaseModel):
    """A base, and adapters to be measured beside it on the rows of a dataset."""

    model_config = ConfigDict(extra="forbid")

    task_name: str = Field(default="", max_length=200)
    base_model: str = Field(min_length=1, max_length=400)
    dataset_id: Number
    adapters: list[str] = Field(default_factory=list, max_length=20)
    evaluation_params: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of an evaluation's spec"
    )


@router.post("/evaluate", status_code=201)
def evaluate(asked: EvaluateRequest, studio: Here) -> TaskShown:
    """Begin an evaluation; it waits for its turn."""
    require_free("evaluate", asked.evaluation_params)
    dataset = studio.datasets.get(asked.dataset_id)
    studio.datasets.require_read(dataset)
    params = {
        **asked.evaluation_params,
        "model": asked.base_model,
        "data": dataset.file,
        "adapter": asked.adapters,
    }
    name = asked.task_name or f"{asked.base_model[:80]} on {dataset.name}"
    task = studio.tasks.create("evaluate", name, params, dataset=dataset.id, dataset_type=dataset.format)
    studio.queue.wake()
    return TaskShown.model_validate(task)


@router.get("/profiles")
def profiles(model: Annotated[str, Query(min_length=1, max_length=400)] = "demo") -> dict[str, Any]:
    """LoRA profiles for a model, the best first, with the memory that each needs."""
    return flow.recommend(model).model_dump(mode="json")
