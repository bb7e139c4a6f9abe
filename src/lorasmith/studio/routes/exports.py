"""Models taken elsewhere, and what Ollama has."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lorasmith import flow
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.studio.rights import require_free
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.state import Here, Number

router = APIRouter(tags=["exports"])


class ExportRequest(BaseModel):
    """A base with an adapter, and where it is to go."""

    model_config = ConfigDict(extra="forbid")

    base_model: str = Field(min_length=1, max_length=400)
    adapter: str = Field(default="", max_length=4096)
    to: str = Field(default="merged", max_length=40)
    dataset_id: Number | None = Field(default=None, description="Whose prompts are asked of both models")
    export_params: dict[str, Any] = Field(default_factory=dict, description="Further fields of an export's spec")


class OllamaModelShown(BaseModel):
    """A model that Ollama has."""

    name: str
    num_bytes: int
    changed: str
    family: str


class OllamaShown(BaseModel):
    """What Ollama has, the newest first; where it does not run, why not."""

    address: str
    problem: str = ""
    models: list[OllamaModelShown] = []


@router.post("/exports", status_code=201)
def export(asked: ExportRequest, studio: Here) -> TaskShown:
    """Begin an export; it waits for its turn, and goes into the folder of exports."""
    require_free("export", asked.export_params)
    params = {**asked.export_params, "model": asked.base_model, "adapter": asked.adapter, "to": asked.to}
    dataset = studio.datasets.get(asked.dataset_id) if asked.dataset_id else None
    if dataset:
        studio.datasets.require_read(dataset)
        params["data"] = dataset.file
    name = f"{asked.adapter or asked.base_model} to {asked.to}"[:200]
    task = studio.tasks.create("export", name, params, dataset=dataset.id if dataset else None)
    studio.queue.wake()
    return TaskShown.model_validate(task)


@router.get("/ollama")
def ollama() -> OllamaShown:
    """What Ollama has, the newest first."""
    here = flow.Ollama()
    try:
        models = [OllamaModelShown(**one._asdict()) for one in here.models()]
    except EnvironmentProblem as problem:  # few run it, and a page that asks is no failure
        return OllamaShown(address=here.url, problem=problem.what)
    return OllamaShown(address=here.url, models=models)


@router.delete("/ollama/{name:path}", status_code=204)
def remove_from_ollama(name: str) -> Response:
    """Take a model out of Ollama."""
    flow.Ollama().remove(name)
    return Response(status_code=204)
