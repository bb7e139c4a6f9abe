"""Searches."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lorasmith.core import settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.studio.rights import require_free
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.state import Here, Number, Studio
from lorasmith.tuning.spec import LEAST_TRIALS, MOST_TRIALS, TuneSpec
from lorasmith.tuning.variables import DEFAULT_MODEL

router = APIRouter(tags=["tune"])


class FineTuningParams(BaseModel):
    """A search as the page's dialog asks for it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    use_llm_judge: bool = True
    judge_model_id: str = Field(default="", max_length=200, description="A judge of the settings [the only one]")
    base_model_name: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=400)
    n_trials: int = Field(default=20, ge=LEAST_TRIALS, le=MOST_TRIALS)


_FLAT = {"model": "base_model_name", "trials": "n_trials", "judge": "judge_model_id"}
"""What a search's spec calls otherwise than the page's dialog."""


class TuneRequest(BaseModel):
    """A search to be begun. What is learnt from is the dataset that is named, or the project's newest."""

    model_config = ConfigDict(extra="forbid")

    project_id: Number | None = None
    dataset_id: Number | None = None
    task_name: str = Field(default="", max_length=200)
    fine_tuning_params: FineTuningParams = Field(default_factory=FineTuningParams)
    tuning_params: dict[str, Any] = Field(default_factory=dict, description="Further fields of a search's spec")
    priority: int = Field(default=0, ge=-100, le=100)

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, asked: Any) -> Any:
        """A search's spec may also be given flat: its fields beside dataset_id."""
        if not isinstance(asked, dict) or not (flat := asked.keys() & TuneSpec.model_fields.keys()):
            return asked
        rest = {name: value for name, value in asked.items() if name not in flat}
        given = {name: asked[name] for name in flat}
        more = {ours: given.pop(theirs) for theirs, ours in _FLAT.items() if theirs in given}
        if "no_judge" in given:
            more["use_llm_judge"] = not given.pop("no_judge")
        rest["fine_tuning_params"] = {**more, **rest.get("fine_tuning_params", {})}
        return rest | {"tuning_params": {**given, **rest.get("tuning_params", {})}}


@router.post("/tune", status_code=201)
def tune(asked: TuneRequest, studio: Here) -> TaskShown:
    """Begin a search; it waits for its turn."""
    studio.require_project(asked.project_id)
    require_free("tune", asked.tuning_params)
    if given := sorted(set(asked.tuning_params) & {"judge", "no_judge", "trials"}):
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
