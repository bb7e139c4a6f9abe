"""What a dataset consists of, as files: all of it to be taken away, and single pictures and recordings to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from lorasmith.studio.beside import file_beside
from lorasmith.studio.packing import answer_zip
from lorasmith.studio.state import Here, Number
from lorasmith.studio.unpacking import stem

router = APIRouter()
# A version never changes, and neither do its files. What is shown is no page, whatever is in it; the guard adds `nosniff`.
_SHOWN = {
    "Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=3600",
}  # fmt: skip


@router.get("/datasets/{number}/file", response_class=Response)
def file(number: Number, studio: Here) -> Response:
    """The file as it was uploaded; of a folder a zip file of what is in it."""
    one = studio.datasets.get(number)
    if Path(one.file).is_dir():
        return answer_zip(Path(one.file), stem(one.name))
    name = one.name if Path(one.name).suffix == Path(one.file).suffix else Path(one.file).name
    return FileResponse(one.file, filename=name, media_type="application/octet-stream")


@router.get("/datasets/{number}/media", response_class=Response)
def media(number: Number, studio: Here, name: Annotated[str, Query(min_length=1, max_length=1024)]) -> FileResponse:
    """A picture or a recording in a dataset that is a folder, by its path below it."""
    found, kind = file_beside(Path(studio.datasets.get(number).file), name)
    return FileResponse(found, media_type=kind, headers=_SHOWN)
