"""Memory and time of `lorasmith data inspect` on a large JSONL file that is made for it and removed.

    python benchmarks/inspect_memory.py [--megabytes 1000] [--with-model]

Prints one table. The peak is the child's largest resident set, as the kernel counts it. With a model, inspection is also
compared with the tokenizer alone: the same texts, rendered before, through `encode_batch` with all its threads (SPD-6).
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


_ALONE = """
import itertools, sys, time
from pathlib import Path
from lorasmith.data.load import open_source
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.hub.recognise import know_model
tokenizer = load_tokenizer(know_model("demo").local_folder)
rows, seconds = int(sys.argv[2]), 0.0
examples = itertools.islice(open_source(Path(sys.argv[1])), rows)
while batch := [tokenizer.render(example.messages) for example in itertools.islice(examples, 512)]:
    started = time.perf_counter()
    tokenizer.encoder.encode_batch(batch, add_special_tokens=False)
    seconds += time.perf_counter() - started
print(seconds)
"""
_ALONE_SHARE = 0.1


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
        alone = tokenizer_seconds(path, rows) if arguments.with_model else 0.0
    peak = int(done.stderr.split("peak ")[-1])
    print(
        f"{'file':>10}{'rows':>12}{'seconds':>10}{'MB/s':>8}{'peak memory':>14}{'tokenizer alone':>18}{'of its rate':>13}"
    )
    print(
        f"{size / 1e6:>7.0f} MB{rows:>12,}{seconds:>10.1f}{size / 1e6 / seconds:>8.2f}{peak / 1e6:>11.0f} MB"
        + (f"{alone:>16.1f} s{alone / seconds:>12.0%}" if alone else f"{'–':>18}{'–':>13}")
    )


def tokenizer_seconds(path: Path, rows: int) -> float:
    """What the tokenizer alone takes for all rows, by a tenth of them."""
    few = max(1, int(rows * _ALONE_SHARE))
    command = [sys.executable, "-c", _ALONE, str(path), str(few)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * rows / few


if __name__ == "__main__":
    main()
