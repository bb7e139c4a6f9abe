"""An evaluation as one self-contained HTML page: how much better, by which figures, what was forgotten, what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lorasmith.evaluation.drawn import pictures_html
from lorasmith.evaluation.metrics.clip_score import PICTURES, RIGHT
from lorasmith.evaluation.report import BASE, EvaluationReport, Figure, FigureKind
from lorasmith.training.answers import answers_html, text
from lorasmith.training.page_style import document

_BAR = 440
_SHOWN = 20
_EMPTY = "<td></td>"
_WHOLE = 1000


class HasShare(Protocol):
    """What says of a figure whether it is told in percent."""

    @property
    def is_share(self) -> bool: ...


def shown(value: float, kind: HasShare) -> str:
    """A figure as people read it."""
    if kind.is_share:
        return f"{100 * value:.1f} %"
    if abs(value) < _WHOLE:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) < 1e5 else f"{value:.1e}"


def interval(low: float, high: float, kind: HasShare) -> str:
    """Two figures with their unit once."""
    return f"{shown(low, kind).removesuffix(' %')} … {shown(high, kind)}"


def verdict(report: EvaluationReport, name: str) -> str:
    """One sentence on an adapter's main figure beside the base's; clearly: the interval of the difference leaves out 0."""
    kind, base, own = report.kinds[report.main], report.scores[BASE][report.main], report.scores[name][report.main]
    change = f"{kind.title} {shown(base.value, kind)} → {shown(own.value, kind)} on {report.rows:,} rows"
    if own.difference is None or own.difference_low is None or own.difference_high is None:
        return f"{name}: {change}."
    if own.difference_low <= 0 <= own.difference_high:
        return f"{name} is not clearly better or worse than the base: {change}."
    better = (own.difference > 0) == kind.higher_is_better
    return f"{name} is clearly {'better' if better else 'worse'} than the base: {change}."


def page(report: EvaluationReport) -> str:
    """The whole page. Nothing of the data or of the answers can become a part of its code."""
    data = text(Path(report.data).name)
    adapters = [name for name in report.scores if name != BASE]
    said = "".join(f'<p class="verdict">{text(verdict(report, name))}</p>' for name in adapters)
    head = f"<h1>{text(report.model_id)} <small>measured on</small> {data}</h1>{said}"
    head += "".join(f'<p class="soft">{text(note)}</p>' for note in report.notes)
    return document(
        f"{text(report.model_id)} on {data}",
        head
        + _main(report)
        + _figures(report)
        + _forgetting(report)
        + _drawn(report)
        + "".join(_worse(report, name) for name in adapters),
    )


def _main(report: EvaluationReport) -> str:
    """The main figure of each model with its interval, on one scale."""
    kind = report.kinds[report.main]
    figures = {name: scores[report.main] for name, scores in report.scores.items() if report.main in scores}
    low, high = min(0.0, *(one.low for one in figures.values())), max(one.high for one in figures.values())
    width = max(high, 1.0 if kind.is_share else high) - low or 1.0

    def at(value: float) -> float:
        return 110 + _BAR * (value - low) / width

    lines: list[str] = []
    for number, (name, one) in enumerate(figures.items()):
        y = 20 + 30 * number
        colour = "var(--soft)" if name == BASE else "var(--accent)"
        lines.append(
            f'<text x="0" y="{y + 4}" class="strong">{text(name[:16])}</text>'
            f'<line x1="{at(one.low):.1f}" x2="{at(one.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{at(one.value):.1f}" cy="{y}" r="5" fill="{colour}"/>'
            f'<text x="{_BAR + 130}" y="{y + 4}">{shown(one.value, kind)}'
            f" ({interval(one.low, one.high, kind)})</text>"
        )
    lines.append(f'<line class="grid" x1="{at(low):.1f}" x2="{at(low):.1f}" y1="4" y2="{12 + 30 * len(figures)}"/>')
    return (
        f'<section class="card"><h2>{text(kind.title)}</h2><div class="wide large">'
        f'<svg viewBox="0 0 760 {16 + 30 * len(figures)}" role="img" aria-label="{text(kind.title)} by model">'
        f"{''.join(lines)}</svg>"
        "</div></section>"
    )


def _figures(report: EvaluationReport) -> str:
    adapters = [name for name in report.scores if name != BASE]
    head = "<th>figure</th><th class=n>base</th>" + "".join(
        f"<th class=n>{text(name)}</th><th class=n>difference</th>" for name in adapters
    )
    rows = "".join(
        f"<tr><th>{text(kind.title)}</th>"
        + _row(kind, {name: scores[figure] for name, scores in report.scores.items() if figure in scores}, adapters)
        for figure, kind in report.kinds.items()
    )
    return (
        f'<section class="card"><h2>All figures</h2>{_table(head, rows)}'
        '<p class="soft small">Small: 95 % intervals by bootstrap over rows; differences are paired, row by row.</p></section>'
    )


def _table(head: str, rows: str) -> str:
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(kind: FigureKind, models: Mapping[str, Figure], adapters: Sequence[str]) -> str:
    """The cells of one figure: the base's, then each adapter's with its difference."""
    cells = [_own(models.get(BASE), kind)]
    for name in adapters:
        one = models.get(name)
        cells += [_own(one, kind), _difference(one, kind)]
    return "".join(cells) + "</tr>"


def _own(one: Figure | None, kind: FigureKind) -> str:
    return _cell(shown(one.value, kind), one.low, one.high, kind) if one else _EMPTY


def _cell(value: str, low: float, high: float, kind: FigureKind) -> str:
    return f'<td class=n>{value}<br><span class="soft small">{interval(low, high, kind)}</span></td>'


def _difference(one: Figure | None, kind: FigureKind) -> str:
    if one is None or one.difference is None or one.difference_low is None or one.difference_high is None:
        return _EMPTY
    clear = not one.difference_low <= 0 <= one.difference_high
    tone = ("good" if (one.difference > 0) == kind.higher_is_better else "bad") if clear else "soft"
    value = f'<span class="{tone}">{"+" if one.difference > 0 else ""}{shown(one.difference, kind)}</span>'
    return _cell(value, one.difference_low, one.difference_high, kind)


def has_forgotten(one: Figure) -> bool:
    """Whether the answers to general questions have become clearly less likely."""
    return one.difference_low is not None and one.difference_low > 0


def _forgetting(report: EvaluationReport) -> str:
    adapters = [name for name in report.forgetting if name != BASE]
    if not adapters:
        return ""
    kind = FigureKind(title="perplexity", higher_is_better=False, is_share=False)
    head = "<th></th><th class=n>base</th>" + "".join(
        f"<th class=n>{text(name)}</th><th class=n>difference</th>" for name in adapters
    )
    lost = [name for name in adapters if has_forgotten(report.forgetting[name])]
    said = "<p class='soft'>Nothing that could be told: answers to general questions are as likely as before, or likelier.</p>"
    if lost:
        said = f"<p class='warn'>Less sure of general answers than the base: {text(', '.join(lost))}.</p>"
    rows = f"<tr><th>perplexity of 24 general answers</th>{_row(kind, report.forgetting, adapters)}"
    return f'<section class="card"><h2>What was forgotten</h2>{said}{_table(head, rows)}</section>'


def _worse(report: EvaluationReport, name: str) -> str:
    rows = report.rows_that_got_worse[name]
    title = f"<h2>{text(name)}: rows that got worse</h2>"
    if not rows:
        return f'<section class="card">{title}<p class="good">None.</p></section>'
    samples = [
        {"prompt": row["prompt"], "wanted": row["wanted"], BASE: row["base"], name: row["tuned"]}
        for row in rows[:_SHOWN]
    ]
    more = (
        f" Of {len(rows)} the first {_SHOWN} are shown; evaluation.json holds the others." if len(rows) > _SHOWN else ""
    )
    note = f'<p class="soft">The worst first, by {text(report.kinds[report.main].title)}, then by likelihood.{more}</p>'
    if report.drawn:
        pictures = [(one["wanted"], {side: one[side] for side in (BASE, name)}) for one in samples]
        return f'<section class="card">{title}{note}{pictures_html(Path(report.folder), pictures)}</section>'
    return f'<section class="card">{title}{note}{answers_html(samples, (BASE, name))}</section>'


def _drawn(report: EvaluationReport) -> str:
    """The first rows' pictures: the held-out one, and what each model drew."""
    if not report.drawn:
        return ""
    rows = [
        (said, {name: f"{PICTURES}/{name}/{number}.png" for name in (RIGHT, *report.scores)})
        for number, said in enumerate(report.drawn)
    ]
    return f'<section class="card"><h2>Drawn</h2>{pictures_html(Path(report.folder), rows)}</section>'
