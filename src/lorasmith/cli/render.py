"""How results look in a terminal: tables, samples, evaluations. It computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith.core.events import Decision, Event, Progress, Step, Warn
from lorasmith.core.progress import Display, amount
from lorasmith.training.verdict import STOP_SENTENCES

if TYPE_CHECKING:  # what reads data is slow to import, and not every verb reads some
    from lorasmith.evaluation.report import EvaluationReport, Figure, FigureKind
    from lorasmith.flow import InstalledModel, InstallResult

_AT_EVALUATIONS = {"continue", *STOP_SENTENCES}  # what they decide; every other decision changes the run


class Watch:
    """A listener that shows a run's events as they come. Use as a context."""

    def __init__(self, out: Console, *, evaluations: bool = True):
        self.out = out
        self.evaluations = evaluations
        self.display = Display(out)

    def __enter__(self) -> Watch:
        self.display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.display.__exit__(None, None, None)

    def asking(self, ask: Callable[[], bool]) -> bool:
        """The answer to a question that is asked while no bar moves."""
        self.display.__exit__(None, None, None)
        try:
            return ask()
        finally:
            self.display.__enter__()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.display.show(event)
        elif isinstance(event, Step):
            self.display.over(event.title)
            self.out.print(
                Text.assemble((f"{event.title:<12}" if event.title else "", "bold"), event.note), soft_wrap=True
            )
        elif isinstance(event, Decision) and event.name not in _AT_EVALUATIONS:
            said = " ".join(event.lines) or event.reason
            self.out.print(Text.assemble((f"{'changed':<12}", "bold yellow"), said), soft_wrap=True)
        elif isinstance(event, Decision) and self.evaluations:
            self.out.print("\n".join(event.lines), markup=False)
        elif isinstance(event, Warn):
            self.out.print(Text.assemble(("Warning: ", "yellow"), event.message))


def install_summary(out: Console, result: InstallResult) -> None:
    """Where it is, what it takes, and what to do with it."""
    folder, info = result
    out.print(
        f"\n[bold]Installed.[/]  {amount(info.model_bytes)} of model, {amount(info.environment_bytes)} of environment beyond "
        f"what others have, in {folder}",
        soft_wrap=True,
    )
    out.print(f"train  {folder / 'train.sh'} --data FILE\nstart  {folder / 'start.sh'}", soft_wrap=True)


def models_table(out: Console, models: list[InstalledModel]) -> None:
    """One line a model; beneath it what is wrong with it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("name", "family", "size", "environment", "dtype", "adapters", "last used", "health"):
        table.add_column(column, justify="right" if column in {"size", "environment", "adapters"} else "left")
    for model in models:
        used = model.last_used.astimezone().strftime("%Y-%m-%d %H:%M") if model.last_used else "never"
        dtype = model.dtype if model.quantization == "none" else f"{model.dtype}, {model.quantization}"
        health = Text("sound", style="green") if model.is_healthy else Text("damaged", style="red")
        table.add_row(
            Text(model.name, style="bold"), model.family, amount(model.model_bytes), amount(model.environment_bytes), dtype,
            str(len(model.adapters)), used, health,
        )  # fmt: skip
    out.print(table)
    for model in models:
        for trouble in model.troubles:
            out.print(f"{model.name}: {trouble}", style="yellow", markup=False, soft_wrap=True)


def evaluation_table(out: Console, report: EvaluationReport) -> None:
    """Every model's figures with their intervals, how adapters differ from the base, and whether they have forgotten."""
    from lorasmith.evaluation.page import has_forgotten, verdict

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in (f"{report.rows} rows", "figure", "value", "interval", "vs base", "interval"):
        table.add_column(
            column, justify="left" if column in (f"{report.rows} rows", "figure") else "right", no_wrap=True
        )
    for name, figures in report.scores.items():
        mains = [(report.kinds[figure], one) for figure, one in figures.items() if report.kinds[figure].is_main]
        for number, (kind, one) in enumerate(mains):
            table.add_row(Text("" if number else name, style="bold"), kind.title, *_cells(kind, one))
    out.print(table)
    out.print("[dim]intervals: 95 %, by bootstrap over the rows[/]")
    for name in list(report.scores)[1:]:
        out.print(verdict(report, name), soft_wrap=True, markup=False)
    for note in report.notes:
        out.print(note, soft_wrap=True, markup=False)
    for name, one in report.forgetting.items():
        if has_forgotten(one):
            before = report.forgetting["base"].value
            said = f"{name} may have forgotten: perplexity of general answers {before:.3g} → {one.value:.3g}."
            out.print(said, style="yellow", markup=False)


def _cells(kind: FigureKind, one: Figure) -> tuple[str, str, str, str]:
    from lorasmith.evaluation.page import interval, shown

    own = shown(one.value, kind), interval(one.low, one.high, kind)
    if one.difference is None or one.difference_low is None or one.difference_high is None:
        return *own, "", ""
    sign = "+" if one.difference > 0 else ""
    apart = interval(one.difference_low, one.difference_high, kind)
    return *own, sign + shown(one.difference, kind), apart
