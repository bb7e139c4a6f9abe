"""Runs other programs for an installation: what they say goes to its log, and an interruption ends them with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lorasmith.env.log import InstallLog

_TAIL_LINES = 12
# Asks Linux to end the program with us, even where we are killed: one that goes on would write into the next installation.
_TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


class Outcome(NamedTuple):
    """How a program ended, and the last lines that it said."""

    code: int
    tail: str


def run_program(
    command: list[str], log: InstallLog, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Outcome:
    """Run `command` to its end; an exception here (Ctrl+C) kills it and its children first."""
    log.text(f"$ {' '.join(command)}")
    lines: list[str] = []
    tied = [sys.executable, "-I", "-S", "-c", _TIED] if sys.platform == "linux" else []
    with subprocess.Popen(
        [*tied, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True, env=env, cwd=cwd,
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                log.text(line)
                lines = [*lines[1 - _TAIL_LINES :], line.rstrip()]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Outcome(process.returncode, "\n".join(lines))
