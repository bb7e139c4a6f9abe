"""Bases: those that are here, those on the Hub, and whether they fit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lorasmith import flow
from lorasmith.core.errors import UsageProblem
from lorasmith.plan.report import Question
from lorasmith.studio.shown import TaskShown
from lorasmith.studio.state import Here

router = APIRouter(tags=["models"])
_DEMO = "demo"


class ModelShown(BaseModel):
    """A base that is here."""

    id: str
    """What a training is asked for by."""
    name: str
    family: str
    quantization: str
    num_bytes: int
    adapters: list[str]
    troubles: list[str]
    """Why it cannot be used, where it is damaged."""
    verdicts: list[dict[str, Any]] | None = None
    """Whether it can answer and be trained here, and with how much memory, by method; None where they were not asked for."""


class HubModelShown(BaseModel):
    """A model on the Hub."""

    id: str
    downloads: int
    likes: int
    task: str
    gated: bool


class CheckRequest(BaseModel):
    """A model to be looked at, and for what."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=400)
    question: Question = Question()


@router.get("/models")
def models(
    verdicts: Annotated[bool, Query(description="Say of each whether it fits this machine; takes its time")] = False,
) -> list[ModelShown]:
    """The demo model, which comes with lorasmith, and all that are installed."""
    return [one.model_copy(update={"verdicts": _verdicts(one)}) if verdicts else one for one in _models()]


def _verdicts(model: ModelShown) -> list[dict[str, Any]]:
    """None of a damaged one."""
    if model.troubles:
        return []
    return flow.check(model.id).model_dump(mode="json", include={"verdicts"})["verdicts"]


def _models() -> list[ModelShown]:
    demo = flow.know_model(_DEMO)
    size = sum(file.stat().st_size for file in demo.local_folder.iterdir() if file.is_file())
    shipped = ModelShown(
        id=_DEMO, name=_DEMO, family=demo.family, quantization="none", num_bytes=size, adapters=[], troubles=[]
    )
    return [
        shipped,
        *(
            ModelShown(
                id=one.model_id, name=one.name, family=one.family, quantization=one.quantization, num_bytes=one.model_bytes,
                adapters=one.adapters, troubles=one.troubles,
            )
            for one in flow.installed_models()
        ),
    ]  # fmt: skip


@router.delete("/models/{name}", status_code=204)
def remove(name: str) -> Response:
    """Take an installed model away. Adapters that were trained on it stay."""
    if name == _DEMO:
        raise UsageProblem("The demo model comes with lorasmith and cannot be removed")
    flow.remove(name)
    return Response(status_code=204)


@router.get("/checks/search")
def search(
    text: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")],
) -> list[HubModelShown]:
    """Models on the Hub whose names hold the text."""
    from lorasmith.hub.search import search as search_hub

    return [HubModelShown(**one._asdict()) for one in search_hub(text)]


@router.post("/checks")
def check(asked: CheckRequest) -> dict[str, Any]:
    """Whether a model fits this machine, how, and what is known of it: the whole report."""
    return flow.check(asked.model, asked.question).model_dump(mode="json")


@router.post("/installs", status_code=201)
def install(asked: dict[str, Any], studio: Here) -> TaskShown:
    """Begin to put a model in a place of its own; the body is an installation's spec."""
    task = studio.tasks.create("install", str(asked.get("model", ""))[:200], asked)
    studio.queue.wake()
    return TaskShown.model_validate(task)
