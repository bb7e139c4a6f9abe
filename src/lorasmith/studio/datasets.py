"""Files and folders of examples that were uploaded: versions that never change, read once for what they hold."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lorasmith import flow
from lorasmith.core import paths
from lorasmith.core.errors import LorasmithError, NotFoundProblem, UsageProblem, from_dict
from lorasmith.store.database import Database
from lorasmith.store.tables import Dataset, now
from lorasmith.studio.members import archive_kind
from lorasmith.studio.spec import StudioSpec
from lorasmith.studio.unpacking import folder_for, unpack

_CHUNK = 1 << 20
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")
_LONGEST_NAME = 100
"""Signs; its end counts, where the kind of file is told."""


def folder() -> Path:
    """Where they lie."""
    return paths.make_folder(paths.home() / "datasets")


def title(name: str) -> str:
    """What an upload is called: the end of its path, without what no terminal and no page should be shown."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(sign for sign in last if sign.isprintable())[-_LONGEST_NAME:].strip() or "data"


def named(text: str, otherwise: str) -> str:
    """`text` as a file's name; where nothing is left of it, as of one in Cyrillic, the end of it behind `otherwise`."""
    suffixes = "".join(one for one in Path(text).suffixes[-2:] if _SUFFIX.fullmatch(one))
    with contextlib.suppress(UsageProblem):
        return paths.safe_name(text) if paths.safe_name(text) != suffixes.strip(".") else otherwise + suffixes
    return otherwise


class Datasets:
    """The datasets of a studio. Every call may raise EnvironmentProblem where the database has gone."""

    def __init__(self, database: Database):
        self.database = database
        self.most_bytes = StudioSpec().max_body_mb * 10**6
        """Of what is unpacked from one archive: as much as an upload may have."""

    def place(self, name: str) -> Path:
        """A new folder, and in it the file that an upload of that name is to become; nothing of the name leads elsewhere."""
        return paths.make_folder(folder() / uuid.uuid4().hex) / named(title(name), "data")

    def add(self, file: Path, name: str, *, parent: int | None = None, project: int | None = None) -> Dataset:
        """The file, which is whole, as the next version of `name`, as its user called it. It is not read yet."""
        name = title(name)
        digest = hashlib.sha256()
        with file.open("rb") as data:
            while chunk := data.read(_CHUNK):
                digest.update(chunk)
        with self.database.session() as session:
            newest = session.scalar(select(func.max(Dataset.version)).where(Dataset.name == name)) or 0
            made = Dataset(
                name=name, version=newest + 1, parent=parent, project=project, file=str(file), num_bytes=file.stat().st_size,
                sha256=digest.hexdigest(),
            )  # fmt: skip
            session.add(made)
        return made

    def read(self, number: int) -> Dataset:
        """Find out what it holds: format, rows, what is odd about it; or why nothing can be learnt from it. An archive becomes
        a folder first."""
        try:
            inspection, _ = flow.inspect_data(str(self._unpacked(self.get(number))))
            facts: dict[str, Any] = inspection.as_dict()
            changes = {"format": inspection.format, "num_rows": inspection.num_rows, "facts": facts, "error": None}
        except LorasmithError as problem:
            changes = {"error": problem.as_dict()}
        return self._changed(number, changes)

    def _unpacked(self, dataset: Dataset) -> Path:
        """Its file, or the folder that it is from now on; the archive goes only when that is written down."""
        file = Path(dataset.file)
        if not archive_kind(file):
            return file
        folder = folder_for(file)
        num_bytes = unpack(file, folder, self.most_bytes)
        self._changed(dataset.id, {"file": str(folder), "num_bytes": num_bytes})
        file.unlink(missing_ok=True)
        return folder

    def refuse(self, number: int, problem: LorasmithError) -> Dataset:
        """Say that nothing can be learnt from it, and why."""
        return self._changed(number, {"error": problem.as_dict()})

    def _changed(self, number: int, changes: Mapping[str, Any]) -> Dataset:
        with self.database.session() as session:
            row = session.get_one(Dataset, number)
            for name, value in changes.items():
                setattr(row, name, value)
        return self.get(number)

    @staticmethod
    def require_read(dataset: Dataset) -> None:
        """Raises UsageProblem while it is not known what it holds."""
        if not dataset.format and not dataset.error:
            raise UsageProblem(f"'{dataset.name}' is still being read", fix="Try again in a moment.")

    def opened(self, number: int) -> Dataset:
        """One whose rows can be looked at. Raises UsageProblem for an archive that is not unpacked yet; for one that could not
        be, what is wrong with it."""
        dataset = self.get(number)
        if archive_kind(Path(dataset.file)):
            self.require_read(dataset)
            raise from_dict(dataset.error or {"what": f"'{dataset.name}' is not unpacked"})
        return dataset

    def unread(self) -> Sequence[Dataset]:
        """Those of which it is not known yet what they hold."""
        asked = select(Dataset).where(Dataset.deleted_at.is_(None), Dataset.format == "")
        with self.database.session() as session:
            return [one for one in session.scalars(asked).all() if one.error is None]

    def get(self, number: int) -> Dataset:
        """Raises NotFoundProblem, also for one that was deleted."""
        with self.database.session() as session:
            dataset = session.get(Dataset, number)
        if dataset is None or dataset.deleted_at:
            raise NotFoundProblem(f"There is no dataset {number}")
        return dataset

    def all(self, project: int | None = None) -> Sequence[Dataset]:
        """From the newest on; those of a project, where one is named."""
        asked = select(Dataset).where(Dataset.deleted_at.is_(None)).order_by(Dataset.id.desc())
        if project is not None:
            asked = asked.where(Dataset.project == project)
        with self.database.session() as session:
            return session.scalars(asked).all()

    def delete(self, number: int) -> None:
        """Its file or folder goes; that there was one stays known to the trainings that learnt from it."""
        dataset = self.get(number)
        with self.database.session() as session:
            session.get_one(Dataset, number).deleted_at = now()
        self.drop(Path(dataset.file))

    def drop(self, file: Path) -> None:
        """Take a file, or what was unpacked from it, away with the folder that `place` has made for it."""
        shutil.rmtree(file.parent, ignore_errors=True)
