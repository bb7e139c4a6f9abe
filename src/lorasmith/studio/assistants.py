"""Assistants as they are kept: a base, an adapter, a prompt and a manner under one name. Page, API and command line change them
here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.hub.locate import locate_adapter
from lorasmith.store.database import Database
from lorasmith.store.tables import Assistant
from lorasmith.studio.servings import Servings, voice_of
from lorasmith.studio.tasks import Tasks

SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "repetition_penalty", "seed")
_WHOLE = frozenset({"max_tokens", "top_k", "seed"})
_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f/]*$")
]
_Text = Annotated[str, StringConstraints(max_length=100_000, pattern=r"^[^\x00]*$")]


class AssistantRequest(BaseModel):
    """An assistant as it is to be."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    base_model: str = Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f]*$")
    adapter: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x1f]*$")] = ""
    system_prompt: _Text = ""
    sampling: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}


class Assistants:
    """The assistants of one database."""

    def __init__(self, database: Database, tasks: Tasks, servings: Servings):
        self._database, self._tasks, self._servings = database, tasks, servings

    def all(self, *, started: bool = False) -> list[Assistant]:
        """The oldest first; `started`: only those that are to answer."""
        wanted = select(Assistant).order_by(Assistant.id)
        with self._database.session() as session:
            return list(session.scalars(wanted.where(Assistant.is_started) if started else wanted).all())

    def get(self, number: int) -> Assistant:
        """Raises NotFoundProblem."""
        with self._database.session() as session:
            found = session.get(Assistant, number)
        if found is None:
            raise NotFoundProblem(f"There is no assistant {number}")
        return found

    def named(self, name: str) -> Assistant:
        """Raises NotFoundProblem."""
        with self._database.session() as session:
            found = session.scalars(select(Assistant).where(Assistant.name == name.replace("\0", ""))).first()
        if found is None:
            known = ", ".join(one.name for one in self.all()[:20])
            raise NotFoundProblem(
                f"There is no assistant '{name[:100]}'", fix=f"Known: {known}." if known else "There is none yet."
            )
        return found

    def keep(self, one: Assistant, asked: AssistantRequest) -> Assistant:
        """Written down; where base or adapter are others, it has to be started again.

        Raises UsageProblem for a name that another has, or a parameter that there is none of.
        """
        if unknown := sorted(set(asked.sampling) - set(SAMPLING)):
            raise UsageProblem(f"'{unknown[0][:50]}' is no parameter of sampling", fix=f"Known: {', '.join(SAMPLING)}.")
        if one.id and (one.base_model, one.adapter) != (asked.base_model, asked.adapter):
            one.is_started = False
        with self._database.session() as session:
            one = session.merge(one) if one.id else one
            for name, value in asked.model_dump().items():
                setattr(one, name, value)
            session.add(one)
            try:
                session.flush()
            except IntegrityError:
                raise UsageProblem(f"There is an assistant '{asked.name}' already", fix="Take another name.") from None
        return one

    def start(self, one: Assistant) -> Assistant:
        """Have it answer: a studio of this database loads its base, unless another assistant has had it loaded."""
        adapters = {voice_of(one): str(locate_adapter(one.adapter))} if one.adapter else {}
        self._servings.begin(one.base_model, adapters)
        return self._started(one, is_started=True)

    def stop(self, one: Assistant) -> Assistant:
        """Have it answer no more; its base is let go with the last assistant that needs it."""
        was_started = one.is_started
        one = self._started(one, is_started=False)
        task = self._servings.of_base(one.base_model)
        if was_started and task and all(other.base_model != one.base_model for other in self.all(started=True)):
            self._tasks.stop(task.id)
        return one

    def remove(self, one: Assistant) -> None:
        """Its model and adapter stay."""
        self.stop(one)
        with self._database.session() as session:
            session.delete(session.get_one(Assistant, one.id))

    def follow(self, before: Path, after: Path) -> None:
        """Assistants go on with an adapter whose folder, or the folder around it, is called otherwise."""
        with self._database.session() as session:
            for one in session.scalars(select(Assistant).where(Assistant.adapter != "")):
                if one.adapter == before.name:
                    one.adapter = after.name
                elif Path(one.adapter).is_relative_to(before):
                    one.adapter = str(after / Path(one.adapter).relative_to(before))

    def _started(self, one: Assistant, *, is_started: bool) -> Assistant:
        with self._database.session() as session:
            session.get_one(Assistant, one.id).is_started = is_started
        return self.get(one.id)


def sampling_of(one: Assistant) -> dict[str, int | float]:
    """Its parameters as requests take them."""
    return {
        name: int(one.sampling[name]) if name in _WHOLE else one.sampling[name]
        for name in SAMPLING if name in one.sampling
    }  # fmt: skip
