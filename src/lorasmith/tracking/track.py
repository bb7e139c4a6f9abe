"""One run, or many, as the trackers that were chosen are to be told of them; nothing is done and imported where none is."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lorasmith.core import settings
from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.core.events import Listener, Metric, parse
from lorasmith.core.registry import nearest
from lorasmith.trackers import INTEGRATIONS, TRACKERS
from lorasmith.trackers._base import Artifact, Begin, End, LocalTracker, Numbers, Record, RemoteTracker, Status, Tags
from lorasmith.tracking.outbox import Outbox
from lorasmith.tracking.sender import Sender

NONE = "none"
_SWITCH, _SWITCHED = "MLFLOW_ENABLED", "mlflow"
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class Trackers(NamedTuple):
    """Which were chosen."""

    local: tuple[str, ...]
    """Told by the worker."""
    remote: tuple[RemoteTracker, ...]
    integrations: tuple[str, ...]
    """Told by transformers."""


def choose_trackers(given: Sequence[str]) -> Trackers:
    """What is given, else what the environment says, else what the settings say; TensorBoard is always among them.

    Raises NotFoundProblem for an unknown name, EnvironmentProblem where a library is missing, UsageProblem for a variable that
    is neither yes nor no.
    """
    names = [name for name in (given or _usual()) if name != NONE]
    found = {name: TRACKERS.get(name) for name in dict.fromkeys(["tensorboard", *names]) if name in TRACKERS.names()}
    if unknown := [name for name in names if name not in found and name not in INTEGRATIONS]:
        raise NotFoundProblem(
            f"There is no tracker '{unknown[0]}'", fix=nearest(unknown[0], (*TRACKERS.names(), *INTEGRATIONS))
        )
    remote = tuple(one for one in found.values() if isinstance(one, RemoteTracker))
    for one in remote:
        if not importlib.util.find_spec(one.package):
            raise EnvironmentProblem(
                f"{one.title} is to be told of the runs, and its library is missing",
                fix=f"pip install 'lorasmith[{one.extra}]'",
            )
    local = tuple(name for name, one in found.items() if isinstance(one, LocalTracker))
    return Trackers(local, remote, tuple(name for name in names if name not in found))


def _usual() -> list[str]:
    names = list(settings.load().trackers)
    switch = os.environ.get(_SWITCH, "").strip().lower()
    if not switch:
        return names
    if switch not in _YES | _NO:
        raise UsageProblem(
            f"The environment variable {_SWITCH} is {switch!r}", why="It says whether MLflow is told of the runs.",
            fix=f"{_SWITCH}=true or {_SWITCH}=false",
        )  # fmt: skip
    others = [name for name in names if name != _SWITCHED]
    return [*others, _SWITCHED] if switch in _YES else others


class Track:
    """Writes down what remote trackers are to be told. A run is named by a key that is unique in the world."""

    def __init__(self, boxes: Sequence[Outbox] = ()):
        self._boxes = boxes

    def begin(
        self, key: str, name: str, *, parent: str = "", tags: Mapping[str, object], params: Mapping[str, object]
    ) -> None:
        """There is such a run, or it goes on."""
        words = {name: str(value) for name, value in tags.items()}
        self._write(
            Begin(
                run=key,
                name=name,
                parent=parent,
                tags=words,
                params={name: _said(one) for name, one in params.items() if one != ""},
            )
        )

    def metric(self, key: str, event: Metric) -> None:
        """Numbers at a step."""
        self._write(Numbers(run=key, step=event.step, values=event.values, time=event.time))

    def again(self, key: str, events: Path) -> None:
        """All numbers of a run that goes on, from its file of events: of its last moments nobody may have made a note. What a
        tracker has already, it does not take twice."""
        if not self._boxes or not events.exists():
            return
        with events.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # cut off when its writer was killed
                    if isinstance(event := parse(line), Metric):
                        self.metric(key, event)

    def figures(self, key: str, values: Mapping[str, float], *, step: int = 0) -> None:
        """Numbers of the run as a whole."""
        self._write(Numbers(run=key, step=step, values=dict(values)))

    def tags(self, key: str, **tags: object) -> None:
        self._write(Tags(run=key, tags={name: str(value) for name, value in tags.items()}))

    def artifact(self, key: str, path: Path, place: str = "") -> None:
        """A file or folder that is there, and stays as it is."""
        if path.exists():
            self._write(Artifact(run=key, path=path, place=place))

    def end(self, key: str, status: Status) -> None:
        self._write(End(run=key, status=status))

    def _write(self, record: Record) -> None:
        for box in self._boxes:
            box.write(record)


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def tracking(name: str, trackers: Trackers, tell: Listener) -> Generator[Track]:
    """Whoever is inside may say what remote trackers are to be told; it is sent meanwhile, and what is left at the end."""
    boxes = [Outbox.made(name, one.name, one.destination()) for one in trackers.remote]
    senders = [Sender(one, box, tell) for one, box in zip(trackers.remote, boxes, strict=True)]
    try:
        yield Track(boxes)
    finally:
        for sender in senders:
            sender.close()
