"""A large dataset is read, and an archive unpacked, by a process of its own: `python -m lorasmith.studio.reading NUMBER BYTES`.

The server stays small.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from lorasmith.core import paths
from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.store.tables import Dataset, now
from lorasmith.studio.datasets import Datasets
from lorasmith.studio.members import archive_kind
from lorasmith.studio.running import database_of

_LOCK_FILE = ".reading"
_PATIENCE_SECONDS = 15.0
"""So long after it was uploaded or begun nobody else begins to read it."""
_AT_ONCE_BYTES = 4 << 20
"""Up to here reading takes less than starting a process for it."""


class Reader:
    """Has datasets read, small ones at once."""

    def __init__(self, datasets: Datasets):
        self._datasets = datasets
        self._begun: dict[int, tuple[subprocess.Popen[bytes], float]] = {}

    def read(self, dataset: Dataset) -> Dataset:
        """What it holds, where that is known at once; else as it is, and what it holds is written down when it is known."""
        if dataset.num_bytes <= _AT_ONCE_BYTES and not archive_kind(Path(dataset.file)):
            return self._datasets.read(dataset.id)
        environment = os.environ | {
            "LORASMITH_HOME": str(paths.home()),
            "LORASMITH_DATABASE_URL": self._datasets.database.url,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "lorasmith.studio.reading", str(dataset.id), str(self._datasets.most_bytes)],
            env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._begun[dataset.id] = process, time.monotonic()
        return dataset

    def again(self) -> None:
        """Read what another server has left unread, and say of what could not be read that it could not."""
        old = time.monotonic() - _PATIENCE_SECONDS
        self._begun = {number: one for number, one in self._begun.items() if one[0].poll() != 0 or one[1] > old}
        for dataset in self._datasets.unread():
            process, _ = self._begun.get(dataset.id, (None, 0.0))
            if process is not None and process.poll():
                problem = LorasmithError(
                    "Reading it was broken off",
                    why=f"Its process ended with {process.returncode}.",
                    fix="Upload it again.",
                )
                self._datasets.refuse(dataset.id, problem)
                del self._begun[dataset.id]
            elif process is None and (now() - dataset.created_at).total_seconds() > _PATIENCE_SECONDS:
                self.read(dataset)

    def close(self) -> None:
        """What reads goes on."""
        for process, _ in self._begun.values():
            if process.poll() is None:
                process.returncode = 0  # Python would complain that nobody waits for it; nobody is meant to


def main(number: int, most_bytes: int) -> None:
    """Read it, unless another process does. `most_bytes` is how large an archive may become."""
    database = database_of()
    try:
        datasets = Datasets(database)
        datasets.most_bytes = most_bytes
        folder = Path(datasets.get(number).file).parent
        with contextlib.suppress(UsageProblem), paths.only_one(folder / _LOCK_FILE):
            datasets.read(number)
    finally:
        database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
