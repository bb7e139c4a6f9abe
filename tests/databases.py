"""Real database servers for tests: on loopback, with files of their own, ended when the tests end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

KINDS = ("sqlite", "postgresql", "mariadb")
_DRIVERS = {"postgresql": "postgresql+pg8000", "mariadb": "mariadb+pymysql"}


def _program(name: str) -> str:
    """Those that distributions leave out of the path, too."""
    places = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    return next(filter(None, places), "")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def server(kind: str) -> Iterator[str]:
    """The URL of a running PostgreSQL or MariaDB. Skips the tests where there is none."""
    with {"postgresql": _postgres, "mariadb": _mariadb}[kind]() as url:
        yield url


def fresh(url: str) -> str:
    """The URL of an empty database on that server."""
    name = f"db_{uuid.uuid4().hex[:12]}"
    parts = sqlalchemy.make_url(url)
    engine = sqlalchemy.create_engine(parts.set(drivername=_DRIVERS[parts.drivername]), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return parts.set(database=name).render_as_string(hide_password=False)


@contextmanager
def _postgres() -> Iterator[str]:
    initdb, program = _program("initdb"), _program("postgres")
    if not initdb or not program:
        pytest.skip("there is no PostgreSQL here")
    with _folder("postgres") as (folder, account):
        data = folder / "data"
        subprocess.run(
            [initdb, "-D", data, "-U", "lorasmith", "--auth=trust", "--no-sync"], check=True, capture_output=True, user=account
        )  # fmt: skip
        port = free_port()
        command = [program, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        # SIGINT: asked more politely it would wait for its clients.
        with _running(command, folder, account, port, "ready to accept connections", signal.SIGINT):
            yield f"postgresql://lorasmith@127.0.0.1:{port}/postgres"


@contextmanager
def _mariadb() -> Iterator[str]:
    install, program = _program("mariadb-install-db"), _program("mariadbd")
    if not install or not program:
        pytest.skip("there is no MariaDB here")
    with _folder("mysql") as (folder, account):
        data = folder / "data"
        as_whom = [f"--user={account}"] if account else []
        subprocess.run(
            [install, "--no-defaults", f"--datadir={data}", "--skip-test-db", *as_whom], check=True, capture_output=True
        )
        (folder / "first.sql").write_text("CREATE USER lorasmith@'%';\nGRANT ALL ON *.* TO lorasmith@'%';\n")
        port = free_port()
        command = [
            program, "--no-defaults", f"--datadir={data}", f"--socket={folder}/socket", f"--port={port}", "--bind-address=127.0.0.1",
            f"--init-file={folder}/first.sql", f"--pid-file={folder}/pid", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip
        with _running(command, folder, account, port, "ready for connections", signal.SIGTERM):
            yield f"mariadb://lorasmith@127.0.0.1:{port}/mysql"


@contextmanager
def _folder(account: str) -> Iterator[tuple[Path, str | None]]:
    """A folder for a server, and the account that it runs under: as root it would refuse to."""
    owner = account if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix=f"lorasmith-{account}-"))
    try:
        if owner:
            shutil.chown(folder, owner)
        yield folder, owner
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    command: Sequence[str | Path], folder: Path, account: str | None, port: int, ready: str, end: signal.Signals
) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=account)
    try:
        _wait(process, port, folder / "log", ready)
        yield
    finally:
        process.send_signal(end)
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, ready: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if ready in log.read_text(errors="replace"):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))
