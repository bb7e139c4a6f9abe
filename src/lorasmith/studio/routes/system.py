"""The machine and this installation."""

from __future__ import annotations

import platform
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

import lorasmith
from lorasmith.plan import hardware
from lorasmith.studio.state import Here
from lorasmith.studio.tasks import this_host

router = APIRouter(tags=["system"])


class SystemShown(BaseModel):
    """What runs where."""

    version: str
    python: str
    host: str
    database: str
    """Its kind: sqlite, postgresql, mariadb."""
    hardware: dict[str, Any]
    running: int
    waiting: int


@router.get("/system")
def system(studio: Here) -> SystemShown:
    return SystemShown(
        version=lorasmith.__version__, python=platform.python_version(), host=this_host(),
        database=studio.database.engine.dialect.name, hardware=hardware.observe().model_dump(mode="json"),
        running=len(studio.tasks.running()), waiting=len(studio.tasks.waiting()),
    )  # fmt: skip


@router.get("/health")
def health() -> dict[str, str]:
    """Whether anybody is there."""
    return {"status": "ok"}
