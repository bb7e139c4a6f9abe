"""Tasks: begun, listed, watched, stopped, resumed, cloned, deleted."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.errors import UsageProblem
from lorasmith.studio.rights import require_free
from lorasmith.studio.shown import TaskPage, TaskShown
from lorasmith.studio.state import Here, Number
from lorasmith.studio.tasks import EVENTS_FILE, LOG_FILE, folder_of
from lorasmith.studio.told import told

router = APIRouter(tags=["tasks"])
_POLL_SECONDS = 0.25
_PING_SECONDS = 10.0
_LOG_BYTES = 1 << 20
_MOST_POINTS = 2000


class TrainRequest(BaseModel):
    """A training to be begun: what it learns from, on what, and what is not to be chosen by the rules."""

    model_config = ConfigDict(extra="forbid")

    task_name: str = Field(min_length=1, max_length=200)
    base_model: str = Field(min_length=1, max_length=400)
    dataset_id: Number
    project_id: Number | None = None
    parent_id: Number | None = Field(default=None, description="The task that this one is made after")
    training_params: dict[str, Any] = Field(default_factory=dict, description="Fields of a training's spec")
    priority: int = Field(default=0, ge=-100, le=100)


class CloneRequest(BaseModel):
    """What is to be different in the copy."""

    model_config = ConfigDict(extra="forbid")

    task_name: str = Field(default="", max_length=200)
    training_params: dict[str, Any] = Field(default_factory=dict)


class DecisionShown(BaseModel):
    """Something decided on the way."""

    step: int
    name: str
    reason: str


class Points(BaseModel):
    """Numbers by step. Where there are more than can be looked at, one of several."""

    series: dict[str, list[tuple[int, float]]]
    decisions: list[DecisionShown]
    next: int
    """The byte from which the rest comes, as `after`."""


@router.post("/train", status_code=201)
def train(asked: TrainRequest, studio: Here) -> TaskShown:
    """Begin a training; what is not given is chosen. It waits for its turn."""
    require_free("train", asked.training_params)
    studio.require_project(asked.project_id)
    dataset = studio.datasets.get(asked.dataset_id)
    studio.datasets.require_read(dataset)
    if asked.parent_id:
        studio.tasks.get(asked.parent_id)
    if dataset.error and not asked.training_params.get("columns"):  # which may be all that it lacks
        raise UsageProblem(f"Nothing can be learnt from dataset {dataset.id}", why=str(dataset.error.get("what", "")))
    params = {**asked.training_params, "model": asked.base_model, "data": dataset.file}
    task = studio.tasks.create(
        "train", asked.task_name, params, project=asked.project_id, dataset=dataset.id, dataset_type=dataset.format,
        priority=asked.priority, parent=asked.parent_id,
    )  # fmt: skip
    studio.queue.wake()
    return TaskShown.model_validate(task)


@router.get("/tasks")
def tasks(
    studio: Here, status: Annotated[str, Query(max_length=100, pattern="^[a-z,]*$")] = "",
    kind: Annotated[str, Query(max_length=20)] = "", project: Number | None = None,
    search: Annotated[str, Query(max_length=200)] = "", before: Number | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> TaskPage:  # fmt: skip
    """Tasks from the newest on; the next page is that before the last one's id."""
    found, total = studio.tasks.page(
        status=status, kind=kind, project=project, text=_clean(search), before=before, limit=limit
    )
    return TaskPage(items=[TaskShown.model_validate(task) for task in found], total=total)


@router.get("/tasks/{number}")
def task(number: Number, studio: Here) -> TaskShown:
    return TaskShown.model_validate(studio.tasks.get(number))


@router.post("/tasks/{number}/stop")
def stop(number: Number, studio: Here) -> TaskShown:
    """End it as soon as it has saved; it can go on later."""
    return TaskShown.model_validate(studio.tasks.stop(number))


@router.post("/tasks/{number}/resume")
def resume(number: Number, studio: Here) -> TaskShown:
    """Go on from the last checkpoint."""
    found = studio.tasks.resume(number)
    studio.queue.wake()
    return TaskShown.model_validate(found)


@router.post("/tasks/{number}/clone", status_code=201)
def clone(number: Number, asked: CloneRequest, studio: Here) -> TaskShown:
    """The same again, from its start, with what is to be different."""
    one = studio.tasks.get(number)
    require_free(one.kind, asked.training_params)
    made = studio.tasks.create(
        one.kind, asked.task_name or one.task_name, {**one.training_params, **asked.training_params}, project=one.project,
        dataset=one.dataset, dataset_type=one.dataset_type, parent=one.id, priority=one.priority,
    )  # fmt: skip
    studio.queue.wake()
    return TaskShown.model_validate(made)


@router.delete("/tasks/{number}", status_code=204)
def delete(number: Number, studio: Here, result: Annotated[bool, Query()] = False) -> Response:
    """Take a task that is over off the list; with `result`, what it has made as well."""
    one = studio.tasks.get(number)
    studio.tasks.delete(number)
    shutil.rmtree(folder_of(number), ignore_errors=True)
    if result and one.output_path:
        shutil.rmtree(one.output_path, ignore_errors=True)
    return Response(status_code=204)


@router.get("/tasks/{number}/metrics")
def metrics(number: Number, studio: Here, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> Points:
    """Losses and the like, from byte `after` of the events on, and what was decided on the way."""
    studio.tasks.get(number)
    series, decisions, end = told(folder_of(number) / EVENTS_FILE, after)
    return Points(series=series, decisions=[DecisionShown(**one) for one in decisions], next=end)


@router.get("/tasks/{number}/log")
def log(number: Number, studio: Here) -> Response:
    """The end of what its process has written, a megabyte at most."""
    studio.tasks.get(number)
    file = folder_of(number) / LOG_FILE
    data = b""
    if file.exists():
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _LOG_BYTES))
            data = opened.read(_LOG_BYTES)
    return Response(data.decode("utf-8", "replace"), media_type="text/plain; charset=utf-8")


def _clean(text: str) -> str:
    """Without what no database takes in a text."""
    return text.replace("\0", "")
