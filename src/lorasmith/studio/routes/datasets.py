"""Datasets: uploaded, listed, looked at, deleted."""

from __future__ import annotations

import itertools
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, computed_field

from lorasmith import flow
from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.data.examples import Example
from lorasmith.data.load import open_source
from lorasmith.data.records import Record, read_records
from lorasmith.data.sample import SampleRow, sample_row
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.demo import TRAIN_FILE
from lorasmith.studio.beside import files_beside
from lorasmith.studio.editing import edited, split
from lorasmith.studio.routes import dataset_files
from lorasmith.studio.state import Here, Number
from lorasmith.studio.uploads import received

router = APIRouter(tags=["datasets"])
router.include_router(dataset_files.router)


class DatasetShown(BaseModel):
    """A version of a file, or a folder, of examples."""

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
    file: str = Field(exclude=True)

    @computed_field
    @property
    def is_folder(self) -> bool:
        """Whether it is a folder: what an archive was unpacked to. Its rows may name pictures and recordings in it."""
        return Path(self.file).is_dir()

    @computed_field
    @property
    def is_read(self) -> bool:
        """Whether it is known what it holds: of a large file only after a while."""
        return bool(self.format or self.error)


class RowShown(BaseModel):
    """A row as it was read, and the line on which it begins; or why it could not be."""

    line: int
    """0 for a file that is a row itself."""
    row: dict[str, Any]
    problem: str
    file: str = ""
    """Of a folder, the file that it stands in or is."""
    media: dict[str, list[str]] = {}
    """Of a folder, the pictures and recordings that its columns name, as /media takes them."""


class RowPage(BaseModel):
    """Rows in their order."""

    items: list[RowShown]
    total: int
    """Of those that can be learnt from, in the whole file."""


class PieceShown(BaseModel):
    """A stretch of a row."""

    text: str
    learnt: bool


class SeenRow(BaseModel):
    """A row as a model reads it. Lengths are in tokens; 0 where no text is read, as in pictures with classes."""

    line: int
    pieces: list[PieceShown] = []
    media: list[str] = []
    """Of a folder, the pictures and recordings that are read with it, as /media takes them."""
    num_tokens: int = 0
    num_learnt: int = 0
    is_cut: bool = False
    problem: str = ""


class SeenPage(BaseModel):
    """Rows in their order."""

    items: list[SeenRow]
    total: int


class EditRequest(BaseModel):
    """Rows by the line on which they begin, as they are to be; null leaves one out."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[Annotated[int, Field(ge=0, le=2**53)], dict[str, Any] | None] = {}
    added: list[dict[str, Any]] = []


class SplitRequest(BaseModel):
    """How the rows are to be parted."""

    model_config = ConfigDict(extra="forbid")

    share: float = Field(gt=0, lt=1, allow_inf_nan=False, description="Of the rows, held out")
    seed: int = Field(default=0, ge=0, le=2**32 - 1)


_SAMPLE = "invoices.jsonl"
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
    """A file of examples, or an archive (zip, tar, tar.gz) of a folder of them: written to disk as it comes, then read for what
    it holds. A large file is read, and an archive unpacked, after this answer."""
    await anyio.to_thread.run_sync(studio.require_project, project)
    given = await received(studio.datasets, request.headers.get("content-type", ""), request.stream())

    def read() -> DatasetShown:
        made = studio.datasets.add(given.file, given.name, project=project)
        return DatasetShown.model_validate(studio.reader.read(made))

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
    one = studio.datasets.opened(number)
    path = Path(one.file)
    root = path.resolve() if path.is_dir() else None
    records = itertools.islice(read_records(path), start, start + limit)
    return RowPage(items=[_row(record, path, root) for record in records], total=one.num_rows)


def _row(record: Record, path: Path, root: Path | None) -> RowShown:
    shown = RowShown(line=record.line, row=record.row or {}, problem=record.problem)
    if root:
        shown.file, shown.media = record.file.relative_to(path).as_posix(), files_beside(record, root)
    return shown


@router.get("/datasets/{number}/seen")
def seen(
    number: Number, studio: Here, model: Annotated[str, Query(min_length=1, max_length=400)],
    start: Annotated[int, Query(ge=0, le=10**9)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SeenPage:  # fmt: skip
    """Rows as a model reads them: in pieces, with what of them is learnt."""
    one = studio.datasets.opened(number)
    facts = flow.know_model(model)
    path = Path(one.file)
    source = open_source(path, skip_bad_rows=True)
    tokenizer = load_tokenizer(facts.local_folder) if source.format.objectives else None
    examples = list(itertools.islice(source, start, start + limit))
    items = [_seen(example, tokenizer, facts.max_positions) for example in examples]
    if path.is_dir():
        for item, example in zip(items, examples, strict=True):
            item.media = [*example.images, *example.masks, *example.audio]
    return SeenPage(items=items, total=one.num_rows)


def _seen(example: Example, tokenizer: Tokenizer | None, most: int) -> SeenRow:
    """Without a tokenizer what goes with the row, and its text, which is learnt."""
    try:
        row = sample_row(example, tokenizer, max_length=most)
    except LorasmithError as problem:
        return SeenRow(line=example.line, problem=problem.what)
    parts = _joined(row) if tokenizer else [(False, f"{row.about}\n"), (True, row.text)]
    pieces = [PieceShown(text=text, learnt=learnt) for learnt, text in parts if text]
    return SeenRow(
        line=example.line, pieces=pieces, num_tokens=row.num_tokens, num_learnt=row.num_learnt, is_cut=row.num_cut > 0
    )


def _joined(row: SampleRow) -> list[tuple[bool, str]]:
    """Neighbouring pieces of one kind as one; what is cut away is not read."""
    kept = (piece for piece in row.pieces if not piece.cut)
    return [
        (learnt, "".join(piece.text for piece in same))
        for learnt, same in itertools.groupby(kept, lambda one: one.learnt)
    ]


@router.get("/datasets/{number}/facts")
def facts(number: Number, studio: Here, model: Annotated[str, Query(min_length=1, max_length=400)]) -> dict[str, Any]:
    """What it holds, with lengths in the tokens of a model."""
    inspection, _ = flow.inspect_data(studio.datasets.opened(number).file, model=model)
    return inspection.as_dict()


@router.post("/datasets/{number}/versions", status_code=201)
def versions(number: Number, asked: EditRequest, studio: Here) -> DatasetShown:
    """The next version of it, with rows changed, left out or added. What was there before stays."""
    if not asked.changes and not asked.added:
        raise UsageProblem("Nothing is to be changed", fix="Name lines in changes, or rows in added.")
    return DatasetShown.model_validate(edited(studio.datasets, studio.reader, number, asked.changes, asked.added))


@router.post("/datasets/{number}/split", status_code=201)
def split_(number: Number, asked: SplitRequest, studio: Here) -> list[DatasetShown]:
    """Two new datasets of its rows: the larger part, and what is held out."""
    return [
        DatasetShown.model_validate(one)
        for one in split(studio.datasets, studio.reader, number, asked.share, asked.seed)
    ]


@router.post("/datasets/sample", status_code=201)
def sample(studio: Here) -> DatasetShown:
    """The invoices that come with lorasmith, to try everything with."""
    known = [one for one in studio.datasets.all() if one.name == _SAMPLE]
    if known:
        return DatasetShown.model_validate(known[0])
    file = studio.datasets.place(_SAMPLE)
    shutil.copyfile(TRAIN_FILE, file)
    made = studio.datasets.add(file, _SAMPLE)
    return DatasetShown.model_validate(studio.datasets.read(made.id))


@router.delete("/datasets/{number}", status_code=204)
def delete(number: Number, studio: Here) -> Response:
    """Its file or folder goes; trainings that learnt from it stay."""
    studio.datasets.delete(number)
    return Response(status_code=204)
