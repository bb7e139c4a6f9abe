"""Tasks in the database: made, taken, kept alive, ended. Every change that two processes may try is one conditional statement."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, delete, func, or_, select, update

from lorasmith.core import paths
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.specs import make_spec
from lorasmith.store.database import Database
from lorasmith.store.tables import OVER, Task, now
from lorasmith.studio.kinds import KINDS
from lorasmith.studio.rights import require_no_files

SILENT = timedelta(seconds=15)
"""After so long without a heartbeat a process is looked for."""
EVENTS_FILE, LOG_FILE, LOCK_FILE = "events.jsonl", "process.log", ".alive"


def folder_of(task: int) -> Path:
    """Where a task's events and its process's log lie."""
    return paths.home() / "tasks" / str(task)


def this_host() -> str:
    return socket.gethostname()


class Tasks:
    """The tasks of a studio. Every call may raise EnvironmentProblem where the database has gone."""

    def __init__(self, database: Database, *, is_shared: bool = False):
        """`is_shared`: whoever asks may be no user of this machine, and has no right to its files and its network."""
        self.database, self._is_shared = database, is_shared

    def require_allowed(self, params: Mapping[str, Any]) -> None:
        """Raises UsageProblem for what only this machine's own user may name."""
        if self._is_shared:
            require_no_files(params)

    # Made and asked for.

    def create(self, kind: str, name: str, params: Mapping[str, Any], **more: Any) -> Task:
        """A new task that waits for its turn. Raises UsageProblem for params that its verb does not take."""
        if kind not in KINDS:
            raise UsageProblem(f"There is no kind of task '{kind}'", fix=f"Known: {', '.join(sorted(KINDS))}.")
        spec = make_spec(KINDS[kind].spec, **params)
        self.require_allowed(params)
        task = Task(
            kind=kind, task_name=name, training_params=dict(params), base_model=getattr(spec, "model", ""),
            dataset_file=getattr(spec, "data", ""), **more,
        )  # fmt: skip
        with self.database.session() as session:
            session.add(task)
        return task

    def get(self, number: int) -> Task:
        """Raises NotFoundProblem."""
        with self.database.session() as session:
            task = session.get(Task, number)
        if task is None:
            raise NotFoundProblem(f"There is no task {number}")
        return task

    def page(
        self, *, status: str = "", kind: str = "", project: int | None = None, text: str = "", before: int | None = None,
        limit: int = 50,
    ) -> tuple[list[Task], int]:  # fmt: skip
        """Tasks from the newest on, `limit` of those numbered below `before`; and how many there are of the kind asked for."""
        wanted: list[ColumnElement[bool]] = []
        if status:
            wanted.append(Task.status.in_(status.split(",")))
        if kind:
            wanted.append(Task.kind == kind)
        if project is not None:
            wanted.append(Task.project == project)
        if text:
            wanted.append(
                or_(
                    *(
                        column.icontains(text, autoescape=True)
                        for column in (Task.task_name, Task.base_model, Task.dataset_file)
                    )
                )
            )
        asked = select(Task).where(*wanted).order_by(Task.id.desc()).limit(limit)
        if before is not None:
            asked = asked.where(Task.id < before)
        with self.database.session() as session:
            total = session.scalar(select(func.count()).select_from(Task).where(*wanted)) or 0
            return list(session.scalars(asked).all()), total

    def newest(self) -> int:
        """The highest number; 0 where there is no task."""
        with self.database.session() as session:
            return session.scalar(select(func.max(Task.id))) or 0

    def changed(self, after: int) -> Sequence[Task]:
        """Those that wait or run, and those with higher numbers than `after`."""
        with self.database.session() as session:
            return session.scalars(select(Task).where(or_(Task.status.not_in(OVER), Task.id > after))).all()

    def open(self) -> Sequence[Task]:
        """Those that wait or run."""
        with self.database.session() as session:
            return session.scalars(select(Task).where(Task.status.not_in(OVER))).all()

    def many(self, numbers: Collection[int]) -> Sequence[Task]:
        """Those of these numbers that are there."""
        if not numbers:
            return []
        with self.database.session() as session:
            return session.scalars(select(Task).where(Task.id.in_(numbers))).all()

    def stop(self, number: int) -> Task:
        """Ask a task to end: one that waits ends at once, one that runs as soon as it has saved."""
        self._change(
            number, {"status": "stopped", "completed_at": now(), "message": "Stopped before it began"}, "pending"
        )
        self._change(number, {"wanted": "stop", "message": "Stopping: it saves first"}, "running")
        return self.get(number)

    def resume(self, number: int) -> Task:
        """Have a task that did not come to its end go on. Raises UsageProblem where it has, or runs."""
        task = self.get(number)
        changes = {
            "status": "pending", "error": None, "completed_at": None, "process": None, "wanted": "", "message": "Waits to go on"
        }  # fmt: skip
        if not self._change(number, changes, "failed", "stopped", "interrupted"):
            raise UsageProblem(
                f"Task {number} cannot go on: it is {task.status}",
                fix="Clone it to begin anew." if task.status == "completed" else "",
            )
        return self.get(number)

    def delete(self, number: int) -> None:
        """Take it off the list. Raises UsageProblem for one that is not over."""
        with self.database.session() as session:
            gone = session.execute(delete(Task).where(Task.id == number, Task.status.in_(OVER)))
            if isinstance(gone, CursorResult) and gone.rowcount:
                return
        raise UsageProblem(f"Task {number} is {self.get(number).status}", fix="Stop it first.")

    # Taken by a queue.

    def waiting(self) -> Sequence[Task]:
        """Those that wait, in the order in which they are to be begun."""
        with self.database.session() as session:
            return session.scalars(
                select(Task)
                .where(Task.status == "pending", Task.runner == "local")
                .order_by(Task.priority.desc(), Task.id)
            ).all()

    def running(self) -> Sequence[Task]:
        """Those that are at work, wherever."""
        with self.database.session() as session:
            return session.scalars(select(Task).where(Task.status == "running").order_by(Task.id)).all()

    def take(self, number: int, **noted: Any) -> bool:
        """Whether the task that waited is ours to start now, with what is noted of it: of all who ask one gets it."""
        changes = {
            "status": "running", "host": this_host(), "heartbeat": now(), "process": None, "started_at": now(),
            "message": "Starting", **noted,
        }  # fmt: skip
        return self._change(number, changes, "pending")

    def give_back(self, number: int) -> bool:
        """Have a task wait again that was taken and whose process never came."""
        return self._change(number, {"status": "pending", "host": "", "message": ""}, "running", Task.process.is_(None))

    def interrupted(self, number: int, process: int, seen: datetime | None) -> bool:
        """Write down that the task's process has died, unless it has been heard of since."""
        changes = {"status": "interrupted", "completed_at": now(), "message": "Its process has died"}
        return self._change(number, changes, "running", Task.process == process, Task.heartbeat == seen)

    # Said by the task's own process.

    def begin(self, number: int, process: int, output: str) -> Task | None:
        """The task, where this process is the one that does it; None where another does."""
        mine = self._change(
            number,
            {"process": process, "host": this_host(), "heartbeat": now(), "output_path": output},
            "running",
            Task.process.is_(None),
        )
        return self.get(number) if mine else None

    def beat(self, number: int, process: int, **changes: Any) -> bool:
        """Say that it is alive and how far it is; whether it is to stop. A task that was taken for dead is alive again."""
        with self.database.session() as session:
            session.execute(
                update(Task)
                .where(Task.id == number, Task.process == process, Task.status.in_(("running", "interrupted")))
                .values(heartbeat=now(), status="running", completed_at=None, **changes)
            )
            return session.scalar(select(Task.wanted).where(Task.id == number)) == "stop"

    def end(self, number: int, process: int, status: str, **changes: Any) -> None:
        """Its end."""
        assert_over(status)
        with self.database.session() as session:
            session.execute(
                update(Task)
                .where(Task.id == number, Task.process == process)
                .values(status=status, completed_at=now(), heartbeat=now(), wanted="", **changes)
            )

    def _change(self, number: int, changes: Mapping[str, Any], *conditions: str | ColumnElement[bool]) -> bool:
        """Whether the task was as the conditions say (statuses, or what SQL compares), and is now changed."""
        statuses = [one for one in conditions if isinstance(one, str)]
        others = [one for one in conditions if not isinstance(one, str)]
        with self.database.session() as session:
            done = session.execute(
                update(Task).where(Task.id == number, Task.status.in_(statuses), *others).values(**changes)
            )
            return isinstance(done, CursorResult) and done.rowcount == 1


def assert_over(status: str) -> None:
    """Raises ValueError for a status that is no end."""
    if status not in OVER:
        raise ValueError(f"'{status}' is no end of a task")
