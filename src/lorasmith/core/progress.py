"""Progress of long work: a live bar in a terminal, a line now and then when piped (QLT-2). It decides nothing."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from lorasmith.core.events import Progress

LINE_EVERY_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def amount(size: float) -> str:
    """Bytes in the largest fitting decimal unit: `6.9 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count(number: int) -> str:
    """A number of things as people say it: `8.03B`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _far(event: Progress, *, with_unit: bool = False) -> str:
    """How far it is: `3/7 rows`, `12.5 MB of 2.2 GB`."""
    if event.unit == "bytes":
        return f"{amount(event.done)} of {amount(event.total)}" if event.total else amount(event.done)
    unit = f" {event.unit}" if with_unit else ""
    return (
        f"{event.done}/{event.total}{unit}"
        if event.total
        else (f"{event.done:,}{unit}" if event.done or with_unit else "")
    )


def _facts(event: Progress) -> str:
    parts = [event.note]
    if event.rate and event.unit == "bytes":
        parts.append(f"{amount(event.rate)}/s")
    elif event.rate:
        parts.append(
            f"{event.rate:.1f} {event.unit}/s"
            if event.rate >= 1
            else f"{1 / event.rate:.1f} s/{event.unit.rstrip('s')}"
        )
    if event.seconds_left is not None and event.done < event.total:
        parts.append(f"{duration(event.seconds_left)} left")
    return "  ".join(part for part in parts if part)


class Display:
    """Shows Progress events on `console`. Use as a context; text printed meanwhile goes above the bar."""

    def __init__(self, console: Console):
        self.console = console
        self._bar: RichProgress | None = None
        self._tasks: dict[str, int] = {}
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description:<10}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[far]}"),
                TextColumn("[dim]{task.fields[facts]}"),
                console=self.console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, event: Progress) -> None:
        if self._bar:
            self._show_bar(self._bar, event)
        else:
            self._show_line(event)

    def over(self, stage: str) -> None:
        """Take the bar of a stage of unknown length away."""
        if self._bar and stage in self._tasks:
            self._bar.remove_task(self._tasks.pop(stage))  # type: ignore[arg-type]

    def _show_bar(self, bar: RichProgress, event: Progress) -> None:
        if event.stage not in self._tasks:
            self._tasks[event.stage] = bar.add_task(event.stage, total=event.total or None, facts="", far="")
        task = self._tasks[event.stage]
        far = _far(event)
        bar.update(task, completed=event.done, total=event.total or None, facts=_facts(event), far=far)  # type: ignore[arg-type]
        if event.total and event.done >= event.total:
            bar.remove_task(self._tasks.pop(event.stage))  # type: ignore[arg-type]

    def _show_line(self, event: Progress) -> None:
        now = time.monotonic()
        last = self._last_line.get(event.stage)
        over = 0 < event.total <= event.done
        if last is None and not event.milestone and (not event.total or event.unit == "bytes"):
            self._last_line[event.stage] = now  # short work of unknown length says nothing, and no bytes are no news
        elif event.milestone or last is None or now - last >= LINE_EVERY_SECONDS or over:
            self._last_line[event.stage] = now
            share = f" ({100 * event.done // event.total} %)" if event.total else ""
            far = f"{_far(event, with_unit=True)}{share}"
            self.console.print(
                f"{event.stage} {far} {_facts(event)}".rstrip(),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
