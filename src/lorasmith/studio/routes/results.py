"""What a task has left: its adapter, its report, its answers, its trials, and how to do it again elsewhere."""

from __future__ import annotations

import difflib
import json
import shlex
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.background import BackgroundTask

from lorasmith.core.errors import NotFoundProblem
from lorasmith.store.tables import Task
from lorasmith.studio.datasets import named
from lorasmith.studio.state import Here, Number

router = APIRouter(tags=["tasks"])
_REPORTS = ("training_report.html", "tune.html", "report.html")
_ADAPTERS = ("lora", "model")
_MANIFEST = "manifest.json"
_PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)
"""A report is a page by itself: it may draw, and reach nothing."""
_NOT_ASKED = ("output", "tensorboard_port")


class CommandShown(BaseModel):
    """How to do a task again from a terminal, and from Python."""

    shell: str
    python: str


class ResultsShown(BaseModel):
    """What a task has left so far, also one that was stopped or has failed after it had saved."""

    adapter: str
    """The folder of what was trained; empty while there is none."""
    report: bool
    manifest: bool


class AnswerShown(BaseModel):
    """A held-out row, answered by the base and by what was trained."""

    question: str
    expected: str
    base: str
    tuned: str
    change: float | None
    """How much nearer (positive) to the right answer the tuned one is, of 1."""


class TrialShown(BaseModel):
    """A trial of a search."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    is_automatic: bool
    outcome: str
    reason: str
    params: dict[str, Any]
    losses: dict[int, float]
    value: float | None
    seconds: float | None


class TrialsShown(BaseModel):
    """A search as it stands."""

    figure: str
    higher_is_better: bool
    trials: list[TrialShown]
    best: int | None
    best_params: dict[str, Any]
    best_options: dict[str, Any]
    importances: dict[str, float]
    verdict: str


@router.get("/tasks/{number}/results")
def results(number: Number, studio: Here) -> ResultsShown:
    """What of the task's adapter, report and manifest there is to be had."""
    task = studio.tasks.get(number)
    folder = _trained(task)
    return ResultsShown(
        adapter=str(folder or ""),
        report=_report(task) is not None,
        manifest=folder is not None and (folder / _MANIFEST).is_file(),
    )


@router.get("/tasks/{number}/command")
def command(number: Number, studio: Here) -> CommandShown:
    """The command and the call that do the same."""
    task = studio.tasks.get(number)
    params = {name: value for name, value in task.training_params.items() if _is_given(name, value)}
    first = "model"
    words = ["lorasmith", task.kind, str(params.get(first, ""))]
    for name, value in params.items():
        if name != first:
            words += _option(name, value)
    arguments = [repr(params.get(first, "")), *(f"{name}={value!r}" for name, value in params.items() if name != first)]
    call = f"from lorasmith import flow\n\nflow.{task.kind}(\n" + "".join(f"    {one},\n" for one in arguments) + ")"
    return CommandShown(shell=shlex.join(words), python=call)


def _is_given(name: str, value: Any) -> bool:
    return name not in _NOT_ASKED and value not in (None, "", False, [], {})


def _option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [word for one in cast("list[Any]", value) for word in (flag, str(one))]
    return [flag, str(value)]


@router.get("/tasks/{number}/answers")
def answers(number: Number, studio: Here) -> list[AnswerShown]:
    """Held-out rows as base and tuned model answer them, those that got worse first."""
    report = _json(Path(studio.tasks.get(number).output_path) / "training_report.json")
    found = [_answer(one) for one in report.get("samples", [])]
    return sorted(found, key=lambda one: one.change if one.change is not None else 0.0)


def _answer(sample: Mapping[str, str]) -> AnswerShown:
    wanted, before, after = sample.get("wanted", ""), sample.get("before", ""), sample.get("after", "")
    return AnswerShown(
        question=sample.get("prompt", ""), expected=wanted, base=before, tuned=after,
        change=round(_likeness(after, wanted) - _likeness(before, wanted), 4),
    )  # fmt: skip


def _likeness(text: str, wanted: str) -> float:
    return difflib.SequenceMatcher(None, text.strip(), wanted.strip(), autojunk=False).ratio()


@router.get("/tasks/{number}/trials")
def trials(number: Number, studio: Here) -> TrialsShown:
    """The trials of a search, also while it is under way."""
    from lorasmith.tuning.watch import standing

    task = studio.tasks.get(number)
    params, folder = task.training_params, Path(task.output_path)
    found = None
    if task.kind == "tune" and task.output_path:
        found = standing(folder, str(params.get("name") or folder.name), str(params.get("storage") or ""))
    if found is None:
        return TrialsShown(
            figure="",
            higher_is_better=True,
            trials=[],
            best=None,
            best_params={},
            best_options={},
            importances={},
            verdict="",
        )
    return TrialsShown.model_validate(found._asdict(), from_attributes=True)


@router.get("/tasks/{number}/report", response_class=Response)
def report(number: Number, studio: Here) -> Response:
    """The task's own report, a page by itself."""
    file = _report(studio.tasks.get(number))
    if file is None:
        raise NotFoundProblem(f"Task {number} has no report yet", why="It is written at its end.")
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
    return Response(file.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)


@router.get("/tasks/{number}/adapter", response_class=FileResponse)
def adapter(number: Number, studio: Here) -> FileResponse:
    """What was trained, as a zip file."""
    task = studio.tasks.get(number)
    folder = _trained(task)
    if folder is None:
        raise NotFoundProblem(f"Task {number} has no adapter yet", why="It is written at the first checkpoint.")
    with tempfile.NamedTemporaryFile(prefix="lorasmith-", suffix=".zip", delete=False) as target:
        # Weights do not get smaller by being packed.
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    packed.write(file, file.relative_to(folder))
        made = Path(target.name)
    return FileResponse(
        made, filename=f"{named(task.task_name, 'adapter')}.zip", media_type="application/zip",
        background=BackgroundTask(made.unlink, missing_ok=True),
    )  # fmt: skip


@router.get("/tasks/{number}/manifest", response_class=FileResponse)
def manifest(number: Number, studio: Here) -> FileResponse:
    """All that is needed to make the adapter again: base, data, parameters, versions, machine."""
    task = studio.tasks.get(number)
    folder = _trained(task)
    if folder is None or not (folder / _MANIFEST).is_file():
        raise NotFoundProblem(f"Task {number} has no manifest yet", why="It is written with the adapter.")
    name = f"{named(task.task_name, 'adapter')}-{_MANIFEST}"
    return FileResponse(folder / _MANIFEST, filename=name, media_type="application/json")


def _trained(task: Task) -> Path | None:
    """The folder of what was trained."""
    return _first(task, _ADAPTERS, Path.is_dir)


def _report(task: Task) -> Path | None:
    return _first(task, _REPORTS, Path.is_file)


def _first(task: Task, names: Sequence[str], is_there: Callable[[Path], bool]) -> Path | None:
    """The first of these that lies in what the task has made."""
    if not task.output_path:
        return None
    return next((one for name in names if is_there(one := Path(task.output_path) / name)), None)


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
