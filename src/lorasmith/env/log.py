"""`install.log`: every step with its time, what the installers said, a traceback at the end of a failure. No secrets (INS-7)."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Self

from lorasmith.core import paths
from lorasmith.core.secrets import masked


class InstallLog:
    """Appends lines to `path`, each on disk before the next step begins. Use as a context."""

    def __init__(self, path: Path, *secrets: str):
        paths.make_folder(path.parent)
        self.path = path
        self._secrets = secrets
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.step("interrupted")
        elif error is not None:
            self.step(f"failed: {error}")
            self.text("".join(traceback.format_exception(error)))
        self._file.close()

    def step(self, what: str) -> None:
        """One line with the time."""
        self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')}  {masked(what, *self._secrets)}\n")

    def text(self, lines: str) -> None:
        """What another program said, set in."""
        for line in lines.splitlines():
            self._file.write(f"    {masked(line, *self._secrets)}\n")
