"""The table of architectures, from a run of the tests that train each of them.

python docs/architectures.py         runs tests/integration/test_lessons.py and writes docs/reference/architectures.md
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
HEAD = """# Architectures that are trained

    python docs/architectures.py

One row for each small model of a real architecture that `tests/integration/test_lessons.py` builds from its configuration, teaches a
handful of rows (12 steps of LoRA, rate 5e-3), saves, and puts on a fresh base as the server does; its answers must be those that it gave
before. The decoder-only language models are trained by other tests (`tests/integration/test_train.py`, `test_variants.py`). Losses are
means of a micro-batch and differ a little between machines; for diffusion they depend on the noise that was drawn, and the test looks at
the held-out loss.

| family | class | small model | data | loss, first step → last |
|---|---|---|---|---|
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.jsonl"
        words = [sys.executable, "-m", "pytest", "-n", "2", str(HERE.parent / "tests/integration/test_lessons.py")]
        subprocess.run(words, check=True, env={**os.environ, "ARCHITECTURES_TABLE": str(file)}, cwd=HERE.parent)
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: (row["family"], row["class"], row["model"], row["data"]))
    lines = [
        f"| {row['family']} | {row['class']} | {row['model']} | {row['data']} | {row['first']:.3f} → {row['last']:.3f} |"
        for row in rows
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
