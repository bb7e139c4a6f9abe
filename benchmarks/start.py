"""How long commands take to begin: `--help`, a check of a local model, a studio until its API answers (SPD-4).

    python benchmarks/start.py [--rounds 5]

Seconds are of whole commands, interpreter and all: the first in a fresh home, and the median of those after it. Prints one table.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lorasmith.testing import shapes

LIMITS = {"lorasmith --help": 0.25, "lorasmith check FOLDER": 1.0, "lorasmith studio": 3.0}
PROGRAM = Path(sys.executable).parent / "lorasmith"


def whole(*arguments: str, home: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        [PROGRAM, *arguments], env=os.environ | {"LORASMITH_HOME": str(home)}, capture_output=True, check=True
    )
    return time.perf_counter() - started


def studio(home: Path) -> float:
    """Until it has answered the first request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    server = subprocess.Popen(
        [PROGRAM, "studio", "--port", str(port), "--no-browser"], env=os.environ | {"LORASMITH_HOME": str(home)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5).close()
                return time.perf_counter() - started
            except urllib.error.HTTPError:
                raise
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("the studio has ended by itself")
    finally:
        server.terminate()
        server.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        home, model = Path(name) / "home", shapes.build("smollm2-135m", Path(name) / "model")
        commands: dict[str, Callable[[], float]] = {
            "lorasmith --help": lambda: whole("--help", home=home),
            "lorasmith check FOLDER": lambda: whole("check", str(model), home=home),
            "lorasmith studio": lambda: studio(home),
        }
        print(f"{'command':<25}{'first':>8}{'then':>8}{'limit':>8}")
        for title, run in commands.items():
            first, *then = [run() for _ in range(rounds + 1)]
            print(f"{title:<25}{first:>6.2f} s{statistics.median(then):>6.2f} s{LIMITS[title]:>6.2f} s", flush=True)


if __name__ == "__main__":
    main()
