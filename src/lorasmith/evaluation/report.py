"""An evaluation's figures: each model's scores with intervals, the difference from the base, the rows that got worse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.core.events import Listener
from lorasmith.evaluation._base import Answered, How, Metric, Parts
from lorasmith.evaluation.choose import chosen, suitable
from lorasmith.evaluation.combine import Combined
from lorasmith.evaluation.metrics import METRICS
from lorasmith.evaluation.score import Score, difference, score
from lorasmith.evaluation.spec import EvaluateJob, EvaluateSpec

BASE = "base"
_MOST_WORSE = 50
_MOST_DRAWN = 12
_Measured = dict[str, list[Parts | None]]


class Figure(BaseModel):
    """One figure of one model: value and 95 % interval, and how it differs from the base on the same rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class FigureKind(BaseModel):
    """What a figure is: how it is shown, and which way is better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    higher_is_better: bool
    is_share: bool
    is_main: bool = True
    """Whether it is its metric's main figure."""


class EvaluationReport(BaseModel):
    """`evaluation.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    data: str
    rows: int
    main: str
    """The figure that rows are compared by."""
    kinds: dict[str, FigureKind]
    """Of each figure, in the order in which they are told."""
    scores: dict[str, dict[str, Figure]]
    """By model ("base" or an adapter's name), then by figure."""
    forgetting: dict[str, Figure]
    """Perplexity of general questions' answers, by model: an adapter for which it is higher has forgotten something."""
    rows_that_got_worse: dict[str, list[dict[str, Any]]]
    """By adapter, the worst first: prompt, wanted, both answers, both values of the main figure, nats a token more."""
    notes: list[str] = []
    """What a reader of the figures has to know: how the judge fared, for one."""
    drawn: tuple[str, ...] = ()
    """Where answers are names of pictures below the folder: the texts of the first of them."""
    folder: str


@dataclass(frozen=True)
class Measured:
    """Answers with every metric's parts of them, from which figures are made."""

    job: EvaluateJob
    columns: dict[str, list[Answered]]
    parts: list[tuple[Metric, _Measured]]
    probe: dict[str, list[dict[str, float]]]
    notes: list[str]
    are_pictures: bool = False
    """Whether answers are names of pictures below the folder."""

    def report(self, folder: Path) -> EvaluationReport:
        """The figures, written to `folder` as evaluation.json and report.html."""
        from lorasmith.evaluation.page import page

        columns, seed = self.columns, self.job.spec.seed
        kinds, scores = _figures(self.parts, seed=seed)
        main, parts = next((pair for pair in self.parts if pair[0].needs_answers), self.parts[0])
        report = EvaluationReport(
            model_id=self.job.model_id, data=self.job.spec.data, rows=len(columns[BASE]),
            main=_main_figure(main, parts[BASE]), kinds=kinds, scores=scores,
            forgetting=_forgetting(self.probe, seed=seed) if any(self.probe.values()) else {},
            rows_that_got_worse={
                name: _worse(main, [*zip(columns[BASE], parts[BASE], strict=True)], [*zip(rows, parts[name], strict=True)])
                for name, rows in columns.items()
                if name != BASE
            },
            notes=self.notes, drawn=tuple(row.wanted for row in columns[BASE][:_MOST_DRAWN]) if self.are_pictures else (),
            folder=str(folder),
        )  # fmt: skip
        paths.write_json(folder / "evaluation.json", report.model_dump(mode="json", exclude={"folder"}))
        paths.write_text(folder / "report.html", page(report))
        return report

    def between(self, figure: str, one: str, other: str) -> Score | None:
        """How much higher `figure` is of the model `other` than of `one`, paired by rows; None where no row tells."""
        for metric, parts in self.parts:
            apart = difference(metric, parts[one], parts[other], seed=self.job.spec.seed)
            if figure in apart:
                return apart[figure]
        return None


def measure(job: EvaluateJob, folder: Path, on_event: Listener = lambda _: None) -> Measured:
    """What the metrics make of the answers that the worker left in `job.answers_path`; they may write in `folder`.

    Raises NotFoundProblem for an unknown metric, EnvironmentProblem where a metric lacks what it needs.
    """
    content = json.loads(job.answers_path.read_text(encoding="utf-8"))
    columns = {
        name: [
            Answered(prompt=prompt, wanted=wanted, **row)
            for prompt, wanted, row in zip(content["prompts"], content["wanted"], rows, strict=True)
        ]
        for name, rows in content["columns"].items()
    }
    spec = job.spec
    how = How(
        folder=folder, seed=spec.seed, encoder=spec.bertscore_model, encoder_layers=spec.bertscore_layers,
        clip_model=spec.clip_model, judge=spec.judge, judge_rows=spec.judge_rows, on_event=on_event,
    )  # fmt: skip
    own = content.get("metrics") or suitable(content["wanted"])
    measured = [(metric, metric.measured(columns, how)) for metric in chosen(spec, own)]
    return Measured(
        job, columns, [*_combined(spec, measured), *measured], content["probe"], how.notes,
        are_pictures=bool(content.get("are_pictures")),
    )  # fmt: skip


def _combined(spec: EvaluateSpec, measured: Sequence[tuple[Metric, _Measured]]) -> list[tuple[Metric, _Measured]]:
    """The combined score, where BERTScore was measured (EVA-4)."""
    by_name = {metric.name: parts for metric, parts in measured}
    if "bertscore" not in by_name or "judge" not in by_name:
        return []
    combined = Combined(spec.bertscore_weight, spec.judge_weight)
    judged = by_name["judge"]
    return [(combined, {name: combined.joined(parts, judged[name]) for name, parts in by_name["bertscore"].items()})]


def _figures(
    measured: Sequence[tuple[Metric, _Measured]], *, seed: int
) -> tuple[dict[str, FigureKind], dict[str, dict[str, Figure]]]:
    kinds: dict[str, FigureKind] = {}
    scores: dict[str, dict[str, Figure]] = {}
    for metric, columns in measured:
        for name, parts in columns.items():
            own = score(metric, parts, seed=seed)
            apart = {} if name == BASE else difference(metric, columns[BASE], parts, seed=seed)
            for number, (figure, value) in enumerate(own.items()):
                kinds[figure] = FigureKind(
                    title=_title(figure) if number else metric.title, higher_is_better=metric.higher_is_better,
                    is_share=metric.is_share, is_main=not number,
                )  # fmt: skip
                scores.setdefault(name, {})[figure] = _figure(value, apart.get(figure))
    return kinds, scores


def _main_figure(metric: Metric, parts: Sequence[Parts | None]) -> str:
    return next(iter(metric.total([one for one in parts if one is not None])))


def _title(figure: str) -> str:
    words = (
        figure.replace("_", " ")
        .replace("bertscore", "BERTScore")
        .replace("clip ", "CLIP ")
        .replace("json", "JSON")
        .replace("ap ", "AP")
        .replace("rouge ", "ROUGE-")
        .replace("judge ", "judge: ")
    )
    return words[:1].upper() + words[1:]


def _figure(own: Score, against: Score | None) -> Figure:
    if against is None:
        return Figure(value=own.value, low=own.low, high=own.high)
    return Figure(
        value=own.value, low=own.low, high=own.high, difference=against.value, difference_low=against.low,
        difference_high=against.high,
    )  # fmt: skip


def _forgetting(probed: Mapping[str, Sequence[Mapping[str, float]]], *, seed: int) -> dict[str, Figure]:
    perplexity = METRICS.get("perplexity")
    parts: _Measured = {name: [(row["nll"], row["tokens"]) for row in rows] for name, rows in probed.items()}
    _, scores = _figures([(perplexity, parts)], seed=seed)
    return {name: figures[perplexity.name] for name, figures in scores.items()}


_Rows = Sequence[tuple[Answered, Parts | None]]


def _worse(metric: Metric, base: _Rows, tuned: _Rows) -> list[dict[str, Any]]:
    """Rows of which the main figure, or else the wanted answer's likelihood, got worse: the worst first, fifty at most."""
    sign = 1 if metric.higher_is_better else -1
    found: list[tuple[float, float, dict[str, Any]]] = []
    for (before, was), (after, now) in zip(base, tuned, strict=True):
        first, second = (next(iter(metric.total([parts]).values())) if parts else None for parts in (was, now))
        lost = sign * (first - second) if first is not None and second is not None else 0.0
        nats = after.nll / after.tokens - before.nll / before.tokens
        if lost > 0 or (lost == 0 and nats > 0):
            row = {
                "prompt": after.prompt, "wanted": after.wanted, "base": before.answer, "tuned": after.answer,
                "base_value": first, "tuned_value": second, "nats_per_token": round(nats, 4),
            }  # fmt: skip
            found.append((lost, nats, row))
    return [row for _, _, row in sorted(found, key=lambda one: one[:2], reverse=True)[:_MOST_WORSE]]
