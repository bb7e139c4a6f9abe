"""Whether a model may be installed at all: what its check says, and whether the disk has room (INS-3)."""

from __future__ import annotations

import shutil
from pathlib import Path

from lorasmith.core import paths
from lorasmith.core.errors import DoesNotFitProblem, UsageProblem
from lorasmith.core.progress import amount
from lorasmith.core.settings import Settings
from lorasmith.env import folder as layout
from lorasmith.env.spec import InstallSpec
from lorasmith.families._native import is_native
from lorasmith.plan.memory import QUANTIZED_DTYPES
from lorasmith.plan.report import CheckReport, Verdict

_BESIDE_OTHERS = 100 * 10**6  # an environment whose packages another one has (INS-6)


def refuse_unfit(spec: InstallSpec, report: CheckReport) -> None:
    """Raises what stands in the way of this model, with what its check says (INS-3)."""
    if report.adapter_of:
        raise UsageProblem(
            f"'{spec.model}' is an adapter, not a model", why=f"It belongs to {report.adapter_of}.",
            fix=f"Install that:  lorasmith install {report.adapter_of}",
        )  # fmt: skip
    if not report.weight_bytes:
        raise UsageProblem(
            f"'{spec.model}' holds no weights that could be loaded", fix=f"See:  lorasmith check {spec.model}"
        )
    code = report.requirements.custom_code
    if code and not spec.trust_remote_code and not is_native(report.primary_library, report.model_type):
        raise UsageProblem(
            f"'{spec.model}' needs its own code, which would run on this machine: {', '.join(code)}",
            why=f"transformers has no '{report.model_type}' itself.",
            fix="Read that code; if you trust it, add --trust-remote-code.",
        )  # fmt: skip
    verdicts = [one for one in report.verdicts if one.kind == "inference"]
    wanted = QUANTIZED_DTYPES.get(spec.quantization)
    fitting = [one for one in verdicts if one.can_run and (wanted is None or one.dtype == wanted)]
    if verdicts and not fitting:
        raise DoesNotFitProblem(
            f"'{spec.model}' does not fit this machine", why=report.next_step, fix=f"See:  lorasmith check {spec.model}"
        )
    if wanted is None and all(one.dtype in QUANTIZED_DTYPES.values() for one in fitting):
        raise DoesNotFitProblem(
            f"'{spec.model}' fits this machine only with quantized weights", why=_sizes(fitting),
            fix=f"Add --quantization {'8bit' if any(one.dtype == 'int8' for one in fitting) else '4bit'}.",
        )  # fmt: skip


def _sizes(verdicts: list[Verdict]) -> str:
    return ", ".join(f"{one.dtype} takes {amount(one.memory)}" for one in verdicts) + "."


def require_disk(known: Settings, report: CheckReport, folder: Path) -> None:
    """Raises DoesNotFitProblem that says how much is missing on the disk of `models_dir`."""
    needed, free = _disk(known, report, folder)
    reserve = round(known.min_disk_space_gb * 10**9)
    if free < needed + reserve:
        raise DoesNotFitProblem(
            f"{amount(needed + reserve - free)} of disk are missing where '{folder.parent}' lies",
            why=f"It takes {amount(needed)}, {amount(free)} are free, {amount(reserve)} are to stay free (min_disk_space_gb).",
            fix="Free some, or set models_dir to a folder on another disk.",
        )  # fmt: skip


def _disk(known: Settings, report: CheckReport, folder: Path) -> tuple[int, int]:
    """Bytes that the installation takes, and those that are free where it will lie."""
    has_neighbour = any(known.models_dir.glob(f"*/{layout.ENVIRONMENT}/pyvenv.cfg"))
    needed = report.disk.files + (_BESIDE_OTHERS if has_neighbour else report.disk.environment)
    return needed, shutil.disk_usage(paths.existing(folder)).free


def limits_close(known: Settings, report: CheckReport, folder: Path) -> list[str]:
    """What will be scarce, though it fits: memory while it answers, disk afterwards."""
    answering = [one for one in report.verdicts if one.kind == "inference" and one.can_run]
    close = answering[0] if answering and answering[0].notes else None
    warnings = [f"{close.notes}: {close.dtype} takes {amount(close.memory)} of memory."] if close else []
    needed, free = _disk(known, report, folder)
    if free - needed < known.warn_disk_space_gb * 10**9:
        warnings.append(f"{amount(free - needed)} of disk will be free afterwards.")
    return warnings
