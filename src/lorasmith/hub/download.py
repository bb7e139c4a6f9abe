"""The files of a repository on this machine's disk: fetched side by side, checked by their hashes, resumed where they broke off.

Nothing stands under the target before all of it has been verified; until then every content is one `.part` file in a folder of
its own, so that what has come once is not asked for again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import queue
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core.errors import EnvironmentProblem, InterruptedRun, NotFoundProblem, UsageProblem
from lorasmith.core.events import Listener, Progress
from lorasmith.core.paths import existing, make_folder, require_writable
from lorasmith.core.progress import amount
from lorasmith.hub import copying
from lorasmith.hub.problems import PATIENCE_SECONDS, first_line
from lorasmith.hub.repository import HubRepository, Repository
from lorasmith.hub.safety import require_safe_names

RETRIES = 3
STALL_SECONDS = 20.0  # without a byte, after which a connection counts as lost
LONGEST_PAUSE_SECONDS = 30.0
LEAVE_SECONDS = 1.0  # for threads to end; one that only waits for a connection is left to find out by itself
TELL_SECONDS = 0.2
RATE_SECONDS = 5.0
WRITE_BYTES = 2**20
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


class Downloaded(NamedTuple):
    """What a download did. `bytes_fetched` came over the network now, `bytes_resumed` had come before."""

    files: int
    bytes_total: int
    bytes_fetched: int
    bytes_resumed: int
    seconds: float


def download(  # noqa: PLR0913  each is a choice of the caller's
    repository: Repository,
    names: Collection[str],
    target: Path,
    *,
    keep: Path,
    workers: int = 4,
    resume: bool = True,
    link: bool = False,
    stop: threading.Event | None = None,
    on_event: Listener = lambda _: None,
) -> Downloaded:
    """Put the files `names` of `repository` under `target` as real files: from the Hub verified, from a folder copied or linked.

    What comes from the Hub lies in `keep` until all is there; one download at a time uses that folder. Raises UsageProblem for
    names that could do harm, DoesNotFitProblem, NotFoundProblem, EnvironmentProblem, and InterruptedRun when `stop` is set.
    """
    names = list(dict.fromkeys(names))
    require_safe_names(names)
    if missing := [name for name in names if name not in repository.files]:
        raise NotFoundProblem(f"'{repository.id}' holds no file {missing[0]!r}")
    _refuse_links(target, names)
    require_writable(target)
    started, stop = time.monotonic(), stop or threading.Event()
    total = sum(repository.files[name] for name in names)
    meter = _Meter(total, len(names), on_event)
    if isinstance(repository, HubRepository):
        make_folder(keep)
        with _alone(keep):
            _Transfer(repository, _contents(repository, names), target, keep, stop, meter).run(workers, resume=resume)
        repository.moved_bytes += meter.moved
    else:
        _copy_all(repository, names, target, link=link, stop=stop, meter=meter)
    return Downloaded(len(names), total, meter.moved, meter.resumed, time.monotonic() - started)


def _refuse_links(target: Path, names: Collection[str]) -> None:
    folders = {folder for name in names for folder in (target / name).parents if folder.is_relative_to(target)}
    for folder in sorted(folders):
        if folder.is_symlink():
            raise UsageProblem(
                f"The folder '{folder}' is a link", why="Files written into it would end up elsewhere.",
                fix="Remove the link, or choose another place.",
            )  # fmt: skip


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold `folder` itself as a lock, so that no file of it is left behind. Raises UsageProblem where another holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a network disk that knows no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageProblem(
                    f"A download into '{folder}' is running already", fix="Wait until it has ended, or stop it first."
                ) from None
        yield
    finally:
        os.close(descriptor)


class _Stopped(Exception):
    """Inside a thread: the download is over."""


def _interrupted() -> InterruptedRun:
    return InterruptedRun("The download was stopped", fix="What has come is kept: the same command goes on from there.")


class _Meter:
    """Bytes and files so far. Any thread counts; only the caller's tells, at most five times a second."""

    def __init__(self, total: int, files: int, on_event: Listener):
        self.total, self.files, self.on_event = total, files, on_event
        self.done = self.moved = self.resumed = self.finished = 0
        self.name = ""
        """The file that was begun last."""
        self._lock = threading.Lock()
        self._told = 0.0
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def count(self, done: int, *, moved: int = 0, resumed: int = 0) -> None:
        with self._lock:
            self.done += done
            self.moved += moved
            self.resumed += resumed

    def tell(self) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._send(f"file {min(self.finished + 1, self.files)}/{self.files} {self.name}")

    def tell_file(self, name: str) -> None:
        """A file is done."""
        self.finished += 1
        self._send(f"file {self.finished}/{self.files} {name}", milestone=True)

    def _send(self, note: str, *, milestone: bool = False) -> None:
        self._told = now = time.monotonic()
        self._samples.append((now, self.done - self.resumed))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        (then, before), (_, after) = self._samples[0], self._samples[-1]
        rate = max(0, after - before) / max(now - then, 1e-3)
        # Equal counts mean that the stage is over, and it is not before the last file has been verified.
        done = self.total if self.finished == self.files else max(0, min(self.done, self.total - 1))
        left = (self.total - done) / rate if rate else None
        self.on_event(
            Progress(
                stage="download",
                done=done,
                total=self.total,
                unit="bytes",
                rate=rate,
                seconds_left=left,
                note=note,
                milestone=milestone,
            )
        )


class _Content(NamedTuple):
    """What is fetched once, however many names it has. `digest` is a SHA-256, or git's id of a small file."""

    digest: str
    size: int
    names: tuple[str, ...]

    @property
    def hash_name(self) -> str:
        return "SHA-256" if len(self.digest) == 64 else "git id"

    def new_hash(self) -> Any:
        if len(self.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)


def _contents(repository: Repository, names: Collection[str]) -> list[_Content]:
    """The contents behind `names`, the largest first. Raises EnvironmentProblem where the Hub gives no usable hash."""
    found: dict[str, _Content] = {}
    for name in names:
        digest, size = repository.hashes.get(name) or repository.blob_ids.get(name, ""), repository.files[name]
        known = found.get(digest)
        if not _HASH.fullmatch(digest) or (known and known.size != size):
            raise EnvironmentProblem(
                f"'{name}' of '{repository.id}' cannot be verified", why="The Hub lists no usable hash of it.",
                fix="Check that HF_ENDPOINT names a Hub that lists sizes and hashes.",
            )  # fmt: skip
        found[digest] = _Content(digest, size, (*(known.names if known else ()), name))
    return sorted(found.values(), key=lambda content: -content.size)


class _Part:
    """The bytes of one content that have come: on disk, and in a hash of them. Use as a context."""

    def __init__(self, path: Path, content: _Content):
        self.path, self.content = path, content
        self.done = 0
        self._hash = content.new_hash()
        with copying.disk_problems(path):
            self._file = path.open("a+b", buffering=0)

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        with copying.disk_problems(self.path):
            self._file.close()

    def take_over(self, is_over: Callable[[], bool]) -> None:
        """Go on from what an earlier download left."""
        with copying.disk_problems(self.path):
            self._file.seek(0)
            while piece := self._file.read(WRITE_BYTES):
                if is_over():
                    raise _Stopped
                self._hash.update(piece)
                self.done += len(piece)

    def add(self, piece: bytes | bytearray) -> None:
        self._hash.update(piece)
        self.done += len(piece)
        with copying.disk_problems(self.path), memoryview(piece) as rest:
            written = 0
            while written < len(rest):
                written += self._file.write(rest[written:])

    def restart(self) -> None:
        with copying.disk_problems(self.path):
            self._file.truncate(0)
        self.done, self._hash = 0, self.content.new_hash()

    def digest(self) -> str:
        return self._hash.hexdigest()


class _Lines:
    """The connections of one download, so that they can be hung up while threads wait on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        self._are_down = False

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """The `trace` of httpx: is told of every new connection."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._streams.append(info["return_value"])
                if self._are_down:
                    self._hang_up()

    def hang_up(self) -> None:
        with self._lock:
            self._are_down = True
            self._hang_up()

    def _hang_up(self) -> None:
        for stream in self._streams:
            line = stream.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed already
                # Not SSLSocket's own, which would let the reading thread take what is left for plain text.
                socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Transfer:
    """One download from the Hub: threads that fetch, and the caller's thread that watches them."""

    def __init__(
        self,
        repository: HubRepository,
        contents: list[_Content],
        target: Path,
        keep: Path,
        stop: threading.Event,
        meter: _Meter,
    ):
        self.repository, self.contents, self.target, self.keep = repository, contents, target, keep
        self.stop, self.meter = stop, meter
        self._over = threading.Event()
        self._waiting = deque(contents)
        self._reports: queue.SimpleQueue[_Content | BaseException] = queue.SimpleQueue()
        self._lines = _Lines()

    def run(self, workers: int, *, resume: bool) -> None:
        if not resume:
            for content in self.contents:
                self._part_of(content).unlink(missing_ok=True)
        self._require_room()
        self._fetch_all(workers)
        self._place_all()

    def _part_of(self, content: _Content) -> Path:
        return self.keep / f"{content.digest}.part"

    def _require_room(self) -> None:
        coming = copies = 0
        for content in self.contents:
            part = self._part_of(content)
            kept = part.stat().st_size if part.exists() else 0
            coming += content.size - (kept if kept <= content.size else 0)
            copies += content.size * (len(content.names) - 1)
        if not self._is_one_disk():
            copies += sum(content.size for content in self.contents)
        copying.require_room({self.keep: coming, self.target: copies})

    def _fetch_all(self, workers: int) -> None:
        """All contents into `keep`, verified. Raises the first problem of any thread; none of them goes on after it."""
        import httpx2

        client = httpx2.Client()
        threads = [
            threading.Thread(target=self._work, args=(client,), name=f"download-{number}", daemon=True)
            for number in range(min(max(1, workers), len(self.contents)))
        ]
        try:
            for thread in threads:
                thread.start()
            self._watch()
        finally:
            self._over.set()
            self._lines.hang_up()
            until = time.monotonic() + LEAVE_SECONDS
            for thread in threads:
                if thread.ident:
                    thread.join(max(0.0, until - time.monotonic()))
            client.close()

    def _watch(self) -> None:
        left = len(self.contents)
        while left:
            if self.stop.is_set():
                raise _interrupted()
            with contextlib.suppress(queue.Empty):
                report = self._reports.get(timeout=TELL_SECONDS / 2)
                if isinstance(report, BaseException):
                    raise report
                left -= 1
                self.meter.count(report.size * (len(report.names) - 1))
                for name in report.names:
                    self.meter.tell_file(name)
            if left:
                self.meter.tell()

    def _work(self, client: Any) -> None:
        while not self._over.is_set():
            try:
                content = self._waiting.popleft()
            except IndexError:
                return
            self.meter.name = content.names[0]
            try:
                with self.repository.problems():
                    self._fetch(content, client)
            except _Stopped:
                return
            except BaseException as error:  # noqa: BLE001  raised again by the caller's thread
                self._reports.put(error)
                return
            self._reports.put(content)

    def _fetch(self, content: _Content, client: Any) -> None:
        """One content, verified. What was joined of several pieces and is wrong is fetched once more in one."""
        with _Part(self._part_of(content), content) as part:
            part.take_over(self._over.is_set)
            self.meter.count(part.done, resumed=part.done)
            found = ""
            for _ in range(2):
                is_whole = self._fill(part, client)
                found = part.digest()
                if found == content.digest:
                    return
                self.meter.count(-part.done)
                part.restart()
                if is_whole:
                    break
        part.path.unlink()
        raise EnvironmentProblem(
            f"'{content.names[0]}' of '{self.repository.id}' is damaged: its {content.hash_name} is not the Hub's",
            why=f"The Hub lists {content.digest[:16]}…, what came has {found[:16]}…; it was thrown away.",
            fix="Try again later. If it stays so, tell the model's owner.",
        )

    def _fill(self, part: _Part, client: Any) -> bool:
        """Fetch what is missing, again after failures; whether it came in one piece."""
        from httpx2 import TransportError
        from huggingface_hub.errors import HfHubHTTPError

        is_whole, failures = part.done == 0, 0
        while part.done < part.content.size:
            before = part.done
            try:
                self._pour(part, client)
            except (TransportError, HfHubHTTPError) as error:
                failures = 1 if part.done > before else failures + 1
                is_whole = is_whole and part.done == 0
                self._pause_after(error, failures, part)
        return is_whole

    def _pour(self, part: _Part, client: Any) -> None:
        """One answer's bytes into `part`. Raises TransportError where it ends too early."""
        from httpx2 import ReadError, Timeout

        name, size = part.content.names[0], part.content.size
        timeout = Timeout(PATIENCE_SECONDS, read=STALL_SECONDS)
        options: dict[str, Any] = {"client": client, "extensions": {"trace": self._lines.watch}}
        buffer = bytearray()
        with self.repository.stream(name, part.done, size, timeout=timeout, **options) as answer:
            if answer.total not in {None, size}:
                raise self._wrong_size(name, size, answer.total or 0)
            moved = 0
            try:
                for piece in answer:
                    if self._over.is_set():
                        raise _Stopped
                    buffer += piece
                    self.meter.count(len(piece), moved=answer.moved - moved)
                    moved = answer.moved
                    if len(buffer) >= WRITE_BYTES:
                        full, buffer = buffer, bytearray()
                        part.add(full)
            finally:
                part.add(buffer)
        if part.done < size:
            raise ReadError(f"the answer ended at {part.done} of {size} bytes")

    def _wrong_size(self, name: str, listed: int, answered: int) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"'{name}' of '{self.repository.id}' is damaged: its size is not the Hub's",
            why=f"The Hub lists {listed:,} bytes, and what answered has {answered:,}.",
            fix="Check that no sign-in page or proxy stands between this machine and the Hub, and try again.",
        )

    def _pause_after(self, error: Exception, failures: int, part: _Part) -> None:
        """Wait before the next try. Raises what cannot be cured by it, and EnvironmentProblem after the last."""
        if self._over.is_set():
            raise _Stopped
        response = getattr(error, "response", None)
        status = 0 if response is None else int(response.status_code)
        if status and status != 429 and status < 500:
            raise error
        if failures > RETRIES:
            cause = (
                f"The Hub answered with {status}"
                if status
                else f"The connection was lost ({first_line(error, otherwise=type(error).__name__)})"
            )
            raise EnvironmentProblem(
                f"'{part.content.names[0]}' of '{self.repository.id}' could not be fetched",
                why=f"{cause}, also after {RETRIES} retries.",
                fix=f"Run the same command again: it goes on with the {amount(part.done)} of {amount(part.content.size)} "
                "that have come.",
            ) from error
        asked = "" if response is None else str(response.headers.get("Retry-After", ""))
        pause = min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isdecimal() else 0.0
        if self._over.wait(max(pause, 0.5 * 2 ** (failures - 1))):
            raise _Stopped

    def _place_all(self) -> None:
        """Every content under its names. What takes time is done before the first part leaves `keep`."""
        moves: dict[Path, Path] = {}
        for content in self.contents:
            part, places = self._part_of(content), [self.target / name for name in content.names]
            if self._is_one_disk():
                moves[part] = places.pop()
            for place in places:
                copying.copy(part, place, self._tick)
        for part, place in moves.items():
            copying.move(part, place)
        for content in self.contents:
            self._part_of(content).unlink(missing_ok=True)

    def _is_one_disk(self) -> bool:
        return existing(self.target).stat().st_dev == self.keep.stat().st_dev

    def _tick(self, _: int) -> None:
        if self.stop.is_set():
            raise _interrupted()


def _copy_all(
    repository: Repository, names: list[str], target: Path, *, link: bool, stop: threading.Event, meter: _Meter
) -> None:
    folder = repository.folder
    if folder is None:
        raise TypeError(f"a repository that is neither on the Hub nor a folder: {type(repository).__name__}")
    sources = {name: (folder / name).resolve() for name in names}
    is_linked = link and existing(target).stat().st_dev == folder.stat().st_dev
    copying.require_room({target: 0 if is_linked else meter.total})

    def tick(count: int) -> None:
        if stop.is_set():
            raise _interrupted()
        meter.count(count)
        meter.tell()

    for name, source in sources.items():
        meter.name = name
        tick(0)
        place = target / name
        if not (link and copying.link(source, place)):
            copying.copy(source, place, tick)
        else:
            meter.count(repository.files[name])
        meter.tell_file(name)
