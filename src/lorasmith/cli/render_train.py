"""How a training looks in a terminal: the plan before it, the summary after it. It computes nothing."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith.core.progress import amount, count, duration
from lorasmith.training.spec import SPEC_FILE
from lorasmith.training.verdict import STOP_SENTENCES, command_to_use, off, shown, verdict

if TYPE_CHECKING:  # what reads data is slow to import, and not every verb reads some
    from lorasmith.core.facts import DataFacts, ModelFacts
    from lorasmith.flow import PlanListener, TrainResult
    from lorasmith.plan.choose import TrainPlan
    from lorasmith.training.report import TrainReport

_LONGEST_VALUE = 24
_CLAUSE_END = re.compile(r"[;:,] | \(")
_NAME_WIDTH = 9


def plan_shown(out: Console) -> PlanListener:
    """A listener that shows a plan as soon as it is made."""
    return partial(plan_table, out)


def plan_table(out: Console, model: ModelFacts, data: DataFacts, plan: TrainPlan, folder: Path) -> None:
    """What will be done and why, in one table before the start."""
    where = "GPU" if plan.device == "cuda" else "CPU"
    out.print(
        Text.assemble((model.id, "bold"), f"  {model.model_type}, {count(model.num_parameters)} parameters · {where}")
    )
    out.print(
        Text.assemble(
            (f"{data.num_train:,}", "bold"), f" rows to learn from, {data.num_validation:,} held out · {data.format}"
        )
    )
    if data.num_bad_rows:
        out.print(f"[yellow]{data.num_bad_rows} unusable rows are left out.[/]")
    names = {name: name.replace("_", " ") for name in plan.reasons if name != "predicted_peak_bytes"}
    values = {name: shown(getattr(plan, name)) for name in names}
    taken = max(map(len, names.values())) + min(_LONGEST_VALUE, max(map(len, values.values()))) + 4
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    table.add_column("value", justify="right", max_width=_LONGEST_VALUE, overflow="fold")
    table.add_column("why", overflow="fold")
    for name, title in names.items():
        reason = plan.reasons[name]
        style = "cyan" if reason == "given" else "dim"
        table.add_row(title, values[name], Text(clause(reason, out.width - taken), style=style))
    out.print()
    out.print(table)
    out.print(f"\nplanned  {amount(plan.predicted_peak_bytes)} of memory at most", markup=False)
    out.print(f"goes to  {folder}\n", soft_wrap=True, markup=False)


def clause(reason: str, width: int) -> str:
    """As many clauses of `reason` as fit on one line; all of it where not even the first does. The report has it whole."""
    if len(reason) <= width:
        return reason
    ends = [match.start() for match in _CLAUSE_END.finditer(reason) if match.start() <= width - 2]
    return f"{reason[: ends[-1]]} …" if ends else reason


def train_summary(out: Console, result: TrainResult) -> None:
    """How it went, whether it was worth it, what it took, and where what was trained lies."""
    report = result.report
    took = duration(report.duration_hours * 3600)
    speed = f"{report.supervised_tokens_per_second:,.0f} {report.unit}/s learnt"
    sentence = (STOP_SENTENCES[report.stop_reason], "bold")
    out.print()
    out.print(Text.assemble(sentence, f" {report.steps:,} steps in {took}, {speed}."))
    out.print(Text(verdict(report)))
    out.print()
    spec = json.loads((result.folder / SPEC_FILE).read_text(encoding="utf-8"))["spec"]
    for name, text in (
        *_predictions(report),
        ("model" if report.method == "full" else "adapter", str(result.adapter.path)),
        ("report", str(result.folder / "training_report.html")),
        ("try it", command_to_use(spec["model"], report, str(result.folder))),
    ):
        out.print(Text.assemble((f"{name:<{_NAME_WIDTH}}", "dim"), text), soft_wrap=True)


def _predictions(report: TrainReport) -> list[tuple[str, str]]:
    """What was measured beside what was predicted."""
    peak, planned = report.peak_memory_bytes, report.predicted_peak_bytes
    lines = [("memory", f"{amount(peak)} at most, {amount(planned)} planned ({off(planned, peak)})")]
    took, expected = report.course_seconds, report.expected_seconds
    if took and expected:
        lines.append(("time", f"{duration(took)} of training, {duration(expected)} foretold ({off(expected, took)})"))
    if report.energy_joules is not None:
        lines.append(("energy", f"{report.energy_joules / 3600:.3g} Wh of the {report.energy_of}"))
    return lines
