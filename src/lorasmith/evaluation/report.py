"""An evaluation's figures: each model's scores with intervals, the difference from the base, the rows that got worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.evaluation._base import Answered
from lorasmith.evaluation.metrics import METRICS
from lorasmith.evaluation.score import Score, difference, score
from lorasmith.evaluation.spec import EvaluateJob

BASE = "base"


class Figure(BaseModel):
    """One metric of one model: value and 95 % interval, and how it differs from the base on the same rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class EvaluationReport(BaseModel):
    """`evaluation.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    rows: int
    scores: dict[str, dict[str, Figure]]
    """By model ("base" or an adapter's name), then by metric."""
    rows_that_got_worse: dict[str, list[dict[str, Any]]]
    folder: str


def _figure(own: Score, against: Score | None) -> Figure:
    if against is None:
        return Figure(value=own.value, low=own.low, high=own.high)
    return Figure(
        value=own.value, low=own.low, high=own.high, difference=against.value, difference_low=against.low,
        difference_high=against.high,
    )  # fmt: skip


def write_report(job: EvaluateJob, folder: Path) -> EvaluationReport:
    """Scores of the answers that the worker left in `job.answers_path`, written to `folder/evaluation.json`."""
    content = json.loads(job.answers_path.read_text(encoding="utf-8"))
    columns = {
        name: [
            Answered(prompt=prompt, wanted=wanted, **row)
            for prompt, wanted, row in zip(content["prompts"], content["wanted"], rows, strict=True)
        ]
        for name, rows in content["columns"].items()
    }
    metrics = [METRICS.get(name.strip()) for name in job.spec.metrics.split(",")]
    seed = job.spec.seed
    scores = {
        name: {
            metric.name: _figure(
                score(metric, rows, seed=seed),
                None if name == BASE else difference(metric, columns[BASE], rows, seed=seed),
            )
            for metric in metrics
        }
        for name, rows in columns.items()
    }
    report = EvaluationReport(
        model_id=job.model_id,
        rows=len(content["wanted"]),
        scores=scores,
        rows_that_got_worse={name: _worse(columns[BASE], rows) for name, rows in columns.items() if name != BASE},
        folder=str(folder),
    )
    paths.write_json(folder / "evaluation.json", report.model_dump(mode="json", exclude={"folder"}))
    return report


def _worse(base: list[Answered], tuned: list[Answered]) -> list[dict[str, Any]]:
    """Rows whose wanted answer became less likely, the worst first."""
    losses = [
        (after.nll / after.tokens - before.nll / before.tokens, before, after)
        for before, after in zip(base, tuned, strict=True)
    ]
    worst = sorted((row for row in losses if row[0] > 0), key=lambda row: -row[0])[:20]
    return [
        {"prompt": after.prompt, "wanted": after.wanted, "base": before.answer, "tuned": after.answer,
         "nats_per_token": round(change, 4)}
        for change, before, after in worst
    ]  # fmt: skip
