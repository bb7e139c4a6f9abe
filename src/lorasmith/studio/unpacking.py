"""An uploaded archive becomes a folder of examples: whole or not at all, and nothing of it outside (SEC-1, SEC-4).

Names are taken as they are or refused, never repaired; rights, owners and times of an archive are not taken over.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable
from pathlib import Path

from lorasmith.core import paths
from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.data.compression import ENDINGS, FREE_BYTES, MAX_RATIO
from lorasmith.studio.members import bad_name, members, told, too_large

MOST_FILES = 200_000
"""Files and folders."""
_MOST_NAME_BYTES, _MOST_PART_BYTES, _MOST_PARTS = 1024, 255, 32
_ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz")
_DRIVE = re.compile(r"[A-Za-z]:")
_OF_A_DESKTOP = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_NO_SIGNS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Signs that are not shown, or turn what stands beside them, and bytes that are no UTF-8."""


def stem(name: str) -> str:
    """An archive's name without its endings; as it is where there are none."""
    short = name
    for ending in (*ENDINGS, *_ARCHIVE_ENDINGS):
        if short.lower().endswith(ending):
            short = short[: -len(ending)]
    return short or name


def folder_for(archive: Path) -> Path:
    """Where it is unpacked to: beside it, under its own name."""
    name = stem(archive.name)
    return archive.with_name(name if name != archive.name else f"{name}-files")


def unpack(archive: Path, folder: Path, most_bytes: int) -> int:
    """Make `folder` of what is in it, without the one folder that everything may lie in; returns how many bytes it has.

    Raises DataProblem for an archive that is damaged, encrypted, too large or does what no archive of examples does,
    EnvironmentProblem where it does not fit on the disk; nothing is left of it then.
    """
    unpacked = 0

    def fill(partial: Path) -> None:
        nonlocal unpacked
        unpacked = _Unpacked(archive, partial, most_bytes).all()
        _without_top(partial)

    try:
        paths.write_folder(folder, fill)
    except OSError as error:
        raise EnvironmentProblem(
            "The archive cannot be unpacked", why=f"{error.strerror}.", fix="Free some space, and upload it again."
        ) from None
    return unpacked


class _Unpacked:
    """Files on their way into a folder, counted as they are written: what an archive says of its size is not asked."""

    def __init__(self, archive: Path, folder: Path, most_bytes: int):
        self._archive, self._folder, self._most_bytes = archive, folder, most_bytes
        self._packed_bytes = archive.stat().st_size
        self._num_bytes = self._num_members = 0
        self._folders = {folder}

    def all(self) -> int:
        for member in members(self._archive, self._most_bytes):
            self._num_members += 1
            self._require_few()
            parts = _parts(member.name)
            if member.content is not None and not _is_litter(parts):
                self._write(member.name, member.content, self._folder.joinpath(*parts))
        if not any(self._folder.iterdir()):
            raise DataProblem(
                "There is no file in the archive", fix="Pack files of examples, or pictures with their texts."
            )
        return self._num_bytes

    def _write(self, name: str, content: Iterable[bytes], file: Path) -> None:
        try:
            self._make(file.parent)
            target = file.open("xb")
        except (FileExistsError, NotADirectoryError):
            raise DataProblem(
                f"'{told(name)}' is in the archive twice",
                why="Only one of them could be kept.",
                fix="Pack it anew.",
            ) from None
        with target:
            for chunk in content:
                self._num_bytes += len(chunk)
                self._require_small()
                target.write(chunk)

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            self._make(folder.parent)
            folder.mkdir()
            self._folders.add(folder)
            self._require_few()

    def _require_few(self) -> None:
        if self._num_members + len(self._folders) > MOST_FILES:
            raise DataProblem(
                f"There are more than {MOST_FILES:,} files and folders in the archive",
                fix="Send less of it at once, or rows with pictures as Parquet.",
            )

    def _require_small(self) -> None:
        if self._num_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        if self._num_bytes > max(FREE_BYTES, MAX_RATIO * self._packed_bytes):
            raise DataProblem(
                f"The archive unpacks to more than {MAX_RATIO} times its size",
                why=f"{self._num_bytes >> 20} MiB came out of {self._packed_bytes:,} bytes: a bomb, or one thing over and over.",
                fix="If you trust it, pack its files without compression.",
            )


def _parts(name: str) -> tuple[str, ...]:
    """The steps of a member's name below the archive's root. Raises DataProblem for a name that no file should have."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    # Some systems take signs for what they look like: those that become a separator or two dots are refused too.
    plain = unicodedata.normalize("NFKC", name)
    sizes = [len(part.encode("utf-8", "replace")) for part in parts]
    if plain.startswith("/") or _DRIVE.match(plain) or ".." in plain.split("/"):
        raise bad_name(name, "It leads out of the dataset's folder")
    if (
        "\\" in plain
        or plain.count("/") != name.count("/")
        or any(unicodedata.category(sign) in _NO_SIGNS for sign in name)
    ):
        raise bad_name(name, "It holds signs that names should not")
    if sum(sizes) > _MOST_NAME_BYTES or max(sizes, default=0) > _MOST_PART_BYTES or len(parts) > _MOST_PARTS:
        raise bad_name(name, "It is too long")
    return parts


def _is_litter(parts: tuple[str, ...]) -> bool:
    """What desktops put beside files."""
    return not parts or "__MACOSX" in parts or parts[-1] in _OF_A_DESKTOP or parts[-1].startswith("._")


def _without_top(folder: Path) -> None:
    """Where everything lies in one folder, have it lie in `folder` itself."""
    entries = list(folder.iterdir())
    if len(entries) == 1 and entries[0].is_dir():
        top = entries[0].rename(folder / uuid.uuid4().hex)  # a name that nothing in it has
        for entry in list(top.iterdir()):
            entry.rename(folder / entry.name)
        top.rmdir()
