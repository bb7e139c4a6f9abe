"""One thing that the doctor looked at."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lorasmith.core.errors import LorasmithError

Level = Literal["ok", "note", "warning", "problem"]


class Finding(BaseModel):
    """What is so, why it matters, what to do. A `note` is something optional that is not there: nothing is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    level: Level = "ok"
    what: str
    why: str = ""
    fix: str = ""
    details: dict[str, Any] = {}
    """The same for programs: versions, bytes, milliseconds."""


def told(topic: str, level: Level, problem: LorasmithError, *, fix: str = "", **details: Any) -> Finding:
    """A finding that is told elsewhere as an error; `fix` where the cure is another here."""
    return Finding(
        topic=topic, level=level, what=problem.what, why=problem.why, fix=fix or problem.fix, details=details
    )
