"""The training report as one self-contained HTML page: verdict, curves, decisions, answers, data, parameters. No script, no request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lorasmith.core.facts import DataFacts
from lorasmith.core.progress import amount, duration
from lorasmith.plan.hardware import HardwareFacts, hardware_lines
from lorasmith.training.answers import answers_html, is_as_wanted, text
from lorasmith.training.autolearn import Evaluation, best, gap, tells_right
from lorasmith.training.charts import Chart, Flag, Line
from lorasmith.training.page_style import document
from lorasmith.training.spec import WorkerSpec
from lorasmith.training.verdict import (
    STOP_SENTENCES,
    command_again,
    command_to_use,
    compared_shares,
    off,
    percent,
    preference_figures,
    right_answers,
    shown,
    verdict,
)

if TYPE_CHECKING:
    from lorasmith.training.report import DecisionMade, TrainReport

_TURNS = {"less_memory": "less memory", "turned_back": "turned back", "unpacked": "padded"}
_WATT_HOUR = 3600.0


class Made(NamedTuple):
    """What a training was made with and on."""

    machine: HardwareFacts
    versions: dict[str, str]


def page(spec: WorkerSpec, facts: DataFacts, report: TrainReport, made: Made) -> str:
    """The whole page. Nothing of the data, of the answers or of a file's name can become a part of its code."""
    data = text(spec.spec.data.rstrip("/").rsplit("/", 1)[-1])
    sections = [
        _figures(report), _curves(report), _decisions(report), _samples(report), _data(spec, facts, report),
        _parameters(spec), _predicted(spec, report), _again(spec, report, made),
    ]  # fmt: skip
    when = report.training_completed.replace("T", " ")[:16]
    return document(
        f"{text(spec.model_id)} on {data}",
        f"<h1>{text(spec.model_id)} <small>on</small> {data}</h1>"
        f'<p class="verdict">{text(verdict(report))}</p>'
        f'<p class="soft">{STOP_SENTENCES[report.stop_reason]} {text(when)} · {_kind(report)}</p>{"".join(sections)}',
    )


def _kind(report: TrainReport) -> str:
    method = {"full": "all weights trained", "qlora": "adapter over a base in 4 bit"}.get(report.method, "adapter")
    variant = "" if report.method == "full" or report.variant == "lora" else f" ({report.variant})"
    return text(f"{method}{variant}, objective {report.objective}")


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{body}</section>' if body else ""


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), numbers: Sequence[int] = ()) -> str:
    """Cells are HTML. The first of each row names it; `numbers` are the columns that are aligned as such."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = [' class="n"' if column in numbers else "" for column in range(len(row))]
        tags = [tag if column or head else "th" for column in range(len(row))]
        return "".join(f"<{name}{kind}>{cell}</{name}>" for name, kind, cell in zip(tags, kinds, row, strict=True))

    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _figures(report: TrainReport) -> str:
    figures: list[tuple[str, str]] = []
    if report.comparison:
        base, tuned = report.comparison["base"], report.comparison["tuned"]
        if "val_loss" in base:
            figures.append((f"{base['val_loss']:.3f} → {tuned['val_loss']:.3f}", "validation loss, before → after"))
        else:
            figures += preference_figures(report)
        figures += [
            (f"{percent(old)} → {percent(new)}", f"{name}, before → after")
            for name, old, new in compared_shares(report)
        ]
    else:
        figures.append((f"{report.final_metrics.train_loss:.3f}", "training loss at the end"))
    planned = f"of {report.planned_steps:,} planned" if report.planned_steps > report.steps else "as planned"
    figures += [
        (f"{report.steps:,} steps", planned),
        (duration(report.duration_hours * 3600), "in all"),
        (f"{report.supervised_tokens_per_second:,.0f} /s", _pace(report)),
        (amount(report.peak_memory_bytes), f"peak memory, {amount(report.predicted_peak_bytes)} planned"),
    ]
    if report.energy_joules is not None:
        figures.append((_energy(report.energy_joules), f"energy of {report.energy_of}"))
    return f'<section class="card figures">{"".join(f"<div><b>{text(value)}</b><span>{text(label)}</span></div>" for value, label in figures)}</section>'


def _energy(joules: float) -> str:
    return f"{joules / _WATT_HOUR:.3g} Wh"


def _curves(report: TrainReport) -> str:
    curve, history = report.curve, report.evaluations
    each = list(zip(curve.steps, curve.train_loss, strict=True)) or [(one.step, one.train_loss) for one in history]
    held_out = [(one.step, one.val_loss) for one in history]
    leader = best(history) if history else None
    turns = [Flag(one.step, _TURNS[one.name]) for one in report.decisions if one.name in _TURNS]
    lines = [Line(each, "var(--second)", is_faint=True), Line(each, "var(--second)", is_smoothed=True)]
    large = Chart(
        [*lines, Line(held_out, "var(--accent)", has_dots=True)],
        "Training and validation loss by step",
        flags=turns,
        mark=((leader.step, leader.val_loss), f"best {leader.val_loss:.4f}") if leader else None,
    ).svg()
    if not large:
        return ""
    key = '<span><i style="background:var(--second)"></i>training, smoothed; faint: as it was</span>'
    if leader:
        key += '<span><i class="dot" style="background:var(--accent)"></i>validation</span>'
        key += f"<span>best: {leader.val_loss:.4f} at step {leader.step:,}</span>"
    norms = [(step, norm) for step, norm in zip(curve.steps, curve.gradient_norm, strict=True) if norm is not None]
    small = [
        ("Learning rate", list(zip(curve.steps, curve.learning_rate, strict=True)), "var(--accent)"),
        ("Gradient norm", norms, "var(--second)"),
    ]
    drawn = [(name, Chart([Line(points, colour)], f"{name} by step", 380, 150).svg()) for name, points, colour in small]
    beneath = "".join(f"<div><h3>{name}</h3>{svg}</div>" for name, svg in drawn if svg)
    body = f'<div class="key">{key}</div><div class="wide large">{large}</div>'
    return _card("Loss by step", body + (f'<div class="small-charts">{beneath}</div>' if beneath else ""))


def _pace(report: TrainReport) -> str:
    if report.unit != "tokens":
        return f"{report.unit} learnt"
    return f"tokens learnt, of {report.tokens_per_second:,.0f} read"


def _decisions(report: TrainReport) -> str:
    """Everything that was decided on the way, in order: evaluations with what they measured, and changes of course."""
    if not report.decisions:
        return ""
    by_step = {one.step: one for one in report.evaluations}
    leader = best(report.evaluations) if report.evaluations else None
    right = right_answers(report.objective) if tells_right(report.evaluations, report.objective) else ""
    rows = "".join(_decision(one, by_step.get(one.step), leader, right) for one in report.decisions)
    heads = ["Train loss", "Validation", "Gap", *([right.capitalize()] if right else [])]
    head = '<th class="n">Step</th>' + "".join(f'<th class="n">{name}</th>' for name in heads) + "<th>Decision</th>"
    return _card(
        "Decisions on the way",
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>',
    )


def _decision(made: DecisionMade, measured: Evaluation | None, leader: Evaluation | None, right: str) -> str:
    columns = 5 if right else 4
    if made.name in _TURNS or measured is None:
        said = f'<td colspan="{columns}">{"⚠ " if made.name in _TURNS else ""}{text(made.reason)}</td>'
        return f'<tr class="turn"><td class="n">{made.step:,}</td>{said}</tr>'
    numbers = [
        f"{made.step:,}", f"{measured.train_loss:.4f}", f"{measured.val_loss:.4f}", f"{100 * gap(measured):+.0f} %",
        *([f"{percent(measured.exact_match)}"] if right else []),
    ]  # fmt: skip
    said = "goes on" if made.reason == "continue" else made.reason
    is_best = leader is not None and measured.step == leader.step
    cells = "".join(f'<td class="n">{number}</td>' for number in numbers)
    return (
        f"<tr{' class=' + chr(34) + 'best' + chr(34) if is_best else ''}>{cells}"
        f"<td>{text(said)}{' · <b>best, kept</b>' if is_best else ''}</td></tr>"
    )


def _samples(report: TrainReport) -> str:
    if not report.samples:
        return ""
    right = sum(is_as_wanted(sample, "after") for sample in report.samples)
    key = (
        '<div class="key"><span><ins>equals the wanted answer</ins></span><span><mark>does not</mark></span>'
        f"<span><del>‸</del> something is missing</span><span>{right} of these {len(report.samples)} are as wanted</span></div>"
    )
    return _card("Held-out rows, before and after", key + answers_html(report.samples))


def _data(spec: WorkerSpec, facts: DataFacts, report: TrainReport) -> str:
    share = facts.num_supervised_tokens / max(1, facts.num_tokens)
    bad = f", {facts.num_bad_rows:,} left out as unusable" if facts.num_bad_rows else ""
    rows = {
        "File": spec.spec.data,
        "Format": f"{facts.format}, objective {facts.objective}",
        "Rows": f"{facts.num_train:,} to learn from, {facts.num_validation:,} held out{bad}",
        "Tokens": f"{facts.num_tokens:,}, of which {facts.num_supervised_tokens:,} are learnt ({percent(share)})",
        "Length of a row": f"{facts.length_p50:,} tokens in the middle, {facts.length_p995:,} at 99.5 %, {facts.length_max:,} at most",
        "Truncated": f"{report.answers_cut:,} answers lost their end at {spec.plan.max_length:,} tokens"
        if report.answers_cut
        else f"no answer, at {spec.plan.max_length:,} tokens",
        "SHA-256": f"{facts.sha256[:16]}…",
    }
    return _card("Data", _table((name, text(value)) for name, value in rows.items()))


def _parameters(spec: WorkerSpec) -> str:
    plan = spec.plan.model_dump()
    rows = [
        (name.replace("_", " "), text(shown(plan[name])), text(reason))
        for name, reason in spec.plan.reasons.items()
        if name in plan and name != "predicted_peak_bytes"
    ]
    return _card("Parameters and their reasons", _table(rows))


def _predicted(spec: WorkerSpec, report: TrainReport) -> str:
    planned, peak = report.predicted_peak_bytes, report.peak_memory_bytes
    rows = [("Peak memory", amount(planned), amount(peak), off(planned, peak))]
    expected, took = report.expected_seconds, report.course_seconds
    if expected and took:
        rows.append(("Time of the steps and evaluations", duration(expected), duration(took), off(expected, took)))
    note = [spec.plan.reasons.get("predicted_peak_bytes", "")]
    if report.steps < report.planned_steps and expected:
        note.append(
            f"The rehearsal foretold {duration(report.predicted_seconds)} for all {report.planned_steps:,} steps."
        )
    if report.energy_joules is not None:
        note.append(
            f"Energy: {report.energy_joules:,.0f} J ({_energy(report.energy_joules)}) by the counters of the {report.energy_of}, "
            "whoever used them meanwhile."
        )
    said = " ".join(part for part in note if part)
    table = _table(([text(cell) for cell in row] for row in rows), ("", "Predicted", "Measured", "Off by"), (1, 2, 3))
    return _card(
        "Predicted and measured",
        table + (f'<p class="soft small" style="margin:10px 0 0">{text(said)}</p>' if said else ""),
    )


def _again(spec: WorkerSpec, report: TrainReport, made: Made) -> str:
    """All that is needed to make the same once more, and to use it."""
    use = command_to_use(spec.spec.model, report, str(spec.run_folder))
    revision = f", revision {spec.model_revision}" if spec.model_revision else ""
    rows = {
        "Base": f"{spec.model_id}{revision}",
        "Seed": str(spec.spec.seed),
        "Versions": ", ".join(f"{name} {version}" for name, version in made.versions.items()),
        **dict(hardware_lines(made.machine)),
    }
    return _card(
        "Make and use it again",
        f'<h3>Use it</h3><pre class="command">{text(use)}</pre>'
        f'<h3>Train the same again</h3><pre class="command">{text(command_again(spec.spec))}</pre>'
        + _table((name, text(value)) for name, value in rows.items()),
    )
