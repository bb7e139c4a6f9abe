"""Assistants: a base, an adapter, a prompt and a manner under one name, which any OpenAI client talks to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.hub.locate import locate_adapter
from lorasmith.serve.page import PAGE, answer_page
from lorasmith.serve.problems import HttpProblem
from lorasmith.store.tables import Assistant, Task
from lorasmith.studio.assistants import AssistantRequest, sampling_of
from lorasmith.studio.servings import adapters_of, voice_of
from lorasmith.studio.state import Here, Number, Studio

router = APIRouter(tags=["assistants"])
_PATH = "/api/assistants/v1"
_FORWARDED = frozenset(
    {
        "v1/chat/completions", "v1/completions", "v1/models", "v1/embeddings", "health", "info", "generate", "generate/stream",
        "tokenize", "project",
    }
)  # fmt: skip
_TOLD = ("content-type", "accept")
_JSON = {"content-type": "application/json"}


class AssistantShown(BaseModel):
    """An assistant, and whether it answers."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    base_model: str
    adapter: str
    system_prompt: str
    sampling: dict[str, Any]
    state: str
    problem: dict[str, Any] | None
    serving: int | None
    family: str
    """What it speaks or reads, once it is ready: language, document …"""
    path: str


class ServingRequest(BaseModel):
    """A base to be served, with adapters by the names that requests are to call them."""

    model_config = ConfigDict(extra="forbid")

    base_model: str = Field(min_length=1, max_length=400)
    adapters: dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], str] = {}


class ServingShown(BaseModel):
    """A served base, and the names that it answers to; the first is the untouched base."""

    id: int
    base_model: str
    state: str
    voices: list[str]
    family: str
    problem: dict[str, Any] | None


# Servings.


@router.get("/servings")
def servings(studio: Here) -> list[ServingShown]:
    return [_serving(studio, task) for task in studio.servings.open()]


@router.get("/servings/{number}")
def serving(number: Number, studio: Here) -> ServingShown:
    return _serving(studio, _serve_task(studio, number))


@router.post("/servings", status_code=201)
def serve(asked: ServingRequest, studio: Here) -> ServingShown:
    """Serve a base; one that is served already is given the adapters."""
    adapters = {name: str(locate_adapter(path)) for name, path in asked.adapters.items()}
    task = studio.servings.begin(asked.base_model, adapters)
    studio.queue.wake()
    return _serving(studio, task)


@router.api_route("/servings/{number}/{path:path}", methods=["GET", "POST"], include_in_schema=False)
async def forward(number: Number, path: str, request: Request, studio: Here) -> Response:
    """What the server itself answers, and its page, which asks below its own address."""
    if not path and request.method == "GET":
        return answer_page(PAGE, request)
    if path not in _FORWARDED:
        raise NotFoundProblem("There is no such route", fix="See /api/docs.")
    task = await anyio.to_thread.run_sync(_serve_task, studio, number)
    headers = {name: request.headers[name] for name in _TOLD if name in request.headers}
    return await _asked(studio, task, request.method, path, await request.body(), headers)


# Assistants.


@router.get("/assistants")
def assistants(studio: Here) -> list[AssistantShown]:
    return [_shown(studio, one) for one in studio.assistants.all()]


@router.post("/assistants", status_code=201)
def create(asked: AssistantRequest, studio: Here) -> AssistantShown:
    return _shown(studio, studio.assistants.keep(Assistant(), asked))


@router.put("/assistants/{number}")
def change(number: Number, asked: AssistantRequest, studio: Here) -> AssistantShown:
    """What it is from now on. Where base or adapter are others, it has to be started again."""
    return _shown(studio, studio.assistants.keep(studio.assistants.get(number), asked))


@router.delete("/assistants/{number}", status_code=204)
def delete(number: Number, studio: Here) -> Response:
    """Its model and adapter stay."""
    studio.assistants.remove(studio.assistants.get(number))
    return Response(status_code=204)


@router.post("/assistants/{number}/start")
def start(number: Number, studio: Here) -> AssistantShown:
    """Have it answer: its base is loaded, unless another assistant has loaded it."""
    one = studio.assistants.start(studio.assistants.get(number))
    studio.queue.wake()
    return _shown(studio, one)


@router.post("/assistants/{number}/stop")
def stop(number: Number, studio: Here) -> AssistantShown:
    """Have it answer no more; its base is let go with the last assistant that needs it."""
    return _shown(studio, studio.assistants.stop(studio.assistants.get(number)))


@router.get("/assistants/v1/models")
def models(studio: Here) -> dict[str, Any]:
    """OpenAI's list of models: the assistants that are started."""
    data = [
        {"id": one.name, "object": "model", "created": int(one.created_at.timestamp()), "owned_by": "lorasmith"}
        for one in studio.assistants.all(started=True)
    ]
    return {"object": "list", "data": data}


@router.post("/assistants/v1/chat/completions")
async def chat(request: Request, studio: Here) -> StreamingResponse:
    """OpenAI's chat completions; `model` is an assistant's name. Its prompt and manner are added."""
    body = _json(await request.body())
    one = await anyio.to_thread.run_sync(studio.assistants.named, str(body.get("model")))
    task = await anyio.to_thread.run_sync(studio.servings.of_base, one.base_model)
    if not one.is_started or task is None:
        raise HttpProblem(
            503, f"The assistant '{one.name}' is not started", code="not_started", fix="Start it in the studio."
        )
    messages = body.get("messages")
    if one.system_prompt and isinstance(messages, list) and messages:
        body["messages"] = _with_prompt(one.system_prompt, cast("list[Any]", messages))
    for name, value in sampling_of(one).items():
        if not {name, "max_completion_tokens" if name == "max_tokens" else name} & body.keys():
            body[name] = value
    seen = studio.servings.seen(task)
    body["model"] = voice_of(one) if one.adapter else next(iter(seen.voices), "")
    if body["model"] not in seen.voices:
        problem = seen.problem or {}
        raise HttpProblem(
            503, f"The assistant '{one.name}' cannot answer yet", code="loading", why=problem.get("what", "It is being loaded."),
            fix=problem.get("fix") or "Ask again in a moment.",
        )  # fmt: skip
    return await _asked(studio, task, "POST", "v1/chat/completions", json.dumps(body).encode(), _JSON)


def _with_prompt(prompt: str, messages: list[Any]) -> list[Any]:
    """Before what the client says itself, which may have a system message of its own: models read one only."""
    first = messages[0] if messages else None
    if (
        isinstance(first, dict)
        and first.get("role") in ("system", "developer")
        and isinstance(first.get("content"), str)
    ):
        return [{**first, "content": f"{prompt}\n\n{first['content']}"}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageProblem("The request is no JSON object", fix='A right one: {"model": "NAME", "messages": [...]}')
    return cast("dict[str, Any]", found)


async def _asked(
    studio: Studio, task: Task, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> StreamingResponse:
    status, kind, pieces = await studio.servings.ask(task, method, path, body, headers)
    return StreamingResponse(pieces, status_code=status, media_type=kind, headers={"Cache-Control": "no-store"})


def _shown(studio: Studio, one: Assistant) -> AssistantShown:
    task = studio.servings.of_base(one.base_model) if one.is_started else None
    state, problem, family = "stopped", None, ""
    if one.is_started:
        state = "failed" if task is None else "starting"
        if task is None:
            problem = {"what": "Its server has ended", "fix": "Start it again."}
        else:
            seen = studio.servings.seen(task)
            state, problem, family = seen.state, seen.problem, seen.family
            if seen.state == "ready" and one.adapter and voice_of(one) not in seen.voices:
                state = "failed" if seen.problem else "starting"
            elif state == "ready":
                problem = None
    return AssistantShown(
        id=one.id, name=one.name, base_model=one.base_model, adapter=one.adapter, system_prompt=one.system_prompt,
        sampling=one.sampling, state=state, problem=problem, serving=task.id if task else None, family=family,
        path=_PATH,
    )  # fmt: skip


def _serve_task(studio: Studio, number: int) -> Task:
    task = studio.tasks.get(number)
    if task.kind != "serve":
        raise NotFoundProblem(f"Task {number} serves nothing")
    return task


def _serving(studio: Studio, task: Task) -> ServingShown:
    seen = studio.servings.seen(task)
    is_whole = seen.problem is not None or set(adapters_of(task)) <= set(seen.voices)
    return ServingShown(
        id=task.id, base_model=task.base_model, state=seen.state if is_whole else "starting", voices=list(seen.voices),
        family=seen.family, problem=seen.problem,
    )  # fmt: skip
