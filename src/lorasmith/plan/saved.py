"""Checks that were made, kept in `logs/checks` for a day: no second fetch for the same question, an answer offline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from lorasmith.core import paths, settings
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.report import CheckReport, Question

KEPT = timedelta(hours=24)
_MEMORY_MOVED = 0.1  # share of the machine's memory by which what is free may differ


def _file(model: str) -> Path:
    return settings.load().logs_dir / "checks" / f"{paths.safe_name(model)}.json"


def save(model: str, report: CheckReport, text: str) -> Path:
    """Keep the report as `.json` and `.txt`; returns the latter. Raises EnvironmentProblem where logs cannot be written."""
    file = _file(model)
    paths.make_folder(file.parent)
    paths.write_text(file, report.model_dump_json(indent=2) + "\n")
    paths.write_text(file.with_suffix(".txt"), text)
    return file.with_suffix(".txt")


def saved(model: str, question: Question, machine: HardwareFacts) -> CheckReport | None:
    """The check of the last 24 hours that answers the same question for this hardware; None without one."""
    try:
        report = CheckReport.model_validate_json(_file(model).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None
    fresh = datetime.now(UTC) - report.checked_at < KEPT
    return report if fresh and report.question == question and _is_same(report.hardware, machine) else None


def _is_same(before: HardwareFacts, now: HardwareFacts) -> bool:
    fixed = ("cpu", "num_threads", "ram_bytes", "gpu", "gpu_bytes", "described")
    moved = abs(before.ram_free_bytes - now.ram_free_bytes) > _MEMORY_MOVED * now.ram_bytes
    moved_gpu = abs(before.gpu_free_bytes - now.gpu_free_bytes) > _MEMORY_MOVED * max(1, now.gpu_bytes)
    return all(getattr(before, name) == getattr(now, name) for name in fixed) and not moved and not moved_gpu
