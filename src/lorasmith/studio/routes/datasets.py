"""Datasets: uploaded, listed, looked at, deleted."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict

from lorasmith.data.records import read_records
from lorasmith.studio.state import Here, Number
from lorasmith.studio.uploads import received

router = APIRouter(tags=["datasets"])


class DatasetShown(BaseModel):
    """A version of a file of examples."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    version: int
    parent: int | None
    project: int | None
    format: str
    num_rows: int
    num_bytes: int
    sha256: str
    facts: dict[str, Any]
    error: dict[str, Any] | None
    """Why nothing can be learnt from it."""
    created_at: datetime


class RowShown(BaseModel):
    """A row as it was read, and the line on which it begins; or why it could not be."""

    line: int
    row: dict[str, Any]
    problem: str


class RowPage(BaseModel):
    """Rows in their order."""

    items: list[RowShown]
    total: int
    """Of those that can be learnt from, in the whole file."""


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post("/upload-dataset", status_code=201, openapi_extra=_FORM)
async def upload(request: Request, studio: Here, project: Number | None = None) -> DatasetShown:
    """A file of examples: written to disk as it comes, then read for what it holds."""
    await anyio.to_thread.run_sync(studio.require_project, project)
    given = await received(studio.datasets, request.headers.get("content-type", ""), request.stream())

    def read() -> DatasetShown:
        made = studio.datasets.add(given.file, given.name, project=project)
        return DatasetShown.model_validate(studio.datasets.read(made.id))

    return await anyio.to_thread.run_sync(read)


@router.get("/datasets")
def datasets(studio: Here, project: Number | None = None) -> list[DatasetShown]:
    """From the newest on."""
    return [DatasetShown.model_validate(one) for one in studio.datasets.all(project)]


@router.get("/datasets/{number}")
def dataset(number: Number, studio: Here) -> DatasetShown:
    return DatasetShown.model_validate(studio.datasets.get(number))


@router.get("/datasets/{number}/rows")
def rows(
    number: Number, studio: Here, start: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> RowPage:  # fmt: skip
    """A page of its rows."""
    one = studio.datasets.get(number)
    records = itertools.islice(read_records(Path(one.file)), start, start + limit)
    items = [RowShown(line=record.line, row=record.row or {}, problem=record.problem) for record in records]
    return RowPage(items=items, total=one.num_rows)


@router.get("/datasets/{number}/file")
def file(number: Number, studio: Here) -> FileResponse:
    """The file as it was uploaded."""
    one = studio.datasets.get(number)
    return FileResponse(one.file, filename=one.name, media_type="application/octet-stream")


@router.delete("/datasets/{number}", status_code=204)
def delete(number: Number, studio: Here) -> Response:
    """Its file goes; trainings that learnt from it stay."""
    studio.datasets.delete(number)
    return Response(status_code=204)
