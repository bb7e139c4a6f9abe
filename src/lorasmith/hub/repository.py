"""One model repository, wherever it is: a folder on this machine or a repository on the Hub, read the same way.

Nothing but listings, small JSON files and ranges of bytes is read; `open_repository` says which of the two a name means.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
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
        self.hashes = {}

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


class HubRepository(Repository):
    """A repository on the Hub, asked through `huggingface_hub` at one commit."""

    def __init__(self, model: str, known: settings.Settings, revision: str = ""):
        self.id = model
        self._token = known.huggingface_token.get_secret_value() if known.huggingface_token else None
        with hub_problems(model, token_given=self._token is not None):
            info = self._info(revision)
        self.revision = info.sha or revision
        self.tags, self.pipeline_tag = tuple(info.tags or ()), info.pipeline_tag or ""
        self.gated, self.private = bool(info.gated), bool(info.private)
        siblings = info.siblings or []
        self.files = {sibling.rfilename: max(0, sibling.size or 0) for sibling in siblings}
        self.hashes = {sibling.rfilename: sibling.lfs.sha256 for sibling in siblings if sibling.lfs}

    def _info(self, revision: str) -> Any:
        from huggingface_hub import HfApi

        return patiently(
            lambda: HfApi(token=self._token).model_info(
                self.id, revision=revision or None, files_metadata=True, timeout=PATIENCE_SECONDS
            )
        )

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        with hub_problems(self.id, token_given=self._token is not None):
            data = patiently(lambda: self._fetch(name, start, stop))
        self.moved_bytes += len(data)
        return data

    def _fetch(self, name: str, start: int, stop: int | None) -> bytes:
        """The bytes asked for and none beyond, also from a Hub that ignores ranges."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        limit = MAX_DOCUMENT_BYTES if stop is None else stop - start
        headers = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}
        if stop is not None:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        url = hf_hub_url(self.id, name, revision=self.revision)
        with get_session().stream(
            "GET", url, headers=headers, timeout=PATIENCE_SECONDS, follow_redirects=True
        ) as answer:
            hf_raise_for_status(answer)
            skip = start if stop is not None and answer.status_code == 200 else 0
            kept = bytearray()
            for piece in answer.iter_bytes(2**16):
                kept += piece
                if len(kept) >= skip + limit:
                    break
        return bytes(kept[skip : skip + limit])


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
