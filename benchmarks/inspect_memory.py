"""Memory and time of `lorasmith data inspect` on a large JSONL file that is made for it and removed.

    python benchmarks/inspect_memory.py [--megabytes 1000] [--with-model]

Prints one table. The peak is the child's largest resident set, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_CHILD = """
import sys
from lorasmith.cli.app import cli
from lorasmith.plan.hardware import resident_peak_bytes
try: cli.main(sys.argv[1:], standalone_mode=False)
finally: print("peak", resident_peak_bytes(), file=sys.stderr)
"""


def write(path: Path, size: int) -> int:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    rows = 0
    with path.open("w") as file:
        while file.tell() < size:
            for _ in range(200):
                question, answer = " ".join(rng.choices(words, k=40)), " ".join(rng.choices(words, k=60))
                file.write(json.dumps({"instruction": question, "output": answer}) + "\n")
                rows += 1
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--with-model", action="store_true", help="count tokens as the demo model does")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.jsonl"
        rows = write(path, arguments.megabytes * 10**6)
        size = path.stat().st_size
        command = [sys.executable, "-c", _CHILD, "data", "inspect", str(path)]
        started = time.perf_counter()
        done = subprocess.run(
            command + (["--model", "demo"] if arguments.with_model else []), capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - started
    peak = int(done.stderr.split("peak ")[-1])
    print(f"{'file':>10}{'rows':>12}{'seconds':>10}{'MB/s':>8}{'peak memory':>14}")
    print(f"{size / 1e6:>7.0f} MB{rows:>12,}{seconds:>10.1f}{size / 1e6 / seconds:>8.1f}{peak / 1e6:>11.0f} MB")


if __name__ == "__main__":
    main()
