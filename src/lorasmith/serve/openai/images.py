"""POST /v1/images/generations and /edits (https://platform.openai.com/docs/api-reference/images). Pictures are base64 of PNG."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.datastructures import UploadFile

from lorasmith.families._calls import DiffusionCall
from lorasmith.serve.answers import other_events, whole_other
from lorasmith.serve.events import unless_gone
from lorasmith.serve.media import read_media
from lorasmith.serve.openai._forms import numbers_in, read_form
from lorasmith.serve.openai._reading import Given, body_of, checked, made, read, require, voice_of
from lorasmith.serve.openai._streams import Item, streamed
from lorasmith.serve.openai._texts import now
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.state import Served

router = APIRouter()
_EXAMPLE = '{"prompt": "A lighthouse at dusk", "size": "512x512"}'
_SEEDS = 2**63


class ImageGiven(Given):
    """Pictures to be drawn."""

    prompt: str = Field(min_length=1)
    n: int | None = Field(default=None, ge=1, le=16)
    size: str | None = Field(default=None, description="WIDTHxHEIGHT in pixels, or auto")
    response_format: Literal["b64_json", "url"] | None = Field(
        default=None, description="A url is one with the data inside"
    )
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=3)
    seed: int | None = Field(default=None, description="Beyond OpenAI's, as the fields below")
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance_scale: float | None = Field(default=None, ge=0, le=100)
    negative_prompt: str | None = None
    strength: float | None = Field(default=None, gt=0, le=1)


def image_call(served: Served, given: ImageGiven, **files: str) -> DiffusionCall:
    """The request as the model's own call. Raises HttpProblem."""
    width, height = _size(given.size)
    names = ("steps", "guidance_scale", "negative_prompt", "strength")
    fields = {name: value for name in names if (value := getattr(given, name)) is not None}
    call = made(
        require(served, DiffusionCall, "pictures"), _EXAMPLE, **fields, **files, prompt=given.prompt, n=given.n or 1, width=width,
        height=height, seed=None if given.seed is None else given.seed % _SEEDS, adapter=voice_of(served, given.model).name,
    )  # fmt: skip
    if given.stream and given.partial_images:
        return call.model_copy(update={"preview_every": max(1, call.steps // (given.partial_images + 1))})
    return call


def _size(given: str | None) -> tuple[int | None, int | None]:
    if given in (None, "auto"):
        return None, None
    width, _, height = given.partition("x")
    if not (width.isdigit() and height.isdigit() and len(given) < 16):
        raise HttpProblem(
            400, "size is no WIDTHxHEIGHT", code="invalid_value", param="size", fix='Send "512x512", or leave it out.'
        )
    return int(width), int(height)


@router.post("/images/generations", summary="Draw pictures", openapi_extra=body_of(ImageGiven))
async def generate(request: Request) -> Any:
    served, given = await read(request, ImageGiven, _EXAMPLE)
    return await _answer(request, served, given, image_call(served, given), "image_generation")


@router.post("/images/edits", summary="Draw from a picture; where a mask is transparent or white it is drawn anew")
async def edit(request: Request) -> Any:
    served, fields = await read_form(request)
    images = [value for name in ("image", "image[]") for value in fields.pop(name, []) if isinstance(value, UploadFile)]
    masks = [value for value in fields.pop("mask", []) if isinstance(value, UploadFile)]
    if len(images) != 1 or len(masks) > 1:
        raise HttpProblem(
            400, f"One image is drawn from, and {len(images)} were sent", code="invalid_value", param="image",
            fix="Send one file under 'image', and at most one under 'mask'.",
        )  # fmt: skip
    given = checked(ImageGiven, numbers_in(fields, ImageGiven), _EXAMPLE)
    files = {"image": await _uploaded(images[0])} | ({"mask_image": await _uploaded(masks[0])} if masks else {})
    return await _answer(request, served, given, image_call(served, given, **files), "image_edit")


async def _uploaded(file: UploadFile) -> str:
    return "data:image/png;base64," + base64.b64encode(await file.read()).decode()


async def _answer(request: Request, served: Served, given: ImageGiven, call: DiffusionCall, name: str) -> Any:
    media = await read_media(call.media(), served.uploads, allow_urls=served.spec.allow_urls)
    if given.stream:
        return await streamed(_events(served, given, call, media, name), with_names=True)
    result = await unless_gone(request, whole_other(served, call, media))
    return {"created": now(), "data": [_entry(image, given) for image in result["images"]], "output_format": "png"}


def _entry(image: dict[str, Any], given: ImageGiven) -> dict[str, Any]:
    """A picture; its seed is beyond what OpenAI tells."""
    told: dict[str, Any] = {"revised_prompt": given.prompt, "seed": image.get("seed")}
    if given.response_format == "url":
        return {"url": f"data:{image['type']};base64,{image['data']}", **told}
    return {"b64_json": image["data"], **told}


async def _events(
    served: Served, given: ImageGiven, call: DiffusionCall, media: list[bytes], name: str
) -> AsyncGenerator[Item]:
    """Previews of the steps as partial pictures, then the pictures."""
    about = {"created_at": now(), "size": given.size or "auto", "quality": "auto", "background": "opaque"}
    number = 0
    async with served.admitted() as engine, aclosing(other_events(served, engine, call, media)) as events:
        async for told in events:
            if "preview" in told and number < (given.partial_images or 0):
                partial = {"b64_json": told["preview"]["data"], "partial_image_index": number, "output_format": "jpeg"}
                yield {"type": f"{name}.partial_image", **partial, **about}
                number += 1
            for image in told.get("result", {}).get("images", []):
                yield {
                    "type": f"{name}.completed",
                    "b64_json": image["data"],
                    "output_format": "png",
                    "usage": _NO_USAGE,
                    **about,
                }


_NO_USAGE = {
    "input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}  # fmt: skip
"""Clients want one; pictures are no tokens here."""
