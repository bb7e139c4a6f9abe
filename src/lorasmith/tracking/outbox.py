"""What a remote tracker is still to be told, on disk: whatever happens to it or to us, nothing of it is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.trackers._base import RECORDS, Destination, Record

_RECORDS_FILE, _SENT_FILE, _WHERE_FILE, _LOCK_FILE = "records.jsonl", "sent.json", "where.json", ".lock"


class Pending(NamedTuple):
    """A record, and the byte at which the next begins."""

    record: Record | None
    """None for a line that is none, such as the last words of a process that was killed."""
    end: int


class Outbox:
    """Records for one tracker, in the order in which they were written. One process at a time has it."""

    def __init__(self, folder: Path):
        self.folder = folder
        where = json.loads((folder / _WHERE_FILE).read_text(encoding="utf-8"))
        self.tracker: str = where["tracker"]
        self.destination = Destination(where["address"], where["experiment"])
        sent = folder / _SENT_FILE
        self._sent: int = json.loads(sent.read_text(encoding="utf-8"))["bytes"] if sent.exists() else 0
        self._lock = threading.Lock()

    @classmethod
    def made(cls, name: str, tracker: str, destination: Destination) -> Outbox:
        """A new one in home."""
        folder = paths.make_folder(_place() / f"{paths.safe_name(name)}-{uuid.uuid4().hex[:8]}")
        where = {"tracker": tracker, **destination._asdict()}
        paths.write_text(folder / _WHERE_FILE, json.dumps(where) + "\n", is_secret=True)
        return cls(folder)

    def write(self, record: Record) -> None:
        """Any thread may."""
        line = record.model_dump_json().encode() + b"\n"
        with self._lock, (self.folder / _RECORDS_FILE).open("ab") as file:
            file.write(line)

    def pending(self, most: int) -> list[Pending]:
        """The first records that have not been sent."""
        found: list[Pending] = []
        with contextlib.suppress(FileNotFoundError), (self.folder / _RECORDS_FILE).open("rb") as file:
            file.seek(self._sent)
            while len(found) < most and (line := file.readline()).endswith(b"\n"):
                found.append(Pending(_parsed(line), file.tell()))
        return found

    def left(self) -> int:
        """How many records have not been sent."""
        with contextlib.suppress(FileNotFoundError), (self.folder / _RECORDS_FILE).open("rb") as file:
            file.seek(self._sent)
            return sum(1 for _ in file)
        return 0

    def sent(self, end: int) -> None:
        """All before that byte has arrived."""
        self._sent = end
        paths.write_json(self.folder / _SENT_FILE, {"bytes": end})

    def remove(self) -> None:
        """Nothing is left to be sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def held(self) -> Generator[bool]:
        """Whether it is ours meanwhile."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(paths.only_one(self.folder / _LOCK_FILE))
            except (UsageProblem, OSError):  # somebody else has it, or has just sent all of it
                yield False
                return
            yield True


def waiting() -> list[Outbox]:
    """Those in home, oldest first."""
    found: list[tuple[float, Outbox]] = []
    for folder in _place().glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found.append((folder.stat().st_mtime, Outbox(folder)))
    return [box for _, box in sorted(found, key=lambda pair: pair[0])]


def _place() -> Path:
    return paths.home() / "outbox"


def _parsed(line: bytes) -> Record | None:
    try:
        return RECORDS.validate_json(line)
    except ValidationError:
        return None
