"""From page to fields in one call, whichever kind of document model reads it (DOC-4)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lorasmith.core.errors import DataProblem, NotFoundProblem
from lorasmith.families._calls import DocumentCall
from lorasmith.serve.answers import whole_other
from lorasmith.serve.loaded import Loaded

_MOST_BYTES = 50 * 10**6


class Extractor(Loaded):
    """A loaded document model that reads one file after another. Use as a context; raises what Loaded raises."""

    def __init__(self, model: str, adapter: str = "", *, device: str = "auto"):
        super().__init__(model, adapter, kind=DocumentCall, what="is no document model", device=device)

    def read(self, file: str | Path, *, prompt: str = "") -> list[dict[str, Any]]:
        """What stands on each page of a picture or PDF file: `fields` (JSON), `text`, `boxes` of words with label and score (from
        0 to 1000 of the page's width and height; empty for models that read without boxes), `confidence` from 0 to 1, `page`.

        Raises NotFoundProblem without such a file, DataProblem for one that cannot be read.
        """
        path = Path(file).expanduser()
        if not path.is_file():
            raise NotFoundProblem(f"There is no file '{file}'", fix="Name a picture (PNG, JPEG, TIFF …) or a PDF.")
        if path.stat().st_size > _MOST_BYTES:
            raise DataProblem(
                f"'{path.name}' is larger than 50 MB", fix="Make it smaller, or send its pages one by one."
            )
        try:
            found = self.run(self._read(path.read_bytes(), prompt))
        except DataProblem as problem:
            problem.what = problem.what.replace("Image 1", f"'{path.name}'")
            raise
        return [_extracted(result, number) for number, result in enumerate(found["results"], 1)]

    async def _read(self, data: bytes, prompt: str) -> dict[str, Any]:
        served = await self.ready()
        return await whole_other(served, DocumentCall(images=["file"], prompt=prompt), [data])


def _extracted(result: dict[str, Any], page: int) -> dict[str, Any]:
    words = [word for word in result.get("words", []) if word.get("label") not in ("", "O", None)]
    scores = [float(word["score"]) for word in words]
    sure = result.get("confidence", sum(scores) / len(scores) if scores else 0.0)
    boxes = [
        {"text": word["text"], "box": word["box"], "label": word["label"], "score": word["score"]} for word in words
    ]
    return {
        "page": page,
        "fields": result["fields"],
        "text": result["text"],
        "boxes": boxes,
        "confidence": round(sure, 4),
    }


def extract(
    model: str, files: str | Path | Iterable[str | Path], *, adapter: str = "", prompt: str = "", device: str = "auto"
) -> list[dict[str, Any]]:
    """Read pictures or PDF files with a document model: a dictionary for each page, as `Extractor.read` gives it, with `file`."""
    given = [files] if isinstance(files, str | Path) else list(files)
    with Extractor(model, adapter, device=device) as extractor:
        return [{"file": str(file), **page} for file in given for page in extractor.read(file, prompt=prompt)]
