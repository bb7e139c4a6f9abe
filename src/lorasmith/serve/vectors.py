"""Routes of embedding models beside /generate: the texts most like a query, and a plane to draw vectors on (SRV-4, UI-4)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.families._calls import EmbeddingCall
from lorasmith.serve import events
from lorasmith.serve.answers import whole_other
from lorasmith.serve.native import served_of
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.reading import StrictRoute

_Number = Annotated[float, Field(ge=-1e38, le=1e38, description="As far as 32 bits reach")]
router = APIRouter(tags=["embedding"], route_class=StrictRoute)


class SimilarityRequest(BaseModel):
    """What is looked for, and the texts to look in."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    texts: list[str] = Field(min_length=1, max_length=10_000)
    top_k: int = Field(default=10, ge=1, le=10_000)
    prompt_name: str = ""
    adapter: str = ""


@router.post("/similarity", summary="The texts most like a query (embedding models)")
async def similarity(request: Request, wanted: SimilarityRequest) -> dict[str, Any]:
    vectors = await _vectors(
        request,
        EmbeddingCall(texts=[wanted.query, *wanted.texts], prompt_name=wanted.prompt_name, adapter=wanted.adapter),
    )
    scores = await asyncio.to_thread(_scores, vectors)
    best = sorted(range(len(scores)), key=lambda index: -scores[index])[: wanted.top_k]
    return {"results": [{"index": index, "text": wanted.texts[index], "score": scores[index]} for index in best]}


async def _vectors(request: Request, call: EmbeddingCall) -> list[list[float]]:
    served = served_of(request)
    if served.model.family != "embedding":
        raise HttpProblem(400, "This model makes no vectors", code="unsupported", fix="Serve an embedding model.")
    return (await events.unless_gone(request, whole_other(served, call, [])))["embeddings"]


def _scores(vectors: list[list[float]]) -> list[float]:
    """Cosines of the first with the others; all are of length 1."""
    query, *rest = vectors
    return [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in rest]


class ProjectRequest(BaseModel):
    """Texts, or vectors, to be drawn."""

    model_config = ConfigDict(extra="forbid")

    texts: list[str] = Field(default=[], max_length=10_000)
    vectors: list[list[_Number]] = Field(default=[], max_length=10_000)
    method: Literal["pca", "tsne", "umap"] = "pca"
    adapter: str = ""


@router.post("/project", summary="Points of a plane for texts or vectors (embedding models)")
async def project(request: Request, wanted: ProjectRequest) -> dict[str, Any]:
    if bool(wanted.texts) == bool(wanted.vectors):
        raise HttpProblem(400, "Give either texts or vectors", code="invalid_value")
    served = served_of(request)
    vectors = wanted.vectors or await _vectors(request, EmbeddingCall(texts=wanted.texts, adapter=wanted.adapter))
    async with served.admitted() as engine:
        return {"points": await engine.project(vectors, wanted.method), "method": wanted.method}
