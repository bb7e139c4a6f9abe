"""The adapters in home: what each was made of, by its own manifest and by the task that made it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from lorasmith.core import settings
from lorasmith.store.database import Database
from lorasmith.store.tables import Dataset, Task

_CONFIG, _MANIFEST = "adapter_config.json", "manifest.json"
_SCORES = ("val_loss", "best_val_loss", "train_loss")
_MANY = 1000


class AdapterFacts(NamedTuple):
    """An adapter on disk. Size in bytes."""

    name: str
    path: str
    base_model: str
    method: str
    rank: int | None
    num_bytes: int
    created_at: datetime | None
    task: int | None
    dataset: int | None
    dataset_name: str
    dataset_version: int | None
    scores: dict[str, float]


def adapters(database: Database) -> list[AdapterFacts]:
    """Those in the folder of adapters, the newest first."""
    root = settings.load().adapters_dir
    found = sorted(root.glob(f"*/lora/{_CONFIG}"))[:_MANY] if root.is_dir() else []
    with database.session() as session:
        tasks = {task.output_path: task for task in session.scalars(select(Task).where(Task.output_path != "")).all()}
        sets = {one.id: one for one in session.scalars(select(Dataset)).all()}
    made = [_facts(file.parent, tasks, sets) for file in found]
    return sorted(made, key=lambda one: one.created_at or datetime.min.replace(tzinfo=UTC), reverse=True)


def _facts(folder: Path, tasks: dict[str, Task], sets: dict[int, Dataset]) -> AdapterFacts:
    config, manifest = _json(folder / _CONFIG), _json(folder / _MANIFEST)
    parameters: dict[str, Any] = manifest.get("parameters") or {}
    task = tasks.get(str(folder.parent))
    dataset = sets.get(task.dataset) if task and task.dataset else None
    figures = {**(manifest.get("final_metrics") or {}), **((task.measured or {}) if task else {})}
    rank = config.get("r")
    return AdapterFacts(
        name=folder.parent.name, path=str(folder),
        base_model=str((manifest.get("base") or {}).get("id") or config.get("base_model_name_or_path") or ""),
        method=str((parameters.get("method") or {}).get("value") or config.get("peft_type", "")).lower(),
        rank=rank if isinstance(rank, int) else None,
        num_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        created_at=datetime.fromtimestamp((folder / _CONFIG).stat().st_mtime, UTC), task=task.id if task else None,
        dataset=dataset.id if dataset else None, dataset_name=dataset.name if dataset else "",
        dataset_version=dataset.version if dataset else None,
        scores={name: float(figures[name]) for name in _SCORES if isinstance(figures.get(name), int | float)},
    )  # fmt: skip


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
