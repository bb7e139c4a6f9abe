"""What a worker tells the control plane: typed, versioned lines of JSON in a file that is only ever appended to.

A file and not a pipe: whoever watches may come late, go away or come back, and the worker never notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

VERSION = 1


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    v: Literal[1] = VERSION
    time: float = Field(default_factory=time.time, description="Seconds since the epoch")


class Progress(_Event):
    """How far a stage is. `done` and `total` count `unit`; the stage is over when they are equal. Total 0: unknown."""

    type: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    unit: str = "steps"
    rate: float | None = Field(default=None, description="Units a second")
    seconds_left: float | None = None
    note: str = ""
    milestone: bool = Field(default=False, description="Worth a line of its own where there is no bar")


class Step(_Event):
    """A stage of the work is done: which, and what came of it. Without a title, a sentence by itself."""

    type: Literal["step"] = "step"
    title: str
    note: str


class Metric(_Event):
    """Numbers at a step, by name."""

    type: Literal["metric"] = "metric"
    step: int
    values: dict[str, float]


class Decision(_Event):
    """Something decided along the way, with its reason; `lines` is how a terminal shows it."""

    type: Literal["decision"] = "decision"
    step: int
    name: str
    reason: str
    lines: list[str] = Field(default_factory=list)


class Checkpoint(_Event):
    """A state that a run can be resumed from."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class Warn(_Event):
    """Something the user should know, though the work goes on."""

    type: Literal["warning"] = "warning"
    message: str


class Failure(_Event):
    """The end of a worker that could not do its work: `error` is `LorasmithError.as_dict()`."""

    type: Literal["error"] = "error"
    error: dict[str, Any]
    traceback: str = ""


class Result(_Event):
    """What came out. The end of a worker's one job."""

    type: Literal["result"] = "result"
    value: dict[str, Any]


Event = Annotated[
    Progress | Step | Metric | Decision | Checkpoint | Warn | Failure | Result, Field(discriminator="type")
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
Listener = Callable[[Event], None]


def parse(line: str | bytes) -> Event:
    """The event that one line holds. Raises ValueError where it is none."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        raise ValueError(f"not an event: {line[:200]!r}") from error


def parsed(fields: Mapping[str, Any]) -> Event:
    """The event with these fields, as they came over a channel. Raises ValueError where they are none."""
    return _ADAPTER.validate_python(fields)


class Writer:
    """Appends events to `path`; each is on its way to disk before `send` returns. Use as a context."""

    def __init__(self, path: Path):
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def send(self, event: Event) -> None:
        self._file.write(event.model_dump_json().encode() + b"\n")


def follow(path: Path, is_alive: Callable[[], bool], *, start: int = 0, poll_seconds: float = 0.05) -> Iterator[Event]:
    """Events from byte `start` of `path` on, as they come, until the writer is dead and all it wrote has been read.

    A line without its end (the writer was killed inside it) is left out.
    """
    while not path.exists():
        if not is_alive():
            return
        time.sleep(poll_seconds)
    with path.open("rb") as file:
        file.seek(start)
        rest = b""
        while True:
            alive = is_alive()  # asked before reading: what is written after it will be read in the next turn
            chunk = file.read()
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (parse(line) for line in lines)
            if not alive and not chunk:
                return
            if not chunk:
                time.sleep(poll_seconds)
