"""Searches."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core import settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.studio.routes.tasks import NOT_GIVEN
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.state import Here, Number, Studio
from lorasmith.tuning.spec import LEAST_TRIALS, MOST_TRIALS
from lorasmith.tuning.variables import DEFAULT_MODEL

router = APIRouter(tags=["tune"])


class FineTuningParams(BaseModel):
    """A search as the page's dialog asks for it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    use_llm_judge: bool = True
    judge_model_id: str = Field(default="", max_length=200, description="A judge of the settings [the only one]")
    base_model_name: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=400)
    n_trials: int = Field(default=20, ge=LEAST_TRIALS, le=MOST_TRIALS)


class TuneRequest(BaseModel):
    """A search to be begun. What is learnt from is the dataset that is named, or the project's newest."""

    model_config = ConfigDict(extra="forbid")

    project_id: Number | None = None
    dataset_id: Number | None = None
    task_name: str = Field(default="", max_length=200)
    fine_tuning_params: FineTuningParams = Field(default_factory=FineTuningParams)
    tuning_params: dict[str, Any] = Field(default_factory=dict, description="Further fields of a search's spec")
    priority: int = Field(default=0, ge=-100, le=100)


@router.post("/tune", status_code=201)
def tune(asked: TuneRequest, studio: Here) -> TaskShown:
    """Begin a search; it waits for its turn."""
    studio.require_project(asked.project_id)
    if given := sorted(set(asked.tuning_params) & {*NOT_GIVEN, "judge", "no_judge", "trials"}):
        raise UsageProblem(f"'{given[0]}' has a place of its own", fix="Give fine_tuning_params and dataset_id.")
    dataset = studio.datasets.get(asked.dataset_id) if asked.dataset_id else _newest(studio, asked.project_id)
    studio.datasets.require_read(dataset)
    wanted = asked.fine_tuning_params
    judge = wanted.judge_model_id if wanted.use_llm_judge else ""
    if judge and judge not in settings.load().judges and not judge.startswith("local:"):
        raise NotFoundProblem(
            f"There is no judge '{judge}'", fix=f"Known: {', '.join(settings.load().judges) or 'none yet'}."
        )
    params = {
        **asked.tuning_params, "model": wanted.base_model_name, "data": dataset.file, "trials": wanted.n_trials,
        "judge": judge, "no_judge": not wanted.use_llm_judge,
    }  # fmt: skip
    task = studio.tasks.create(
        "tune", asked.task_name or f"{wanted.base_model_name} on {dataset.name}", params, project=asked.project_id,
        dataset=dataset.id, dataset_type=dataset.format, priority=asked.priority,
    )  # fmt: skip
    studio.queue.wake()
    return TaskShown.model_validate(task)


def _newest(studio: Studio, project: int | None) -> Any:
    found = [one for one in studio.datasets.all(project) if not one.error] if project is not None else []
    if not found:
        raise UsageProblem("There is nothing to learn from", fix="Name a dataset_id, or upload one into the project.")
    return found[0]
