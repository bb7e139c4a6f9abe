"""Bases that a training may begin with."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from lorasmith import flow

router = APIRouter(tags=["models"])
_DEMO = "demo"


class ModelShown(BaseModel):
    """A base that is here."""

    id: str
    """What a training is asked for by."""
    name: str
    family: str
    quantization: str
    num_bytes: int
    adapters: list[str]
    troubles: list[str]
    """Why it cannot be used, where it is damaged."""


@router.get("/models")
def models() -> list[ModelShown]:
    """The demo model, which comes with lorasmith, and all that are installed."""
    demo = flow.know_model(_DEMO)
    size = sum(file.stat().st_size for file in demo.local_folder.iterdir() if file.is_file())
    shipped = ModelShown(
        id=_DEMO, name=_DEMO, family=demo.family, quantization="none", num_bytes=size, adapters=[], troubles=[]
    )
    return [
        shipped,
        *(
            ModelShown(
                id=one.model_id, name=one.name, family=one.family, quantization=one.quantization, num_bytes=one.model_bytes,
                adapters=one.adapters, troubles=one.troubles,
            )
            for one in flow.installed_models()
        ),
    ]  # fmt: skip
