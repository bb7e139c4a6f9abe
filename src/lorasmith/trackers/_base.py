"""What a tracker is. It is told of a run's numbers, and never stops a training."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Tracker(ABC):
    """A place where metrics go. A plug-in module in `trackers/` holds one as `plugin`."""

    name: str


class LocalTracker(Tracker):
    """Writes into the run's folder; it is told by the worker that trains."""

    @abstractmethod
    def start(self, run_folder: Path, first_step: int) -> None:
        """Get ready for a run that goes on after `first_step`."""

    @abstractmethod
    def log(self, step: int, values: dict[str, float]) -> None:
        """Take the numbers of one step."""

    @abstractmethod
    def close(self) -> None:
        """Write out what is left."""


class _Record(BaseModel):
    """Something that a remote tracker is to be told of the run with that key, which is unique in the world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    time: float = Field(default_factory=time.time)
    """Seconds since the epoch."""


class Begin(_Record):
    """There is such a run; sent again for a run that goes on."""

    do: Literal["begin"] = "begin"
    name: str
    parent: str = ""
    tags: dict[str, str] = {}
    params: dict[str, str] = {}


class Numbers(_Record):
    """Numbers at a step, by name."""

    do: Literal["numbers"] = "numbers"
    step: int
    values: dict[str, float]


class Tags(_Record):
    """What is said of a run in words."""

    do: Literal["tags"] = "tags"
    tags: dict[str, str]


class Artifact(_Record):
    """A file, or a folder with all that is in it."""

    do: Literal["artifact"] = "artifact"
    path: Path
    place: str = ""
    """The folder among the run's artifacts."""


Status = Literal["finished", "failed", "stopped"]


class End(_Record):
    """The run is over."""

    do: Literal["end"] = "end"
    status: Status


Record = Annotated[Begin | Numbers | Tags | Artifact | End, Field(discriminator="do")]
RECORDS: TypeAdapter[Record] = TypeAdapter(Record)


class Destination(NamedTuple):
    """Where a remote tracker is, and under which heading runs are put there."""

    address: str
    """May hold a password; never shown as it is."""
    experiment: str


class Unreachable(Exception):
    """Nobody answers, or with an error of the server's own: later it may work. Its text is one line."""


class Refused(Exception):
    """The server will have none of this record, however often it is sent. Its text is one line."""


class Link(ABC):
    """A way to a remote tracker. Every call may raise Unreachable or Refused; a call that is made twice does no harm."""

    @abstractmethod
    def begin(self, record: Begin, parent: str) -> str:
        """The server's id of the run, made there where it is not known; `parent` is such an id, or empty."""

    @abstractmethod
    def known(self, key: str) -> str:
        """The server's id of the run with that key; empty where it knows none."""

    @abstractmethod
    def numbers(self, run: str, records: Sequence[Numbers]) -> None:
        """Take numbers of many steps at once."""

    @abstractmethod
    def tags(self, run: str, tags: Mapping[str, str]) -> None:
        """Take words."""

    @abstractmethod
    def artifact(self, run: str, path: Path, place: str) -> None:
        """Take a file or a folder."""

    @abstractmethod
    def end(self, run: str, status: Status, at: float) -> None:
        """Take note that the run is over, at so many seconds since the epoch."""

    @abstractmethod
    def answers(self) -> None:
        """Return where somebody is there."""


class RemoteTracker(Tracker):
    """A server that is told over the network, by the control plane and behind the training's back."""

    title: str
    package: str
    """The library that is imported, and only when it is used."""
    extra: str
    """Of lorasmith, that brings it."""

    @abstractmethod
    def destination(self) -> Destination:
        """As the environment and the settings say."""

    @abstractmethod
    def connect(self, destination: Destination) -> Link:
        """A way there; nothing is sent yet."""
