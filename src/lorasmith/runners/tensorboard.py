"""TensorBoard beside a training: started with it, ended with it, on loopback only."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

from lorasmith.core.events import Listener, Step, Warn

_PORTS_TRIED = 20


@contextlib.contextmanager
def curves_shown(folder: Path, port: int | None, python: Path, tell: Listener) -> Generator[None]:
    """Serve the curves in `folder` at `port`, or the next that is free, until the block ends; without a port, do nothing."""
    free = _free_port(port) if port else None
    if free is None:
        if port:
            tell(Warn(message=f"TensorBoard is left out: ports {port} to {port + _PORTS_TRIED - 1} are taken."))
        yield
        return
    process = subprocess.Popen(
        [str(python), "-m", "lorasmith.workers.curves", str(folder), str(free)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    tell(Step(title="TensorBoard", note=f"http://127.0.0.1:{free}"))
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port(first: int) -> int | None:
    for port in range(first, min(first + _PORTS_TRIED, 2**16)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return None
