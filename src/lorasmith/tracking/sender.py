"""Sends what outboxes hold in a thread of its own, so that a server that is slow, down or dies costs a training nothing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from lorasmith.core.events import Listener, Step, Warn
from lorasmith.trackers._base import (
    Artifact,
    Begin,
    Link,
    Numbers,
    Record,
    Refused,
    RemoteTracker,
    Tags,
    Unreachable,
)
from lorasmith.tracking.outbox import Outbox, Pending, waiting

_EVERY_SECONDS = 2.0
"""Numbers of so long are sent together."""
_AGAIN_SECONDS = 5.0
_AT_ONCE = 500
_TRIES = 5
"""So often a record is tried that the server fails at while it answers otherwise."""
_PATIENCE_SECONDS = 60.0
"""How long the end of a run waits for what is left to be sent, as long as it is being sent."""


class Sender:
    """Sends `box`, and before it what others have left behind. `tell` hears of what goes wrong, once."""

    def __init__(self, tracker: RemoteTracker, box: Outbox, tell: Listener):
        self._tracker, self._box, self._tell = tracker, box, tell
        self._where = shown(box.destination.address)
        self._link: Link | None = None
        self._ids: dict[str, str] = {}
        self._is_down = self._has_refused = False
        self._failures = 0
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"to {tracker.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is left; what cannot be sent now is kept for the next run."""
        self._closing.set()
        self._thread.join(_PATIENCE_SECONDS)
        self._given_up.set()
        left = self._box.left() if self._box.folder.exists() else 0
        if left:
            title = self._tracker.title
            kept = f"It is kept, and sent by the next training or search that tells {title}."
            self._tell(Warn(message=f"{title} has not got everything yet ({left:,} messages). {kept}"))

    def _work(self) -> None:
        with self._box.held():
            for box in itertools.chain(self._left_behind(), [self._box]):
                self._send_all(box)
                if self._given_up.is_set():
                    return

    def _left_behind(self) -> Iterator[Outbox]:
        ours = (self._box.tracker, self._box.destination)
        for box in waiting():
            if box.folder != self._box.folder and (box.tracker, box.destination) == ours:
                with box.held() as is_ours:
                    if is_ours:
                        yield box

    def _send_all(self, box: Outbox) -> None:
        """Until it is empty, and for our own until nothing more will come."""
        is_own = box is self._box
        while not self._given_up.is_set():
            is_last = (
                not is_own or self._closing.is_set()
            )  # asked before: what is written after it is sent in the next turn
            try:
                has_sent = self._send_some(box)
            except Unreachable as problem:
                self._down(str(problem))
                if self._closing.is_set():
                    self._given_up.set()
                self._closing.wait(_AGAIN_SECONDS)
                continue
            if has_sent:
                self._up()
            elif is_last:
                box.remove()
                return
            else:
                self._closing.wait(_EVERY_SECONDS)

    def _send_some(self, box: Outbox) -> bool:
        """Whether there was anything. Raises Unreachable."""
        pending = box.pending(_AT_ONCE)
        for records, end in _together(pending):
            try:
                self._send(records)
            except Refused as problem:
                self._refused(str(problem))
            except Unreachable:
                if not self._is_to_blame():
                    raise
                self._refused(f"the server fails at it ({type(records[0]).__name__.lower()})")
            self._failures = 0
            box.sent(end)
        return bool(pending)

    def _is_to_blame(self) -> bool:
        """Whether it is the record that the server fails at, again and again, while it answers otherwise."""
        self._failures += 1
        if self._failures < _TRIES or not self._link:
            return False
        self._link.answers()
        return True

    def _send(self, records: list[Record]) -> None:
        if not records:
            return
        if self._link is None:
            self._link = self._tracker.connect(self._box.destination)
        link, first = self._link, records[0]
        if isinstance(first, Begin):
            self._ids[first.run] = link.begin(first, self._id(link, first.parent))
            return
        run = self._id(link, first.run)
        if not run:
            raise Refused("its run has gone")
        if isinstance(first, Numbers):
            link.numbers(run, [one for one in records if isinstance(one, Numbers)])
        elif isinstance(first, Tags):
            link.tags(run, first.tags)
        elif isinstance(first, Artifact):
            link.artifact(run, first.path, first.place)
        else:
            link.end(run, first.status, first.time)

    def _id(self, link: Link, key: str) -> str:
        """The server's id of a run, also of one that another process began; empty where there is none."""
        if key and key not in self._ids:
            self._ids[key] = link.known(key)
        return self._ids.get(key, "")

    def _down(self, why: str) -> None:
        if not self._is_down:
            self._is_down = True
            self._tell(
                Warn(
                    message=f"{self._tracker.title} at {self._where} cannot be reached: {why[:200]}. The work goes on; "
                    "what is missed is sent when it is back."
                )
            )

    def _up(self) -> None:
        if self._is_down:
            self._is_down = False
            self._tell(Step(title=self._tracker.title, note=f"{self._where} is back: what it missed has been sent"))

    def _refused(self, why: str) -> None:
        if not self._has_refused:
            self._has_refused = True
            self._tell(Warn(message=f"{self._tracker.title} at {self._where} does not take everything: {why[:200]}."))


def _together(pending: list[Pending]) -> Iterator[tuple[list[Record], int]]:
    """Records that are sent in one go: numbers of one run that follow each other, and everything else by itself."""
    group: list[Record] = []
    end = 0
    for record, after in pending:
        if group and not (
            isinstance(record, Numbers) and isinstance(group[-1], Numbers) and record.run == group[-1].run
        ):
            yield group, end
            group = []
        if record is not None:
            group.append(record)
        end = after
    if end:
        yield group, end


def shown(address: str) -> str:
    """Without user and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
