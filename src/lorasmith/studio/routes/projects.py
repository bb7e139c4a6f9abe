"""Projects: what datasets and tasks may belong to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from lorasmith.core.errors import UsageProblem
from lorasmith.store.tables import Project
from lorasmith.studio.state import Here

router = APIRouter(tags=["projects"])


class ProjectShown(BaseModel):
    """A project."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    created_at: datetime


class ProjectRequest(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")
    ]


@router.get("/projects")
def projects(studio: Here) -> list[ProjectShown]:
    """From the newest on."""
    with studio.database.session() as session:
        found = session.scalars(select(Project).order_by(Project.id.desc())).all()
    return [ProjectShown.model_validate(one) for one in found]


@router.post("/projects", status_code=201)
def create(asked: ProjectRequest, studio: Here) -> ProjectShown:
    made = Project(name=asked.name)
    with studio.database.session() as session:
        session.add(made)
        try:
            session.flush()
        except IntegrityError:
            raise UsageProblem(f"There is a project '{asked.name}' already", fix="Take another name.") from None
    return ProjectShown.model_validate(made)
