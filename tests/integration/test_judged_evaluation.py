"""A judge inside an evaluation: whose answer it marks stays hidden, what fails is left out and told, and the two scores become one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_bertscore import ENCODER, LAYERS
from tests.integration.test_judging import Seen, Told, judging, says

from lorasmith.core import settings
from lorasmith.core.errors import UsageProblem
from lorasmith.evaluation._base import Answered, How
from lorasmith.evaluation.metrics import METRICS
from lorasmith.evaluation.report import measure
from lorasmith.evaluation.spec import EvaluateJob, EvaluateSpec

ROWS = 10


def row(number: int, answer: str) -> Answered:
    return Answered(prompt=f"Question {number}?", wanted=f"right {number}", answer=answer, nll=1.0, tokens=2)


COLUMNS = {
    "base": [row(number, f"wrong {number}") for number in range(ROWS)],
    "tuned": [row(number, f"right {number}") for number in range(ROWS)],
}


def marks(seen: Seen) -> Told:
    """20 for wrong answers, 80 for right ones; prose for the right answer to question 3."""
    answer = re.split(r"ANSWER TO BE MARKED:", seen.text)[1]
    value = 80 if "right" in answer else 20
    if "right 3" in answer:
        return says("I would rather not say.")
    return says(json.dumps({"reason": "so", "correctness": value, "completeness": value, "style": value}))


def register(url: str) -> None:
    settings.config_path().parent.mkdir(parents=True, exist_ok=True)
    settings.config_path().write_text(f"judges:\n  ours:\n    kind: openai\n    base_url: {url}/v1\n    model: m\n")


def test_what_fails_is_left_out_and_told(tmp_path: Path) -> None:
    """EVA-3: nine of the tuned model's ten rows are marked; the tenth has no score, and is counted."""
    how = How(folder=tmp_path, judge="ours", judge_rows=ROWS)
    with judging(marks) as server:
        register(server.url)
        found = METRICS.get("judge").measured(COLUMNS, how)
    assert found["base"] == [(20, 20, 20, 20)] * ROWS
    assert found["tuned"] == [(80, 80, 80, 80) if number != 3 else None for number in range(ROWS)]
    assert any("1 of 20 judgements failed (5 %)" in note for note in how.notes)
    assert "tuned: LLM judge mean 80.00 (on 9 examples)" in how.notes
    asked = "\n".join(seen.text for seen in server.seen)
    assert not re.search(r"\b(base|tuned|adapter)\b", asked)


def test_the_same_rows_of_every_model_are_drawn(tmp_path: Path) -> None:
    """EVA-1, EVA-3"""
    with judging(marks) as server:
        register(server.url)
        found = METRICS.get("judge").measured(COLUMNS, How(folder=tmp_path, judge="ours", judge_rows=4, seed=3))
    judged = {
        name: [number for number, parts in enumerate(rows) if parts or number == 3] for name, rows in found.items()
    }
    assert {number for number in judged["base"] if number != 3} == {number for number in judged["tuned"] if number != 3}
    assert len([parts for parts in found["base"] if parts]) == 4


def test_the_report_combines_both_scores(tmp_path: Path) -> None:
    """EVA-4: by default 0.4 of BERTScore's F1 and 0.6 of the judge, here one of each; in JSON and on the page."""
    with judging(marks) as server:
        register(server.url)
        job = _job(tmp_path, metrics="exact_match", bertscore_weight=0.5, judge_weight=0.5)
        report = measure(job, tmp_path).report(tmp_path)
    scores = report.scores
    for name, mark in (("base", 20), ("tuned", 80)):
        assert scores[name]["judge"].value == mark
        wanted = (scores[name]["bertscore"].value + mark / 100) / 2
        assert scores[name]["combined"].value == pytest.approx(wanted)
    gain = scores["tuned"]["combined"].value - scores["base"]["combined"].value
    assert scores["tuned"]["combined"].difference == pytest.approx(gain)
    assert report.main == "combined"
    page = (tmp_path / "report.html").read_text()
    assert "LLM judge mean 80.00 (on 9 examples)" in page
    assert "tuned is clearly better than the base: Combined score" in page


def _job(folder: Path, **asked: Any) -> EvaluateJob:
    content = {
        "prompts": [row.prompt for row in COLUMNS["base"]], "wanted": [row.wanted for row in COLUMNS["base"]], "probe": {},
        "columns": {
            name: [{"answer": row.answer, "nll": row.nll, "tokens": row.tokens} for row in rows] for name, rows in COLUMNS.items()
        },
    }  # fmt: skip
    (folder / "answers.json").write_text(json.dumps(content))
    spec = EvaluateSpec(
        model="m", data="data.jsonl", judge="ours", bertscore_model=str(ENCODER), bertscore_layers=LAYERS, **asked
    )
    return EvaluateJob(
        spec=spec, model_folder=folder, model_id="m", family="language", precision="float32", device="cpu", adapters={},
        template="", data_path=folder, max_length=1, max_new_tokens=1, events=folder / "e", answers_path=folder / "answers.json",
    )  # fmt: skip


def test_an_unknown_judge_is_told_before_anything_runs(lorasmith: Any, sums: Path, tmp_path: Path) -> None:
    """EVA-3: with those that there are."""
    done = lorasmith("evaluate", "demo", "--data", str(sums), "--judge", "nobody", code=2)
    assert "There is no judge 'nobody'" in done.stderr
    assert "gigachat" in done.stderr
    with pytest.raises(UsageProblem, match="--judge ID"):
        METRICS.get("judge").measured(COLUMNS, How(folder=tmp_path))
