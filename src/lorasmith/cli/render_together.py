"""How several trainings at once look in a terminal: what each is, how far all are, what became of each. It computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorasmith.cli.render import Watch
from lorasmith.core.events import Event, Progress, Step
from lorasmith.core.progress import amount, duration
from lorasmith.training.verdict import STOP_SENTENCES, shown

if TYPE_CHECKING:
    from lorasmith.flow import Run, TrainResult

_COLUMNS = ("rank", "alpha", "learning_rate", "target_modules", "dropout", "steps", "effective_batch")


def plans_table(out: Console, runs: Sequence[Run], together: int) -> None:
    """A line a run: what was chosen for it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("run", no_wrap=True)
    for name in (*_COLUMNS, "memory"):
        table.add_column(name.replace("_", " "), justify="right")
    for run in runs:
        plan = run.spec.plan
        values = [shown(getattr(plan, name)) for name in _COLUMNS]
        table.add_row(Text(run.name, style="bold"), *values, amount(plan.predicted_peak_bytes))
    out.print(table)
    said = f"{together} at a time over one base" if together > 1 else "one at a time over one base"
    out.print(f"\n{said}; each is the training that it would be alone\n", style="dim")


class WatchAll:
    """Shows the events of several runs: one bar for all, other lines with the run's name before them. Use as a context."""

    def __init__(self, out: Console, *, evaluations: bool = True):
        self._out, self._watch = out, Watch(out, evaluations=evaluations)
        self._far: dict[str, Progress] = {}
        self._num_runs = 0

    def __enter__(self) -> WatchAll:
        self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, trace)

    def planned(self, runs: Sequence[Run], together: int) -> None:
        self._num_runs = len(runs)
        plans_table(self._out, runs, together)

    def __call__(self, name: str, event: Event) -> None:
        if isinstance(event, Progress):
            if event.stage == "train":
                self._far[name] = event
                self._watch(self._all())
            return
        if isinstance(event, Step) and event.title == "rehearsed":
            return
        if name and (lines := getattr(event, "lines", None)):
            event = event.model_copy(update={"lines": [f"{name}  {lines[0]}", *lines[1:]]})
        elif name and (message := getattr(event, "message", None)):
            event = event.model_copy(update={"message": f"{name}: {message}"})
        self._watch(event)

    def _all(self) -> Progress:
        """All of them as one course."""
        far = list(self._far.values())
        done, total = sum(one.done for one in far), sum(one.total for one in far)
        total = total * max(1, self._num_runs) // len(far)  # those that have not begun are taken to be as long
        over = sum(one.done >= one.total for one in far)
        return Progress(
            stage="train", done=done, total=total, unit="steps", note=f"{over} of {self._num_runs} runs have ended"
        )


def together_summary(out: Console, results: Mapping[str, TrainResult]) -> None:
    """A line a run: how it ended, and where its adapter lies."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in ("run", "val loss", "base", "steps", "own time", "end"):
        table.add_column(column, justify="right" if column in {"val loss", "base", "steps", "own time"} else "left")
    best = min(
        (
            one.report.final_metrics.val_loss
            for one in results.values()
            if one.report.final_metrics.val_loss is not None
        ),
        default=None,
    )
    for name, result in results.items():
        report = result.report
        loss = report.final_metrics.val_loss
        base = ((report.comparison or {}).get("base") or {}).get("val_loss")
        style = "bold green" if loss is not None and loss == best else ""
        table.add_row(
            Text(name, style="bold"), Text("" if loss is None else f"{loss:.4f}", style=style),
            "" if base is None else f"{base:.4f}", f"{report.steps:,}", duration(report.train_seconds),
            STOP_SENTENCES[report.stop_reason],
        )  # fmt: skip
    out.print()
    out.print(table)
    for name, result in results.items():
        out.print(Text.assemble((f"{name}  ", "dim"), str(result.adapter.path)), soft_wrap=True)
