"""The adapters in home, with the tasks and datasets of this studio that they came from."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from lorasmith import flow
from lorasmith.flow import AdapterFacts
from lorasmith.store.database import Database
from lorasmith.store.tables import Dataset, Task


class KnownAdapter(NamedTuple):
    """An adapter on disk. Size in bytes."""

    name: str
    path: str
    base_model: str
    method: str
    rank: int | None
    num_bytes: int
    created_at: datetime | None
    origin: str
    parents: tuple[str, ...]
    troubles: tuple[str, ...]
    task: int | None
    dataset: int | None
    dataset_name: str
    dataset_version: int | None
    scores: dict[str, float]


def adapters(database: Database) -> list[KnownAdapter]:
    """Those in the folder of adapters, the newest first."""
    with database.session() as session:
        tasks = {task.output_path: task for task in session.scalars(select(Task).where(Task.output_path != "")).all()}
        sets = {one.id: one for one in session.scalars(select(Dataset)).all()}
    return [_known(one, tasks, sets) for one in flow.adapters()]


def _known(one: AdapterFacts, tasks: dict[str, Task], sets: dict[int, Dataset]) -> KnownAdapter:
    task = tasks.get(str(one.folder.parent))
    dataset = sets.get(task.dataset) if task and task.dataset else None
    measured = {
        name: float(value) for name, value in ((task.measured or {}) if task else {}).items() if name in _SCORES
    }
    return KnownAdapter(
        name=one.name, path=str(one.folder), base_model=one.base, method=one.method or one.kind, rank=one.rank,
        num_bytes=one.num_bytes, created_at=one.created, origin=one.origin, parents=one.parents, troubles=one.troubles,
        task=task.id if task else None, dataset=dataset.id if dataset else None,
        dataset_name=dataset.name if dataset else "", dataset_version=dataset.version if dataset else None,
        scores={**one.scores, **measured},
    )  # fmt: skip


_SCORES = ("val_loss", "best_val_loss", "train_loss")
