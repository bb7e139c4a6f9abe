"""One model repository, wherever it is: a folder on this machine or a repository on the Hub, read the same way.

Nothing but listings, small JSON files and ranges of bytes is read; `open_repository` says which of the two a name means.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from lorasmith.core import settings
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.hub.locate import ModelPlace, hub_id_of, locate_here
from lorasmith.hub.problems import PATIENCE_SECONDS, hub_problems, patiently

MAX_DOCUMENT_BYTES = 20 * 2**20  # a tokenizer's JSON with merges; configurations are a thousandth of it
MAX_FILES = 20_000
MAX_DEPTH = 4
SIDE_BY_SIDE = 16


class Repository(ABC):
    """File names with sizes, and bytes on demand. `revision` is the commit on the Hub, empty for a folder."""

    id: str
    revision: str = ""
    folder: Path | None = None
    files: dict[str, int]
    hashes: dict[str, str]
    """SHA-256 by name, of the files that the Hub stores with one."""
    blob_ids: dict[str, str]
    """Git's id by name, of the others on the Hub."""
    tags: tuple[str, ...] = ()
    pipeline_tag: str = ""
    gated: bool = False
    private: bool = False
    moved_bytes: int = 0
    """Bytes of answers' bodies that came over the network."""

    @abstractmethod
    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes `start` to `stop` of a file (all of it without `stop`, up to MAX_DOCUMENT_BYTES)."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Whole small files by name, side by side."""
        wanted = list(names)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            return dict(zip(wanted, pool.map(self.read, wanted), strict=True))


class LocalRepository(Repository):
    """A folder. Files behind links that lead out of it count, as the Hub's own cache is made of such."""

    def __init__(self, place: ModelPlace):
        self.id, self.revision, self.folder = place.id, place.revision, place.folder
        self._folder = place.folder
        self.files = dict(islice(_walk(place.folder), MAX_FILES))
        self.hashes, self.blob_ids = {}, {}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                return file.read((start + MAX_DOCUMENT_BYTES if stop is None else stop) - start)
        except OSError as error:
            raise EnvironmentProblem(f"'{self._folder / name}' cannot be read", why=f"{error.strerror}.") from error


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Files with their sizes, as deep as model folders go: a home folder by mistake costs no minute."""
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        depth = len(here.relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < MAX_DEPTH else []
        for name in sorted(names):
            path = here / name
            with contextlib.suppress(OSError):
                if path.is_file():
                    yield path.relative_to(root).as_posix(), path.stat().st_size


class Answer:
    """A file's bytes from `start` to `stop` and none beyond, as the Hub sends them, also one that ignores ranges."""

    def __init__(self, answer: Any, start: int, stop: int):
        self._answer = answer
        self._skip = 0 if answer.status_code == 206 else start
        self._left = stop - start
        self.total = _announced_size(answer)
        """The whole file's size as this answer says it."""
        self.moved = 0
        """Bytes of the body that have come."""

    def __iter__(self) -> Iterator[bytes]:
        """Pieces as they come; empty ones for bytes before `start`."""
        ends_there = self._answer.headers.get("Content-Length") == str(self._skip + self._left)
        for piece in self._answer.iter_bytes():
            self.moved += len(piece)
            skipped = min(self._skip, len(piece))
            kept = piece[skipped : skipped + self._left]
            self._skip -= skipped
            self._left -= len(kept)
            yield kept
            if self._left <= 0 and not ends_there:  # what is read to its end leaves a connection that can be used again
                return


def _announced_size(answer: Any) -> int | None:
    if "Content-Encoding" in answer.headers:
        return None
    size = answer.headers.get("Content-Length" if answer.status_code == 200 else "Content-Range", "")
    size = size.rpartition("/")[2]
    return int(size) if size.isdecimal() else None


class HubRepository(Repository):
    """A repository on the Hub, asked through `huggingface_hub` at one commit."""

    def __init__(self, model: str, known: settings.Settings, revision: str = ""):
        self.id = model
        self._token = known.huggingface_token.get_secret_value() if known.huggingface_token else None
        with self.problems():
            info = self._info(revision)
        self.revision = info.sha or revision
        self.tags, self.pipeline_tag = tuple(info.tags or ()), info.pipeline_tag or ""
        self.gated, self.private = bool(info.gated), bool(info.private)
        siblings = info.siblings or []
        self.files = {sibling.rfilename: max(0, sibling.size or 0) for sibling in siblings}
        self.hashes = {sibling.rfilename: sibling.lfs.sha256 for sibling in siblings if sibling.lfs}
        self.blob_ids = {
            sibling.rfilename: sibling.blob_id for sibling in siblings if sibling.blob_id and not sibling.lfs
        }

    def problems(self) -> contextlib.AbstractContextManager[None]:
        """What the Hub's client raises inside, as problems that a user can act on."""
        return hub_problems(self.id, token_given=self._token is not None)

    def _info(self, revision: str) -> Any:
        from huggingface_hub import HfApi

        return patiently(
            lambda: HfApi(token=self._token).model_info(
                self.id, revision=revision or None, files_metadata=True, timeout=PATIENCE_SECONDS
            )
        )

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        with self.problems():
            data = patiently(lambda: self._fetch(name, start, stop))
        self.moved_bytes += len(data)
        return data

    def _fetch(self, name: str, start: int, stop: int | None) -> bytes:
        with self.stream(name, start, start + MAX_DOCUMENT_BYTES if stop is None else stop) as answer:
            return b"".join(answer)

    @contextlib.contextmanager
    def stream(
        self, name: str, start: int, stop: int, *, timeout: Any = PATIENCE_SECONDS, **options: Any
    ) -> Generator[Answer]:
        """Ask for bytes `start` to `stop` of a file. Raises what the Hub's client raises; see `problems`.

        `options` may name the `client` that asks, and the `extensions` of its request.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}
        if start or stop < self.files.get(name, 0):
            headers["Range"] = f"bytes={start}-{stop - 1}"
        client, url = options.pop("client", None) or get_session(), hf_hub_url(self.id, name, revision=self.revision)
        with client.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True, **options) as answer:
            hf_raise_for_status(answer)
            yield Answer(answer, start, stop)


def open_repository(model: str, *, revision: str = "", only_hub: bool = False) -> Repository:
    """The repository that `model` means. Raises UsageProblem, NotFoundProblem and EnvironmentProblem.

    `only_hub` is for names that a stranger wrote: no folder of this machine is looked into.
    """
    known = settings.load()
    place = None if only_hub else locate_here(model, known)
    return LocalRepository(place) if place else HubRepository(hub_id_of(model, known), known, revision)


def reading(repository: Repository, name: str) -> tuple[Callable[[int, int], bytes], int]:
    """`read(start, stop)` of one file, and its size: what the header readers take."""
    return (lambda start, stop: repository.read(name, start, stop)), repository.files[name]
