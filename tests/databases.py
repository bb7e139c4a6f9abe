"""Real database servers for tests: on loopback, with files of their own, ended when the test ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _program(name: str) -> str:
    """PostgreSQL's, which distributions leave out of the path."""
    places = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    return next(filter(None, places), "")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL database. Skips the test where there is no PostgreSQL."""
    initdb, server = _program("initdb"), _program("postgres")
    if not initdb or not server:
        pytest.skip("there is no PostgreSQL here")
    account = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="lorasmith-postgres-"))
    try:
        if account:
            shutil.chown(folder, account)
        data = folder / "data"
        subprocess.run(
            [initdb, "-D", data, "-U", "lorasmith", "--auth=trust", "--no-sync"], check=True, capture_output=True, user=account
        )  # fmt: skip
        port = free_port()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder], stdout=log, stderr=log, user=account
            )  # fmt: skip
        try:
            _wait(process, port, folder / "log")
            yield f"postgresql://lorasmith@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # it would wait for its clients otherwise
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if "ready to accept connections" in log.read_text(errors="replace"):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))
