"""Adapters: those in home, those of other tools, and what can be made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lorasmith import flow
from lorasmith.adapters.scan import Found
from lorasmith.adapters.spec import CombineSpec, Resized, ResizeSpec
from lorasmith.core import paths
from lorasmith.studio.adapters import adapters as find_adapters
from lorasmith.studio.state import Here

router = APIRouter(tags=["adapters"])
AdapterName = Annotated[str, Path(min_length=1, max_length=200)]


class AdapterShown(BaseModel):
    """An adapter, and what it was made of."""

    name: str
    path: str
    base_model: str
    method: str
    rank: int | None
    num_bytes: int
    created_at: datetime | None
    origin: str
    """trained, imported, combined, resized, or found."""
    parents: tuple[str, ...]
    troubles: tuple[str, ...]
    task: int | None
    dataset: int | None
    dataset_name: str
    dataset_version: int | None
    scores: dict[str, float]


class ImportRequest(BaseModel):
    """An adapter of another tool, on this machine or on the Hub."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=4096)
    base_model: str = Field(default="", max_length=400)
    name: str = Field(default="", max_length=200)


class RenameRequest(BaseModel):
    """What an adapter is to be called."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)


@router.get("/adapters")
def adapters(studio: Here) -> list[AdapterShown]:
    """Adapters in home, the newest first, with what they were made of."""
    return [AdapterShown(**one._asdict()) for one in find_adapters(studio.database)]


@router.get("/scan")
def scan(folder: Annotated[str, Query(min_length=1, max_length=4096)]) -> Found:
    """Adapters and models that other tools left in a folder of this machine."""
    return flow.scan(paths.named(folder))


@router.post("/adapters/import", status_code=201)
def import_adapter(asked: ImportRequest) -> dict[str, Any]:
    """Take in an adapter that another tool made; it is put on its base once."""
    return flow.import_adapter(asked.source, base=asked.base_model, name=asked.name).model_dump(mode="json")


@router.post("/adapters/combine", status_code=201)
def combine(asked: CombineSpec) -> dict[str, Any]:
    """One adapter of several."""
    return flow.combine(asked).model_dump(mode="json")


@router.post("/adapters/resize", status_code=201)
def resize(asked: ResizeSpec) -> Resized:
    """An adapter of a lower rank."""
    return flow.resize(asked)


@router.patch("/adapters/{name}")
def rename(name: AdapterName, asked: RenameRequest, studio: Here) -> dict[str, Any]:
    """Call an adapter otherwise; assistants go on with it."""
    before = flow.adapter_named(name)
    after = flow.rename(name, asked.name)
    studio.assistants.follow(before.folder.parent, after.folder.parent)
    return after.model_dump(mode="json")


@router.delete("/adapters/{name}", status_code=204)
def remove(name: AdapterName) -> Response:
    """Take an adapter away, with what its training left beside it."""
    flow.remove_adapter(name)
    return Response(status_code=204)
