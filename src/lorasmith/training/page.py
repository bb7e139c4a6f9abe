"""The training report as one self-contained HTML page: curves, decisions, data, parameters, answers. No script, no request."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from lorasmith.core.facts import DataFacts
from lorasmith.core.progress import amount, duration
from lorasmith.training.autolearn import Evaluation, best
from lorasmith.training.spec import WorkerSpec

if TYPE_CHECKING:
    from lorasmith.training.report import TrainReport

STOP_SENTENCES = {
    "completed": "It ran to its planned end.",
    "early_stopping_patience": "It stopped early: the validation loss no longer fell.",
    "moderate_overfitting": "It stopped early: it began to learn the training rows by heart.",
    "severe_overfitting": "It stopped early: it was learning the training rows by heart.",
    "diverged": "It stopped because the loss rose out of bounds.",
    "stopped_by_user": "It was stopped by hand.",
    "time_limit": "It stopped at its time limit.",
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 260, 52, 28

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfd;--card:#fff;--ink:#1c1b22;--soft:#6b6878;--line:#e6e4ee;--accent:#5b4bd6;
--second:#c2570c;--good:#18794e}
@media(prefers-color-scheme:dark){:root{--bg:#131218;--card:#1c1b23;--ink:#eceaf4;--soft:#9d99ad;--line:#2e2c39;
--accent:#a79bff;--second:#f0a36b;--good:#5fd39b}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 ui-sans-serif,system-ui,sans-serif}
main{max-width:820px;margin:0 auto;padding:32px 20px 64px}h1{font-size:28px;line-height:1.2;margin:0 0 4px}
h2{font-size:16px;margin:0 0 12px}p{margin:0 0 12px;color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin-top:16px;overflow-x:auto}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:16px}
.figures b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}.figures span{color:var(--soft);font-size:12px}
table{border-collapse:collapse;width:100%}td,th{padding:6px 12px 6px 0;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
tr:first-child>*{border-top:0}th{font-weight:500;color:var(--soft);white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:12px/1.5 ui-monospace,monospace}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));gap:12px;margin-top:8px}
.pair div{border:1px solid var(--line);border-radius:8px;padding:10px}.tag{font-size:12px;color:var(--soft)}
.ok{color:var(--good)}svg{display:block;width:100%;height:auto;font:11px ui-sans-serif,system-ui,sans-serif}
.key{font-size:12px;color:var(--soft)}.key i{display:inline-block;width:14px;height:3px;border-radius:2px;margin:0 6px 3px 14px}
"""


def page(spec: WorkerSpec, facts: DataFacts, report: TrainReport) -> str:
    """The whole page."""
    title = escape(f"{spec.model_id} on {spec.spec.data.rsplit('/', 1)[-1]}")
    sections = [_figures(report), _curves(report.evaluations), _samples(report), _data(facts), _parameters(spec)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{STOP_SENTENCES[report.stop_reason]} {escape(report.training_completed)}</p>{''.join(sections)}"
        "</main></body></html>\n"
    )


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{body}</section>' if body else ""


def _figure(value: str, label: str) -> str:
    return f"<div><b>{value}</b><span>{label}</span></div>"


def _figures(report: TrainReport) -> str:
    figures: list[str] = []
    if report.comparison:
        base, tuned = report.comparison["base"], report.comparison["tuned"]
        rows = report.comparison["rows"]
        figures.append(
            _figure(
                f"{base['exact_match']:.0%} → {tuned['exact_match']:.0%}",
                f"exact answers, {rows} held-out rows, base → tuned",
            )
        )
        figures.append(_figure(f"{base['val_loss']:.3f} → {tuned['val_loss']:.3f}", "validation loss, base → tuned"))
    figures.append(_figure(duration(report.duration_hours * 3600), f"{report.steps} steps"))
    figures.append(_figure(f"{report.supervised_tokens_per_second:,.0f}", "answer tokens a second"))
    figures.append(
        _figure(amount(report.peak_memory_bytes), f"peak memory, planned {amount(report.predicted_peak_bytes)}")
    )
    return f'<section class="card figures">{"".join(figures)}</section>'


def _curves(history: Sequence[Evaluation]) -> str:
    if len(history) < 2:
        return ""
    highest = max(max(point.train_loss, point.val_loss) for point in history) * 1.05 or 1.0
    last = history[-1].step

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - 12) * step / last
        return x, 8 + (_HEIGHT - _BOTTOM - 8) * (1 - value / highest)

    def line(values: list[tuple[int, float]], colour: str) -> str:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(step, value) for step, value in values))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'

    grid = "".join(_grid_line(place(0, highest * part / 4)[1], highest * part / 4) for part in range(5))
    ticks = "".join(
        f'<text x="{place(step, 0)[0]:.1f}" y="{_HEIGHT - 8}" text-anchor="middle" fill="var(--soft)">{step}</text>'
        for step in sorted({round(last * part / 4) for part in range(5)})
    )
    leader = best(list(history))
    x, y = place(leader.step, leader.val_loss)
    mark = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="var(--accent)"><title>best: step {leader.step}</title></circle>'
    )
    chart = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Training and validation loss by step">{grid}{ticks}'
        + line([(point.step, point.train_loss) for point in history], "var(--second)")
        + line([(point.step, point.val_loss) for point in history], "var(--accent)")
        + mark
        + "</svg>"
    )
    key = (
        '<div class="key"><i style="background:var(--second)"></i>training<i style="background:var(--accent)"></i>'
        f"validation, best {leader.val_loss:.4f} at step {leader.step}</div>"
    )
    return _card("Loss by step", chart + key + _decisions(history))


def _grid_line(y: float, value: float) -> str:
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="var(--soft)">{value:.2f}</text>'
    )


def _decisions(history: Sequence[Evaluation]) -> str:
    rows = "".join(
        f'<tr><td class="n">{point.number}</td><td class="n">{point.step}</td><td class="n">{point.train_loss:.4f}</td>'
        f'<td class="n">{point.val_loss:.4f}</td><td class="n">{point.exact_match:.0%}</td></tr>'
        for point in history
    )
    head = "<tr><th>Evaluation</th><th>Step</th><th>Train loss</th><th>Validation loss</th><th>Exact answers</th></tr>"
    return f'<details style="margin-top:12px"><summary>All evaluations</summary><table>{head}{rows}</table></details>'


def _samples(report: TrainReport) -> str:
    blocks: list[str] = []
    for sample in report.samples:
        right = sample["after"].strip() == sample["wanted"].strip()
        verdict = '<span class="ok">✓ as wanted</span>' if right else "differs from what was wanted"
        wanted = f'<div><span class="tag">wanted</span><pre>{escape(sample["wanted"])}</pre></div>'
        blocks.append(
            f"<pre>{escape(sample['prompt'])}</pre>"
            f'<div class="pair"><div><span class="tag">before</span><pre>{escape(sample["before"])}</pre></div>'
            f'<div><span class="tag">after · {verdict}</span><pre>{escape(sample["after"])}</pre></div>'
            f"{'' if right else wanted}</div>"
        )
    return _card(
        "Held-out rows, before and after",
        '<hr style="border:0;border-top:1px solid var(--line);margin:16px 0">'.join(blocks),
    )


def _data(facts: DataFacts) -> str:
    rows = {
        "Format": facts.format,
        "Rows": f"{facts.num_train:,} to learn from, {facts.num_validation:,} held out, {facts.num_bad_rows:,} left out as unusable",
        "Tokens": f"{facts.num_tokens:,}, of which {facts.num_supervised_tokens:,} are learnt",
        "Row length": f"{facts.length_p50:,} tokens in the middle, {facts.length_p995:,} at 99.5 %, {facts.length_max:,} at most",
    }
    return _card(
        "Data",
        "<table>"
        + "".join(f"<tr><th>{key}</th><td>{escape(text)}</td></tr>" for key, text in rows.items())
        + "</table>",
    )


def _parameters(spec: WorkerSpec) -> str:
    plan = spec.plan.model_dump()
    rows = "".join(
        f'<tr><th>{name.replace("_", " ")}</th><td class="n">{escape(_shown(plan[name]))}</td><td>{escape(reason)}</td></tr>'
        for name, reason in spec.plan.reasons.items()
        if name in plan
    )
    return _card("Parameters and their reasons", f"<table>{rows}</table>")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
