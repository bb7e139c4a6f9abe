"""The machine and this installation: what it has, what it is set to, who did what."""

from __future__ import annotations

import importlib.util
import json
import platform
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy import select

import lorasmith
from lorasmith import flow
from lorasmith.core import settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.settings import Settings
from lorasmith.plan import hardware
from lorasmith.store.tables import Audit
from lorasmith.studio.state import Here
from lorasmith.studio.tasks import this_host

router = APIRouter(tags=["system"])
_LEVELS = {"ok": "ok", "note": "ok", "warning": "warning", "problem": "error"}
_ELSEWHERE = frozenset({"judges", "database_url", "models_dir", "adapters_dir", "cache_dir", "logs_dir"})
"""Settings that are not changed here: they have a page of their own, or what runs would lose what it works with."""
_LAST = 200


class SystemShown(BaseModel):
    """What runs where."""

    version: str
    python: str
    host: str
    database: str
    """Its kind: sqlite, postgresql, mariadb."""
    hardware: dict[str, Any]
    running: int
    waiting: int


class DoctorShown(BaseModel):
    """Something that the doctor looked at."""

    name: str
    level: str
    what: str
    fix: str


class SettingShown(BaseModel):
    """A setting in force. Of a secret only whether it is set."""

    name: str
    value: Any
    description: str
    is_secret: bool
    is_set: bool
    """Whether it is not the default."""
    is_fixed: bool
    """Whether it cannot be changed here."""


class SettingRequest(BaseModel):
    """A setting's new value; null takes it back to its default."""

    model_config = ConfigDict(extra="forbid")

    value: Any


class Tried(BaseModel):
    """What came of a try."""

    ok: bool
    what: str


class AuditShown(BaseModel):
    """Who did what."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    who: str
    what: str
    about: dict[str, Any]


@router.get("/system")
def system(studio: Here) -> SystemShown:
    return SystemShown(
        version=lorasmith.__version__, python=platform.python_version(), host=this_host(),
        database=studio.database.engine.dialect.name, hardware=hardware.observe().model_dump(mode="json"),
        running=len(studio.tasks.running()), waiting=len(studio.tasks.waiting()),
    )  # fmt: skip


@router.get("/health")
def health() -> dict[str, str]:
    """Whether anybody is there."""
    return {"status": "ok"}


@router.get("/system/doctor")
def doctor() -> list[DoctorShown]:
    """Whether this machine and this installation are in order. Takes a second, and three where the Hub does not answer."""
    return [
        DoctorShown(
            name=one.topic, level=_LEVELS[one.level], what=" ".join(filter(None, (one.what, one.why))), fix=one.fix
        )
        for one in flow.doctor().findings
    ]


@router.get("/system/settings")
def all_settings() -> list[SettingShown]:
    """All settings in force."""
    known = settings.load()
    values = json.loads(known.model_dump_json())  # secrets come out as stars
    return [_setting(known, name, values[name]) for name in Settings.model_fields]


@router.put("/system/settings/{name}")
def change(name: str, asked: SettingRequest) -> list[SettingShown]:
    """Set one, for this machine; what runs keeps what it was begun with."""
    if name not in Settings.model_fields:
        raise NotFoundProblem(f"There is no setting '{name[:50]}'")
    if name in _ELSEWHERE:
        raise UsageProblem(f"'{name}' is not changed here", fix=f"lorasmith config set {name} VALUE")
    if asked.value is None:
        settings.forget(name)
    else:
        settings.keep(name, asked.value)
    return all_settings()


def _setting(known: Settings, name: str, value: Any) -> SettingShown:
    field = Settings.model_fields[name]
    is_secret = "SecretStr" in str(field.annotation)
    return SettingShown(
        name=name, value=None if is_secret else value, description=field.description or "", is_secret=is_secret,
        is_set=_is_set(getattr(known, name)) if is_secret else bool(settings.origin(name)), is_fixed=name in _ELSEWHERE,
    )  # fmt: skip


def _is_set(value: Any) -> bool:
    return isinstance(value, SecretStr) and bool(value.get_secret_value())


@router.post("/system/trackers/{name}/test")
def test_tracker(name: str) -> Tried:
    """Whether a tracker is there."""
    tried = _TRACKERS.get(name)
    if tried is None:
        raise NotFoundProblem(f"There is no tracker '{name[:50]}'", fix=f"Known: {', '.join(_TRACKERS)}.")
    return tried()


def _mlflow() -> Tried:
    import httpx2

    uri = settings.load().mlflow_tracking_uri
    if not uri.startswith(("http://", "https://")):
        return Tried(ok=_has("mlflow"), what=f"Writes to {uri}")
    try:
        answer = httpx2.get(f"{uri.rstrip('/')}/health", timeout=5)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Tried(ok=False, what=f"{uri} does not answer ({type(error).__name__}). Start it:  mlflow server")
    return Tried(ok=answer.is_success, what=f"{uri} answers with {answer.status_code}")


def _package(name: str) -> Callable[[], Tried]:
    def tried() -> Tried:
        is_there = _has(name)
        return Tried(ok=is_there, what=f"{name} is installed" if is_there else f"pip install {name}")

    return tried


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


_TRACKERS: dict[str, Callable[[], Tried]] = {
    "tensorboard": _package("tensorboard"), "mlflow": _mlflow, "wandb": _package("wandb"),
}  # fmt: skip


@router.get("/system/audit")
def audit(studio: Here) -> list[AuditShown]:
    """What was changed last, and by whom."""
    with studio.database.session() as session:
        found = session.scalars(select(Audit).order_by(Audit.id.desc()).limit(_LAST)).all()
    return [AuditShown.model_validate(one) for one in found]
