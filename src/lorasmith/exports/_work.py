"""What targets have in common: the worker, the verdict on what it wrote, the files' sizes."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from lorasmith.adapters.facts import adapter_facts
from lorasmith.core import paths, settings
from lorasmith.core.errors import DataProblem, DoesNotFitProblem, EnvironmentProblem
from lorasmith.core.events import Warn
from lorasmith.core.progress import amount
from lorasmith.env.folder import python_for
from lorasmith.exports._base import Wish
from lorasmith.exports.parity import ParityReport, Said, compare
from lorasmith.exports.scores import scores_of
from lorasmith.exports.spec import ExportJob, ExportReport
from lorasmith.plan.hardware import where_to_run
from lorasmith.runners.local import Worker, run


class Written(NamedTuple):
    """What the worker says: how long the writing took, and what the models made of the prompts."""

    seconds: float
    trained: list[Said]
    exported: list[Said]


def written(wish: Wish, kind: Any, target: Path, *, quantize: str = "", adapter: bool = True) -> Written:
    """Have a worker write `target`, and let the trained model answer. `adapter=False` leaves the adapter out."""
    logs = paths.make_folder(settings.load().logs_dir)
    with TemporaryDirectory() as name:
        spec, events, answers = (Path(name) / file for file in ("spec.json", "events.jsonl", "answers.json"))
        job = ExportJob(
            kind=kind, model_folder=wish.facts.local_folder, model_id=wish.facts.id, family=wish.facts.family,
            weight_files=wish.facts.weight_files, beside=wish.beside, stored_dtype=wish.facts.stored_dtype,
            adapter=wish.adapter if adapter else None, changes=wish.changes, template=wish.template, quantize=quantize,
            dequantize=bool(wish.facts.quantization and wish.spec.dequantize),
            name=wish.name, target=target, conversations=wish.conversations if adapter else [],
            reads_back=not (wish.conversations or wish.spec.allow_mismatch),
            max_new_tokens=wish.max_new_tokens, events=events, answers=answers, **where_to_run(wish.spec.device),
        )  # fmt: skip
        paths.write_text(spec, job.model_dump_json())
        worker = Worker(
            "export", spec, events, logs / "export.log", python=python_for(wish.facts.local_folder),
            needs=wish.facts.seldom_needed,
        )  # fmt: skip
        result = run(worker, wish.listener)
        told = json.loads(answers.read_text(encoding="utf-8"))
    return Written(float(result["seconds"]), _said(told.get("trained")), _said(told.get("exported")))


def _said(told: Any) -> list[Said]:
    return [
        Said(one["ids"], one["answer"], [dict(at) for at in one["chances"]], one["prompt"], one["pieces"], one["text"])
        for one in told or []
    ]


def compared(wish: Wish, made: Written, *, form: str, reader: str) -> ParityReport | None:
    """What the comparison of what `made` holds came to; None where nothing was asked. Raises as `require_equal` does."""
    if not made.trained:
        return None
    report = compare(made.trained, made.exported, form=form, reader=reader)
    if wish.wanted:
        report = report.model_copy(update={"scores": scores_of(wish.wanted, made.trained, made.exported)})
    require_equal(report, wish)
    return report


def require_equal(report: ParityReport, wish: Wish) -> None:
    """The gate (EXP-4). Raises DataProblem where the export is not the model that was trained, unless it is to be kept."""
    if report.is_equal:
        return
    if wish.spec.allow_mismatch:
        wish.listener(Warn(message=f"It is kept, though it is not what was trained. {report.trouble}"))
        return
    raise DataProblem(
        "The exported model answers otherwise than the one that was trained, and is not kept", why=report.trouble,
        fix="--allow-mismatch keeps it all the same.", parity=report.model_dump(mode="json"),
    )  # fmt: skip


def whole_folder(folder: Path, fill: Callable[[Path], None], *, need_bytes: int) -> None:
    """`paths.write_folder`, with what a full disk is told. What was there before stays until the new one is whole.

    Raises DoesNotFitProblem, EnvironmentProblem.
    """
    paths.make_folder(folder.parent)
    free = shutil.disk_usage(folder.parent).free
    if free < need_bytes:
        raise DoesNotFitProblem(
            f"The export needs {amount(need_bytes)} of disk, and {amount(free)} are free", why=f"In '{folder.parent}'.",
            fix="Make room, or name another place: --out FOLDER",
        )  # fmt: skip
    with _room(folder):
        paths.write_folder(folder, fill)


def new_files(folder: Path, fill: Callable[[Path], None], *, need_bytes: int) -> None:
    """As `whole_folder`, but what is in the folder stays beside the new files, which replace those of their names at the end."""
    fresh = folder.with_name(f".{folder.name}.new")

    try:
        whole_folder(fresh, fill, need_bytes=need_bytes)
        paths.make_folder(folder)
        for file in sorted(fresh.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _room(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise EnvironmentProblem(
                "The disk is full", why=f"In '{folder.parent}'. What was there before is as it was.",
                fix="Make room, or name another place: --out FOLDER",
            ) from error  # fmt: skip
        raise


def reported(
    wish: Wish, target: str, place: Path, folder: Path, made: Written, parity: ParityReport | None, notes: list[str]
) -> ExportReport:
    """The report on what lies in `folder` now and will be called `place`."""
    return ExportReport(
        target=target, model=wish.facts.id, adapter=wish.spec.adapter, place=str(place), files=sizes(folder),
        bytes_before=_before(wish, whole=target != "adapter" and not wish.spec.adapter_only),
        seconds=made.seconds, parity=parity, notes=notes,
    )  # fmt: skip


def _before(wish: Wish, *, whole: bool) -> int:
    """Bytes of what was exported: of the adapter, and of its base where that is in it."""
    own = adapter_facts(wish.adapter).num_bytes if wish.adapter else 0
    return own + wish.facts.weight_bytes if whole else own


def sizes(folder: Path) -> dict[str, int]:
    """Bytes by name."""
    return {
        file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()
    }
