"""Adapters loaded and unloaded while others are answered, by the routes that vLLM's clients know (SRV-7, SRV-8)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.serve.native import served_of
from lorasmith.serve.reading import StrictRoute

router = APIRouter(prefix="/v1", tags=["adapters"], route_class=StrictRoute)


class LoadAdapter(BaseModel):
    """An adapter's name for requests, and where it lies: a name in home's adapters folder, or a path inside an allowed folder."""

    model_config = ConfigDict(extra="ignore")

    lora_name: str = Field(min_length=1, max_length=128)
    lora_path: str = Field(min_length=1, max_length=4096)


class UnloadAdapter(BaseModel):
    """The name of a loaded adapter."""

    model_config = ConfigDict(extra="ignore")

    lora_name: str = Field(min_length=1, max_length=128)


@router.post("/load_lora_adapter", summary="Load an adapter while others are answered")
async def load(request: Request, wanted: LoadAdapter) -> dict[str, Any]:
    facts = await served_of(request).load_adapter(wanted.lora_name, wanted.lora_path)
    return {"lora_name": wanted.lora_name, **facts}


@router.post("/unload_lora_adapter", summary="Unload an adapter when those who use it have been answered")
async def unload(request: Request, wanted: UnloadAdapter) -> dict[str, Any]:
    await served_of(request).unload_adapter(wanted.lora_name)
    return {"lora_name": wanted.lora_name}
