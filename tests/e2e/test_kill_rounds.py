"""Fifty kills at moments that nobody chose, and the weights that an undisturbed run ends with."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.conftest import write_rows
from tests.trainings import start, steps_done, weights

pytestmark = pytest.mark.e2e
KILLS = 50
LONG = ["--epochs", "40", "--eval-fraction", "0.2", "--patience", "99"]


def kill_worker(process: subprocess.Popen) -> bool:
    """Whether there was one to kill."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return False
    for child in children:
        child.send_signal(signal.SIGKILL)
    return bool(children)


def kill_at_random(process: subprocess.Popen, folder: Path, rng: random.Random) -> bool:
    """Half of the times a while after the start, half a while after the next step."""
    began, deadline, waits = steps_done(folder), time.monotonic() + 60, rng.random() < 0.5
    while waits and steps_done(folder) == began and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 2 if waits else 8))
    return kill_worker(process)


def test_fifty_random_kills_change_no_weight(tiny_llama, tmp_path):
    """TRN-6, REL-1: runs are killed again and again, in their start, their rehearsal, their steps, their savings, and resumed each
    time; every one that comes to its end has the weights of the unbroken one, and loses at most what came after a checkpoint."""
    sums = write_rows(tmp_path / "sums.jsonl", ({"question": f"{i} and {i}?", "answer": f"{2 * i}"} for i in range(40)))
    command = ["train", str(tiny_llama), "--data", str(sums), *LONG]
    whole = start([*command, "--output", str(tmp_path / "whole")])
    _, said = whole.communicate()
    assert whole.returncode == 0, said
    rng = random.Random(7)
    kills = finished = 0
    while kills < KILLS:
        folder = tmp_path / f"run-{finished}"
        resumes = (folder / "spec.json").exists()
        process = start(["train", "--resume-from", str(folder)] if resumes else [*command, "--output", str(folder)])
        if rng.random() < 0.8:  # or let it come to its end
            kills += kill_at_random(process, folder, rng)
        _, said = process.communicate()
        if process.returncode == 0:
            assert weights(folder) == weights(tmp_path / "whole"), f"after {kills} kills"
            finished += 1
        else:
            assert "killed from outside" in said or "no example" in said, said
    print(f"{kills} kills, {finished} runs came to their end with the same weights", file=sys.stderr)  # noqa: T201
    assert finished >= 3
