"""Models that mark answers. Their keys stay in the environment."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core import settings
from lorasmith.core.errors import LorasmithError, NotFoundProblem
from lorasmith.core.settings import JudgeEntry, JudgeName
from lorasmith.studio.routes.system import Tried

router = APIRouter(tags=["judges"])


class JudgeRequest(BaseModel):
    """A judge as it is to be registered."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(min_length=1, max_length=50)
    model: str = Field(default="", max_length=400)
    base_url: str = Field(default="", max_length=2000)
    key_env: str = Field(default="", max_length=200)


class JudgeShown(BaseModel):
    """A judge of the settings, the variable that holds its key, and whether that is set."""

    id: str
    kind: str
    model: str
    base_url: str
    key_env: str
    has_key: bool


@router.get("/judges")
def judges() -> list[JudgeShown]:
    return [_shown(name, one) for name, one in settings.load().judges.items()]


@router.put("/judges/{name}")
def register(name: JudgeName, asked: JudgeRequest) -> JudgeShown:
    """Write it into the settings, over what was there under that name."""
    known = _entries()
    _store({**known, name: {**known.get(name, {}), **asked.model_dump()}})
    return _shown(name, settings.load().judges[name])


@router.delete("/judges/{name}", status_code=204)
def remove(name: str) -> Response:
    known = _entries()
    if name not in known:
        raise NotFoundProblem(f"There is no judge '{name[:70]}'")
    _store({key: value for key, value in known.items() if key != name})
    return Response(status_code=204)


@router.post("/judges/{name}/test")
def test(name: str) -> Tried:
    """Have it mark one answer, which is right."""
    from lorasmith.evaluation.judges import Limits, Question, get_judge, judged

    if name not in settings.load().judges:
        raise NotFoundProblem(f"There is no judge '{name[:70]}'")
    try:
        judge = get_judge(name)
        asked = [Question(prompt="What is 2 + 3?", wanted="5", answer="5")]
        found = judged(judge, asked, limits=Limits(calls=2, answer_seconds=30, total_seconds=40, tries=1))
    except LorasmithError as problem:
        return Tried(ok=False, what=f"{problem.what}. {problem.fix}".strip())
    if found.rows[0] is None:
        return Tried(ok=False, what=found.failures[0].reason if found.failures else "It gave no mark.")
    return Tried(ok=True, what=f"It marks a right answer with {found.rows[0].score:.0f} of 100.")


def _entries() -> dict[str, dict[str, Any]]:
    known = settings.load().judges
    return {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in known.items()}


def _store(entries: dict[str, dict[str, Any]]) -> None:
    settings.keep("judges", entries)


def _shown(name: str, one: JudgeEntry) -> JudgeShown:
    from lorasmith.evaluation.judges import JUDGES

    kind = JUDGES.get(one.kind) if one.kind in JUDGES.names() else None
    variable = one.key_env or (kind.key_variable if kind and not one.base_url else "")
    return JudgeShown(
        id=name, kind=one.kind, model=one.model, base_url=one.base_url, key_env=variable,
        has_key=not variable or bool(os.environ.get(variable)),
    )  # fmt: skip
