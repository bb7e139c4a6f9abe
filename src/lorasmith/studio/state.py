"""What the studio's routes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from pydantic import Field

from lorasmith.core.errors import NotFoundProblem
from lorasmith.core.events import Listener
from lorasmith.store.database import Database
from lorasmith.store.tables import Audit, Project
from lorasmith.studio.accounts import Accounts
from lorasmith.studio.assistants import Assistants
from lorasmith.studio.datasets import Datasets
from lorasmith.studio.pulse import Pulse
from lorasmith.studio.queue import Queue
from lorasmith.studio.reading import Reader
from lorasmith.studio.servings import Servings
from lorasmith.studio.tasks import Tasks


class Studio:
    """A studio's parts, over one database."""

    def __init__(self, database: Database, *, is_locked: bool = False, tell: Listener = lambda _: None):
        """`is_locked`: whether one has to sign in."""
        self.database = database
        self.tasks, self.datasets = Tasks(database, is_shared=is_locked), Datasets(database)
        self.reader = Reader(self.datasets)
        self.queue = Queue(self.tasks, meanwhile=self.reader.again)
        self.pulse = Pulse(self.tasks)
        self.servings = Servings(database, self.tasks)
        self.assistants = Assistants(database, self.tasks, self.servings)
        self.accounts = Accounts(database)
        self.is_locked = is_locked
        self.tell = tell

    def require_project(self, number: int | None) -> None:
        """Raises NotFoundProblem for a project that is not there."""
        if number is None:
            return
        with self.database.session() as session:
            if session.get(Project, number) is None:
                raise NotFoundProblem(f"There is no project {number}")

    def audit(self, who: str, what: str, about: Mapping[str, Any]) -> None:
        """Write down who did what."""
        with self.database.session() as session:
            session.add(Audit(who=who, what=what, about=dict(about)))


def studio_of(request: Request) -> Studio:
    return cast(Studio, request.app.state.studio)


Here = Annotated[Studio, Depends(studio_of)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A row's, as every database can hold it."""
