"""Tasks and datasets as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.store.tables import Status


class TaskShown(BaseModel):
    """A task, as it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    task_name: str
    kind: str
    project: int | None
    base_model: str
    dataset: int | None
    dataset_file: str
    dataset_type: str
    output_path: str
    training_params: dict[str, Any]
    status: Status
    progress: float
    """Of a hundred, with two decimals."""
    current_epoch: float | None
    message: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    predicted: dict[str, Any]
    measured: dict[str, Any]
    error: dict[str, Any] | None
    parent: int | None
    runner: str
    host: str
    heartbeat: datetime | None
    priority: int


class TaskPage(BaseModel):
    """Tasks from the newest on."""

    items: list[TaskShown]
    total: int
    """Of those that were asked for, on all pages."""
