"""lorasmith's own routes (SRV-1): health, info, generate and its streams, and what belongs to single families."""

from __future__ import annotations

import asyncio
import time
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.families._calls import TextCall
from lorasmith.serve import events
from lorasmith.serve.answers import text_body, whole_other, whole_text
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.reading import StrictRoute, call_kind, checked, read_call
from lorasmith.serve.state import BASE, Served
from lorasmith.serve.text.prompt import prompt_of

VERSION = metadata.version("lorasmith")
router = APIRouter(tags=["native"], route_class=StrictRoute)
_SPEAKING = ("text-to-speech", "text-to-audio")
_PAST_TEXT = 20_000  # characters in an address


def served_of(request: Request) -> Served:
    return request.app.state.served


@router.get("/health", summary="Whether it is ready, and how far loading is")
async def health(request: Request, response: Response) -> dict[str, Any]:
    served = served_of(request)
    response.status_code = 200 if served.status["status"] == "ready" else 503
    return {
        **served.status, "model": served.model.id, "family": served.model.family, "device": served.engine_spec.device,
        "engine": served.kind.name, "uptime_seconds": round(time.time() - served.started, 1), "busy": served.running,
        "waiting": max(0, served.running - (served.spec.max_parallel if served.engine_facts.batches else 1)),
        "version": VERSION,
    }  # fmt: skip


@router.get("/info", summary="What the model is and can do, and what /generate takes")
async def info(request: Request) -> dict[str, Any]:
    served = served_of(request)
    facts, model, spec = served.engine_facts, served.model, served.spec
    kind = served.family.call
    return {
        "id": model.id, "family": model.family, "task": model.task, "model": served.record, "engine": served.kind.name,
        "device": served.engine_spec.device, "precision": served.engine_spec.precision,
        "quantization": served.engine_spec.quantization, "context_tokens": facts.context_tokens or model.max_positions,
        "capabilities": capabilities(served), "parameters": kind.model_json_schema() if kind else {},
        "defaults": facts.generation, "adapters": adapters(served),
        "default_adapter": "" if served.default == BASE else served.default,
        "limits": {name: getattr(spec, name) for name in ("max_body_mb", "max_queue", "max_parallel", "request_seconds")},
        "notes": facts.notes, "load_seconds": round(facts.load_seconds, 2), "memory_bytes": facts.memory_bytes,
        "planned_memory_bytes": served.planned_bytes,
        "status": served.status["status"], "version": VERSION,
    }  # fmt: skip


def capabilities(served: Served) -> dict[str, Any]:
    """What a client may try."""
    voice, family = served.voices[BASE], served.model.family
    kind = served.family.call
    fields = set(kind.model_fields) if kind else set[str]()
    is_text = kind is not None and issubclass(kind, TextCall)
    return {
        "stream": is_text or family in ("diffusion", "embedding"), "chat": bool(voice.tokenizer and voice.tokenizer.template),
        "reasoning": voice.thinking is not None, "tools": bool(is_text and voice.tokenizer and voice.tokenizer.knows_tools),
        "structured": is_text, "images": bool(fields & {"images", "image"}),
        "audio_in": "audio" in fields and served.model.task not in _SPEAKING,
        "audio_out": "voice" in fields and served.model.task in _SPEAKING, "adapters": family != "diffusion",
        "batches": served.engine_facts.batches, **served.engine_facts.can,
    }  # fmt: skip


def adapters(served: Served) -> list[dict[str, Any]]:
    return [
        {"name": voice.name, "path": str(voice.folder), **voice.facts}
        for voice in served.voices.values()
        if voice.name != BASE
    ]


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post(
    "/generate", summary="The model's one call: what it takes is in /info under parameters", openapi_extra=_BODY
)
async def generate(request: Request) -> Any:
    served = served_of(request)
    call, media = await read_call(served, request)
    if isinstance(call, TextCall):
        if call.stream:
            return events.sse(events.told(served, call, media))
        final, timing = await events.unless_gone(request, whole_text(served, call, media))
        return text_body(served, call, final, timing)
    return await events.unless_gone(request, whole_other(served, call, media))


@router.post("/generate/stream", summary="The same, piece by piece, as server-sent events", openapi_extra=_BODY)
async def generate_stream(request: Request) -> Any:
    served = served_of(request)
    call, media = await read_call(served, request)
    served.ready()
    return events.sse(events.told(served, call, media))


@router.get("/generate/stream", summary="The same for EventSource, which can only GET: short prompts")
async def generate_stream_get(
    request: Request, prompt: Annotated[str, Query(min_length=1, max_length=_PAST_TEXT)], adapter: str = "",
    max_tokens: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    temperature: Annotated[float | None, Query(ge=0, le=5)] = None, seed: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Any:  # fmt: skip
    served = served_of(request)
    if not issubclass(call_kind(served), TextCall):
        raise HttpProblem(
            400, "This model writes no text piece by piece", code="unsupported", fix="Use POST /generate."
        )
    fields = {"prompt": prompt, "adapter": adapter, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    call, media = await checked(served, {key: value for key, value in fields.items() if value is not None})
    served.ready()
    return events.sse(events.told(served, call, media))


class TokenizeRequest(BaseModel):
    """A text, or a conversation as the chat template renders it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(default="", max_length=2_000_000)
    messages: list[dict[str, Any]] = Field(default=[], max_length=4096)
    adapter: str = ""


@router.post("/tokenize", summary="How many tokens a text is")
async def tokenize(request: Request, wanted: TokenizeRequest) -> dict[str, Any]:
    served = served_of(request)
    voice = served.voice(wanted.adapter)
    if voice.tokenizer is None:
        raise HttpProblem(400, "This model has no tokens that could be counted", code="unsupported")
    if wanted.messages:
        prompt = await asyncio.to_thread(prompt_of, TextCall(messages=wanted.messages), voice.tokenizer, voice.thinking)
        ids = prompt.ids
    else:
        ids = (await asyncio.to_thread(voice.tokenizer.encoder.encode, wanted.text, add_special_tokens=False)).ids
    return {"tokens": len(ids), "ids": ids}


@router.post("/uploads", summary="A file to be named by its id in later calls")
async def upload(request: Request, file: UploadFile) -> dict[str, Any]:
    served = served_of(request)
    data = await file.read()
    if not data:
        raise HttpProblem(400, "The file is empty", code="invalid_value")
    return {"id": served.uploads.add(data), "bytes": len(data), "type": file.content_type or ""}


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    return Response(served_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
