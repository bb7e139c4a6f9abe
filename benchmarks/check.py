"""What a check of a 70B model in 30 files costs on a Hub that answers in 50 ms: bytes moved, requests, seconds.

    python benchmarks/check.py

Prints one table. The Hub is the one for tests (`lorasmith.testing.hub`), on this machine; seconds are of the whole command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lorasmith.testing import shapes
from lorasmith.testing.hub import HubServer

ROUNDS = 3
DELAY = 0.05


def main() -> None:
    print(f"{'model':<16}{'files':>6}{'requests':>10}{'moved kB':>10}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as name, HubServer(Path(name), delay=DELAY) as hub:
        for model, shards in (("smollm2-135m", 1), ("llama-3.1-8b", 4), ("llama-3.1-70b", 30)):
            shapes.build(model, Path(name) / "bench" / model, shards=shards)
            seconds: list[float] = []
            for round_number in range(ROUNDS):
                hub.asked.clear()
                home = {"LORASMITH_HOME": f"{name}/home-{model}-{round_number}", "HF_ENDPOINT": hub.url}
                started = time.perf_counter()
                command = [sys.executable, "-m", "lorasmith", "check", f"bench/{model}", "--json"]
                subprocess.run(command, check=True, capture_output=True, env=os.environ | home)
                seconds.append(time.perf_counter() - started)
            print(
                f"{model:<16}{shards:>6}{len(hub.asked):>10}{hub.bytes_sent / 1000:>10.0f}{statistics.median(seconds):>9.2f}"
            )


if __name__ == "__main__":
    main()
