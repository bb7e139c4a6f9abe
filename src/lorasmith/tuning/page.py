"""A search as one self-contained HTML page: the verdict, how trials fared, what mattered, every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from lorasmith.evaluation.page import interval, shown
from lorasmith.training.answers import text
from lorasmith.training.charts import Chart, Line
from lorasmith.training.page_style import document
from lorasmith.tuning.report import TrialRow, TuneReport
from lorasmith.tuning.rungs import RUNGS, UNITS

_BAR = 420
_LINE = 26


def page(report: TuneReport) -> str:
    """The whole page. Nothing of the data can become a part of its code."""
    data = text(Path(report.data).name)
    head = (
        f"<h1>{text(report.model_id)} <small>tuned on</small> {data}</h1>"
        f'<p class="verdict">{text(report.verdict)}</p>'
        + "".join(f'<p class="soft">{text(one)}</p>' for one in report.notes)
    )
    body = _best(report) + _history(report) + _curves(report) + _importance(report) + _trials(report)
    return document(f"{text(report.model_id)} tuned on {data}", head + body)


def _best(report: TuneReport) -> str:
    figures = "".join(
        f"<div><span>{text(_named(name))}</span><b>{text(_value(value))}</b></div>"
        for name, value in report.best_params.items()
    )
    note = f'<p class="soft small">{text(report.note)}</p>' if report.note else ""
    return f'<section class="card"><h2>Best parameters</h2><div class="figures">{figures}</div>{note}</section>'


def _named(name: str) -> str:
    return name.replace("_", " ").replace("lora ", "")


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _history(report: TuneReport) -> str:
    """Every trial's loss at the first rung, and the lowest so far."""
    points = [(float(row.number), row.losses[min(row.losses)]) for row in report.trials if row.losses]
    lowest: list[tuple[float, float]] = []
    for number, loss in points:
        lowest.append((number, min(loss, lowest[-1][1] if lowest else loss)))
    chart = Chart(
        [Line(points, "var(--soft)", is_faint=True, has_dots=True), Line(lowest, "var(--accent)")],
        "Validation loss of each trial at the first comparison, and the lowest so far",
    ).svg()
    return _card(
        "Trials in their order", chart,
        f"Validation loss after {RUNGS[0]}/{UNITS} of the rows, by trial; the line is the lowest so far.",
    )  # fmt: skip


def _curves(report: TuneReport) -> str:
    """How the losses fell: the best trial, the automatic choice, all others."""
    lines: list[Line] = []
    for row in sorted(report.trials, key=lambda row: (row.number == report.best, row.is_automatic)):
        points = [(float(units), loss) for units, loss in row.losses.items()]
        is_best = row.number == report.best
        colour = "var(--accent)" if is_best else "var(--second)" if row.is_automatic else "var(--soft)"
        lines.append(Line(points, colour, is_faint=not (is_best or row.is_automatic), has_dots=len(points) < 2))
    key = (
        '<div class="key"><span><i style="background:var(--accent)"></i>best trial</span>'
        '<span><i style="background:var(--second)"></i>automatic choice</span>'
        '<span><i style="background:var(--soft)"></i>others, as far as they were trained</span></div>'
    )
    chart = Chart(lines, "Validation loss by share of the rows").svg()
    return _card("How they learnt", key + chart if chart else "", f"Validation loss by {UNITS}ths of the rows.")


def _importance(report: TuneReport) -> str:
    if not report.importances:
        return ""
    most = max(report.importances.values()) or 1.0
    bars = "".join(
        f'<text x="0" y="{_LINE * row + 17}" class="strong">{text(_named(name))}</text>'
        f'<rect x="130" y="{_LINE * row + 6}" width="{_BAR * share / most:.1f}" height="14" rx="3" fill="var(--accent)"/>'
        f'<text x="{138 + _BAR * share / most:.1f}" y="{_LINE * row + 17}">{100 * share:.0f} %</text>'
        for row, (name, share) in enumerate(sorted(report.importances.items(), key=lambda one: -one[1]))
    )
    height = _LINE * len(report.importances) + 8
    chart = f'<svg viewBox="0 0 760 {height}" role="img" aria-label="Importance of each parameter">{bars}</svg>'
    note = "Each parameter's share in the differences between trials (PED-ANOVA). Of few trials: a hint."
    return _card("What mattered", chart, note)


def _card(title: str, chart: str, note: str) -> str:
    if not chart:
        return ""
    return (
        f'<section class="card"><h2>{title}</h2><div class="wide large">{chart}</div>'
        f'<p class="soft small">{text(note)}</p></section>'
    )


def _trials(report: TuneReport) -> str:
    names = [
        name for name in report.best_params if len({row.params.get(name) for row in report.trials if row.params}) > 1
    ]
    head = "<th>trial</th><th class=n>" + text(report.kind.title) + "</th><th class=n>loss</th>"
    head += "".join(f"<th class=n>{text(_named(name))}</th>" for name in names) + "<th>outcome</th>"
    ranked = sorted(report.trials, key=lambda row: (row.number != report.best, *_rank(row)))
    rows = "".join(_trial(report, row, names) for row in ranked)
    return (
        '<section class="card"><h2>All trials</h2><div class="wide"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _rank(row: TrialRow) -> tuple[bool, int, float]:
    """Those that were measured first, then those that came furthest, then by loss."""
    return row.value is None, -max(row.losses, default=0), min(row.losses.values(), default=math.inf)


def _trial(report: TuneReport, row: TrialRow, names: list[str]) -> str:
    score = report.scores.get(row.number)
    value = shown(score.value, report.kind) if score else "" if row.value is None else f"{row.value:.4g}"
    small = f'<br><span class="soft small">{interval(score.low, score.high, report.kind)}</span>' if score else ""
    loss = f"{min(row.losses.values()):.4g}" if row.losses else ""
    cells = "".join(
        f"<td class=n>{text(_value(row.params[name])) if name in row.params else ''}</td>" for name in names
    )
    title = f"{row.number}{' automatic' if row.is_automatic else ''}"
    return (
        f"<tr{' class=best' if row.number == report.best else ''}><th>{title}</th><td class=n>{value}{small}</td>"
        f"<td class=n>{loss}</td>{cells}<td class=w>{text(row.reason or row.outcome)}</td></tr>"
    )


def described(params: Mapping[str, object], automatic: Mapping[str, object]) -> str:
    """In one line, what of a trial's parameters is not as it would be chosen automatically; all of the automatic choice."""
    apart = {name: value for name, value in params.items() if value != automatic.get(name)}
    return " · ".join(f"{_named(name)} {_value(value)}" for name, value in (apart or params).items())
