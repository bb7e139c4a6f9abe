"""The tables (STU-8). Times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Status = Literal["pending", "running", "completed", "failed", "stopped", "interrupted"]
OVER: frozenset[str] = frozenset({"completed", "failed", "stopped", "interrupted"})


def now() -> datetime:
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time with its zone, to the microsecond, also where the database knows no zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value else None


LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


# Any script, and compared sign by sign as the others do.
_AS_OTHERS = {
    "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_bin",
}  # fmt: skip


class Base(DeclarativeBase):
    """All tables."""

    __table_args__: Any = _AS_OTHERS
    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON}  # noqa: RUF012  SQLAlchemy's way


class Project(Base):
    """What tasks may belong to."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Dataset(Base):
    """A version of a file of examples; earlier versions stay."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), index=True)
    version: Mapped[int] = mapped_column(default=1)
    parent: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    """The version that it was made of."""
    project: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"), index=True)
    file: Mapped[str] = mapped_column(Text)
    format: Mapped[str] = mapped_column(String(40), default="")
    num_rows: Mapped[int] = mapped_column(default=0)
    num_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    sha256: Mapped[str] = mapped_column(String(64), default="")
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None]
    """Why it cannot be learnt from."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class Task(Base):
    """A piece of work that runs in a process of its own."""

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_waiting", "status", "priority", "id"), _AS_OTHERS)

    id: Mapped[int] = mapped_column(primary_key=True)
    task_name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    project: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"), index=True)
    base_model: Mapped[str] = mapped_column(String(400), default="")
    dataset: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"), index=True)
    dataset_file: Mapped[str] = mapped_column(Text, default="")
    dataset_type: Mapped[str] = mapped_column(String(40), default="")
    output_path: Mapped[str] = mapped_column(Text, default="")
    training_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The spec, as the verb takes it."""
    status: Mapped[str] = mapped_column(String(12), default="pending")
    progress: Mapped[float] = mapped_column(Numeric(5, 2, asdecimal=False), default=0.0)
    """Of a hundred."""
    current_epoch: Mapped[float | None] = mapped_column(Float)
    message: Mapped[str] = mapped_column(LongText, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    predicted: Mapped[dict[str, Any]] = mapped_column(default=dict)
    measured: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None]
    parent: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"), index=True)
    """What it was cloned from."""
    runner: Mapped[str] = mapped_column(String(20), default="local")
    host: Mapped[str] = mapped_column(String(100), default="")
    process: Mapped[int | None] = mapped_column(Integer)
    heartbeat: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(default=0)
    """Higher is earlier."""
    wanted: Mapped[str] = mapped_column(String(12), default="")
    """`stop` where a running task is to end."""


class Assistant(Base):
    """A base with an adapter, a prompt and a manner, that is served."""

    __tablename__ = "assistants"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    base_model: Mapped[str] = mapped_column(String(400))
    adapter: Mapped[str] = mapped_column(Text, default="")
    system_prompt: Mapped[str] = mapped_column(LongText, default="")
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)
    is_started: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Account(Base):
    """Who may sign in; the token itself is kept nowhere."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    token_hash: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)


class SignedIn(Base):
    """A session of a page."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the cookie."""
    account: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]


class Audit(Base):
    """Who did what."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    who: Mapped[str] = mapped_column(String(100))
    what: Mapped[str] = mapped_column(String(100))
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)
