"""A way to the database, and what its trouble looks like to a user (STU-8)."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.orm import Session, sessionmaker

from lorasmith.core import paths
from lorasmith.core.errors import EnvironmentProblem, UsageProblem

_DRIVERS = {
    "postgresql": "postgresql+pg8000",
    "postgres": "postgresql+pg8000",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""What `lorasmith[databases]` brings."""
_WAIT_SECONDS = 15
_LOCK = 0x10BA5417
"""Whoever holds this number makes or changes the tables; others wait."""


class Database:
    """The studio's tables at a URL, made or brought up to date when it is opened. Threads may share it.

    Opening raises UsageProblem for what is no URL, EnvironmentProblem where nobody answers there.
    """

    def __init__(self, url: str):
        self.url = url
        with reached(url, _HOW):
            self.engine = _engine(url)
            self._session = sessionmaker(self.engine, expire_on_commit=False)
            _bring_up_to_date(self.engine)

    @contextlib.contextmanager
    def session(self) -> Generator[Session]:
        """A transaction: what was done in it stays when it is left without an error. Raises EnvironmentProblem where the
        database has gone."""
        with reached(self.url, _HOW), self._session.begin() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


_HOW = "Nothing is lost that was written; what runs goes on. Look after the database."


def url_of(asked: str, file: str) -> str:
    """The database that is asked for, by a driver of ours where the URL names none, else the SQLite `file` in home. Raises
    UsageProblem for what is no URL."""
    if not asked:
        return f"sqlite:///{paths.make_folder(paths.home()) / file}"
    with reached():
        url = sqlalchemy.make_url(asked)
    driver = _DRIVERS.get(url.drivername)
    return url.set(drivername=driver).render_as_string(hide_password=False) if driver else asked


def without_password(url: str) -> str:
    """`url` as it may be shown."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except exc.ArgumentError:
        return "the URL that was given"


@contextlib.contextmanager
def reached(url: str = "", fix: str = "") -> Generator[None]:
    """Raises UsageProblem or EnvironmentProblem for what drivers raise."""
    where = f" '{without_password(url)}'" if url else ""
    try:
        yield
    except exc.ArgumentError:
        raise UsageProblem(
            "This is no database URL", fix="Write it as SQLAlchemy does: sqlite:///FILE, postgresql://USER@HOST/NAME, mariadb://USER@HOST/NAME."
        ) from None  # fmt: skip
    except ImportError as error:
        raise EnvironmentProblem(
            f"The driver of the database{where} is missing", why=f"{error}.",
            fix="pip install 'lorasmith[databases]'",
        ) from None  # fmt: skip
    except exc.SQLAlchemyError as error:
        raise EnvironmentProblem(f"The database{where} cannot be used", why=f"{said_by(error)}.", fix=fix) from None


def said_by(error: BaseException) -> str:
    """What a driver says, in one line; pg8000 says it in a table of PostgreSQL's fields, of which M is the message."""
    own: BaseException = getattr(error, "orig", None) or error
    if own.args and isinstance(own.args[0], dict) and "M" in own.args[0]:
        return str(own.args[0]["M"])
    return next((line.strip() for line in str(own).splitlines() if line.strip()), type(own).__name__)


def _engine(url: str) -> Engine:
    parts = sqlalchemy.make_url(url)
    if parts.get_backend_name() != "sqlite":
        return sqlalchemy.create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": _WAIT_SECONDS})
    event.listen(engine, "connect", _as_we_want_it)
    return engine


def _as_we_want_it(connection: Any, _: Any) -> None:
    """SQLite: readers and a writer at the same time, and references that are kept."""
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _bring_up_to_date(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection, _alone(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@contextlib.contextmanager
def _alone(connection: Connection) -> Generator[None]:
    """No other server makes tables meanwhile."""
    kind = connection.dialect.name
    if kind == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        return
    take, leave = {
        "postgresql": (f"SELECT pg_advisory_lock({_LOCK})", f"SELECT pg_advisory_unlock({_LOCK})"),
    }.get(kind, (f"SELECT GET_LOCK('lorasmith', {_WAIT_SECONDS})", "SELECT RELEASE_LOCK('lorasmith')"))
    connection.exec_driver_sql(take)
    try:
        yield
    finally:
        connection.exec_driver_sql(leave)
