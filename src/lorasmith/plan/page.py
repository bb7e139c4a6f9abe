"""A check as people read it: sections in a fixed order, on a terminal or in a file (CHK-13). It computes nothing."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from lorasmith.core.progress import amount, count
from lorasmith.hub.requirements import Requirement
from lorasmith.plan.hardware import hardware_lines
from lorasmith.plan.report import CheckReport

_DEVICES = {"cuda": "GPU", "cpu": "CPU", "split": "GPU + CPU", "none": "–"}
_DTYPES = {"float32": "fp32", "bfloat16": "bf16 / fp16", "int8": "int8", "nf4": "int4 (nf4)"}
_WORKS = {"answer": "Answering", "train": "LoRA training"}
_METHODS = {"lora": "LoRA", "qlora": "QLoRA", "full": "Full fine-tuning"}


def text_of(report: CheckReport, width: int = 110) -> str:
    """The whole report as plain text."""
    out = Console(file=io.StringIO(), width=width, highlight=False)
    show(out, report)
    return out.file.getvalue()  # type: ignore[attr-defined]


def show(out: Console, report: CheckReport) -> None:
    """Print the report on `out`."""
    out.print(f"[bold]Model Compatibility Report: {report.model_id}[/]", soft_wrap=True)
    _identity(out, report)
    _disk(out, report)
    _memory(out, report)
    _capabilities(out, report)
    _requirements(out, report)
    _hardware(out, report)
    for warning in report.warnings:
        out.print(f"[yellow]Warning:[/] {warning}", markup=True)
    out.print(f"\nNext:  [bold]{report.next_step}[/]", soft_wrap=True)


def _lines(out: Console, title: str, pairs: Iterable[tuple[str, str]]) -> None:
    out.print(f"\n[bold]{title}[/]")
    for name, value in pairs:
        if value:
            out.print(f"  {name:<22}", end="", markup=False)
            out.print(value, markup=False, soft_wrap=True)


def _identity(out: Console, report: CheckReport) -> None:
    parameters, active = report.parameters["total"], report.parameters["active"]
    size = count(parameters) if parameters else "unknown (no shapes can be read)"
    if active and active < parameters:
        size += f", {count(active)} of them for each token (mixture of experts)"
    dtypes = ", ".join(report.parameters["by_dtype"])
    for name, value in (
        ("Model Type", f"{report.model_type} ({report.model_family.replace('_', ' ')})"),
        ("Library", report.primary_library),
        ("Architecture", f"{', '.join(report.architectures)} ({report.architecture_type}: {report.recognised_by})"),
        ("Task", report.task),
        ("Parameters", f"{size}{f' in {dtypes}' if dtypes else ''}"),
        ("Adapter of", report.adapter_of),
        ("Revision", report.revision[:12]),
    ):
        if value:
            out.print(f"{name:<14}{value}", markup=False, soft_wrap=True)


def _disk(out: Console, report: CheckReport) -> None:
    disk = report.disk
    _lines(
        out, "Storage Requirements",
        [
            ("Model files", f"{amount(disk.files)} in {len(report.files)} files ({report.weight_form or 'no'} weights)"),
            ("Environment", f"{amount(disk.environment)} (less where its packages are shared)"),
            ("Together", f"{amount(disk.total)}; {amount(disk.free)} free"),
        ],
    )  # fmt: skip


def _memory(out: Console, report: CheckReport) -> None:
    memory = report.memory
    out.print("\n[bold]Memory Requirements[/]")
    sign = "about " if report.estimated else ""
    for verdict in (verdict for verdict in report.verdicts if verdict.kind == "inference"):
        parts = ", ".join(f"{name.replace('_', ' ')} {amount(size)}" for name, size in verdict.parts.items() if size)
        out.print(
            f"  {_DTYPES[verdict.dtype]:<14}{sign}{amount(verdict.memory):<10}{parts}", markup=False, soft_wrap=True
        )
    for work, figures in memory.get("traced", {}).items():
        out.print(f"  {_second_opinion(work, figures)}", markup=False, soft_wrap=True)
    for correction in memory.get("learned", {}).items():
        out.print(f"  {_WORKS[correction[0]]} corrected {correction[1]}", markup=False, soft_wrap=True)
    out.print(f"  for {memory['context']:,} tokens of conversation, {memory['batch']} at a time", style="dim")


def _second_opinion(work: str, figures: dict[str, Any]) -> str:
    """What the tracer counted beside what was planned for the same: tensors alone."""
    if trouble := figures.get("trouble"):
        return f"{_WORKS[work]} cannot be traced: {trouble}"
    return (
        f"{_WORKS[work]} in fp32, tensors alone: traced {amount(figures['peak'])}, planned {amount(figures['planned'])}"
    )


def _capabilities(out: Console, report: CheckReport) -> None:
    able = report.capabilities
    yes = [
        name for name, has in (
            ("chat template", able.chat_template), ("system prompt", able.system_prompt), ("tool calls", able.tool_calls),
            ("reasoning", able.reasoning), ("streaming", able.streaming),
        ) if has
    ]  # fmt: skip
    _lines(
        out, "Model Capabilities",
        [
            ("In → out", f"{', '.join(able.inputs) or 'nothing'} → {', '.join(able.outputs)}"),
            ("Has", ", ".join(yes)),
            ("Context", f"{able.max_context:,} tokens" if able.max_context else ""),
            ("Chat template", f"cannot be used: {able.template_trouble}" if able.template_trouble else ""),
        ],
    )  # fmt: skip


def _requirements(out: Console, report: CheckReport) -> None:
    needs = report.requirements

    def listed(packages: list[Requirement]) -> str:
        return ", ".join(f"{one.package} ({one.note})" if one.note else one.package for one in packages)

    _lines(
        out, "Special Requirements",
        [
            ("Base", listed(needs.base)),
            ("Architecture-specific", listed(needs.specific)),
            ("Optional", listed(needs.optional)),
            ("Formats", ", ".join(needs.formats)),
            ("Quantized by", needs.quantization),
            ("Code of its own", ", ".join(needs.custom_code)),
            ("Safety", "; ".join(f"{found.what} ({found.where})" for found in report.safety if found.level == "note")),
        ],
    )  # fmt: skip


def _hardware(out: Console, report: CheckReport) -> None:
    whose = "The Hardware Described" if report.hardware.described else "Your Hardware"
    _lines(out, f"Hardware Compatibility Check: {whose}", hardware_lines(report.hardware))
    _table(
        out, "Compatibility Analysis", ("Quantization", "Memory", "Can Run?", "Device", "Notes"),
        [
            (
                _DTYPES[verdict.dtype], amount(verdict.memory), "yes" if verdict.can_run else "no",
                _DEVICES[verdict.device], verdict.notes,
            )
            for verdict in report.verdicts if verdict.kind == "inference"
        ],
    )  # fmt: skip
    training = [verdict for verdict in report.verdicts if verdict.kind == "training"]
    if training:
        _table(
            out, f"Training Compatibility (rows of {report.memory['length']:,} tokens, rank {report.memory['rank']})",
            ("Method", "Memory", "CPU", "GPU", "Device", "Max batch", "Max row"),
            [
                (
                    f"{_METHODS[verdict.method]} {_DTYPES[verdict.dtype].split(' ')[0]}", amount(verdict.memory),
                    "yes" if verdict.fits_cpu else "no", "yes" if verdict.fits_gpu else "no", _DEVICES[verdict.device],
                    f"{verdict.batch:,}" if verdict.batch else "–", f"{verdict.longest:,}" if verdict.longest else "–",
                )
                for verdict in training
            ],
        )  # fmt: skip


def _table(out: Console, title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != "Notes")
    for row in rows:
        table.add_row(*row)
    out.print()
    out.print(table)
