"""How results look in a terminal: tables, samples, evaluations. It computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith.core.events import Decision, Event, Progress, Step, Warn
from lorasmith.core.facts import PREFERENCES
from lorasmith.core.progress import Display, amount, duration
from lorasmith.training.page import STOP_SENTENCES
from lorasmith.training.verdict import verdict

if TYPE_CHECKING:  # what reads data is slow to import, and not every verb reads some
    from lorasmith.core.facts import DataFacts, ModelFacts
    from lorasmith.evaluation.report import EvaluationReport, Figure
    from lorasmith.flow import InstalledModel, InstallResult, PlanListener
    from lorasmith.plan.choose import TrainPlan
    from lorasmith.training.report import TrainReport

_SHARES = {"exact_match"}


def plan_shown(out: Console) -> PlanListener:
    """A listener that shows a plan as soon as it is made."""
    return partial(plan_table, out)


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
        elif isinstance(event, Decision) and self.evaluations:
            self.out.print("\n".join(event.lines), markup=False)
        elif isinstance(event, Warn):
            self.out.print(f"[yellow]Warning:[/] {event.message}")


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


def plan_table(out: Console, model: ModelFacts, data: DataFacts, plan: TrainPlan, folder: Path) -> None:
    """What will be done and why, in one table before the start."""
    where = "GPU" if plan.device == "cuda" else "CPU"
    out.print(
        f"[bold]{model.id}[/]  {model.model_type}, {model.num_parameters / 1e6:,.1f}M parameters · "
        f"[bold]{data.num_train:,}[/] rows to learn from, {data.num_validation:,} held out ({data.format}) · {where}"
    )
    if data.num_bad_rows:
        out.print(f"[yellow]{data.num_bad_rows} unusable rows are left out.[/]")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("parameter", "value", "why"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    values = plan.model_dump()
    for name, reason in plan.reasons.items():
        shown = values[name]
        text = f"{shown:g}" if isinstance(shown, float) else str(shown)
        table.add_row(name.replace("_", " "), text, Text(reason, style="dim" if reason != "given" else "cyan"))
    out.print(table)
    out.print(
        f"planned peak memory {amount(plan.predicted_peak_bytes)} · everything goes to {folder}\n", soft_wrap=True
    )


def train_summary(out: Console, report: TrainReport, folder: Path) -> None:
    out.print(
        f"\n[bold]{STOP_SENTENCES[report.stop_reason]}[/]  {report.steps} steps in {duration(report.duration_hours * 3600)}, "
        f"{report.supervised_tokens_per_second:,.0f} answer tokens/s, peak {amount(report.peak_memory_bytes)} "
        f"(planned {amount(report.predicted_peak_bytes)})"
    )
    if report.comparison:
        base, tuned = report.comparison["base"], report.comparison["tuned"]
        if report.objective in PREFERENCES:
            out.print(verdict(report), highlight=False)
        else:
            out.print(
                f"On {report.comparison['rows']} held-out rows: loss {base['val_loss']:.3f} → [bold]{tuned['val_loss']:.3f}[/], "
                f"exact answers {base['exact_match']:.0%} → [bold]{tuned['exact_match']:.0%}[/]"
            )
    out.print(f"adapter  {folder / 'lora'}\nreport   {folder / 'training_report.html'}", soft_wrap=True)


def evaluation_table(out: Console, report: EvaluationReport) -> None:
    """Every model's figures with their intervals, and how adapters differ from the base."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in (f"{report.rows} rows", "metric", "value", "interval", "vs base", "interval"):
        table.add_column(
            column, justify="left" if column in (f"{report.rows} rows", "metric") else "right", no_wrap=True
        )
    for name, figures in report.scores.items():
        for number, (metric, figure) in enumerate(figures.items()):
            table.add_row(Text("" if number else name, style="bold"), metric.replace("_", " "), *_cells(metric, figure))
    out.print(table)
    out.print("[dim]intervals: 95 %, by bootstrap over the rows[/]")


def _cells(metric: str, figure: Figure) -> tuple[str, str, str, str]:
    def shown(value: float) -> str:
        if metric in _SHARES:
            return f"{100 * value:.0f} %"
        return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.1e}"

    own = shown(figure.value), f"{shown(figure.low)} … {shown(figure.high)}"
    if figure.difference is None or figure.difference_low is None or figure.difference_high is None:
        return *own, "", ""
    sign = "+" if figure.difference > 0 else ""
    return *own, sign + shown(figure.difference), f"{shown(figure.difference_low)} … {shown(figure.difference_high)}"
