"""The table of architectures, from a run of the tests that train each of them.

python docs/architectures.py         runs the tests below and writes docs/reference/architectures.md
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "reference" / "architectures.md"
TESTS = ("tests/integration/test_text_architectures.py", "tests/integration/test_lessons.py")
HEAD = """# Architectures that are trained

    python docs/architectures.py

One row for each small model of a real architecture that the tests build from its configuration and teach a handful of rows by LoRA;
whatever stands here was held to be true by the run that wrote it.

- Decoders and recurrent models (`tests/integration/test_text_architectures.py`, 16 steps, rate 2e-2): the loss falls by at least 15 %;
  the saved adapter on a fresh base, put there by PEFT and by the server, gives the logits that were trained within 1e-5 (`logits`), and
  the engine writes the tokens that the trained model writes. T5 and BART go through it, too.
- All others (`tests/integration/test_lessons.py`, 12 steps, rate 5e-3; classes of sounds 1e-3): the loss falls; on a fresh base, as
  the server puts it there, the adapter gives rows the losses, and held-out rows the answers, that they had (`losses, answers`), and the
  engine answers a request as the trained model in memory does.

Losses are means of a micro-batch and differ a little between machines; for diffusion they depend on the noise that was drawn, and the
test looks at the held-out loss.

| family | class | small model | data | loss, first step → last | the same when loaded again | served |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.jsonl"
        words = [sys.executable, "-m", "pytest", "-n", "2", *TESTS]
        subprocess.run(words, check=True, env={**os.environ, "ARCHITECTURES_TABLE": str(file)}, cwd=HERE.parent)
        write(file)


def write(table: Path) -> None:
    """The page, from the lines that the tests told."""
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: (row["family"], row["class"], row["model"], row["data"]))
    lines = [
        f"| {row['family']} | {row['class']} | {row['model']} | {row['data']} | {row['first']:.3f} → {row['last']:.3f} "
        f"| {row['again']} | {row['served']} |"
        for row in rows
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
