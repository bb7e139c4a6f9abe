"""What finalists are measured by, and measuring them (TUN-1, EVA-4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lorasmith.core import settings
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.facts import PREFERENCES, DataFacts
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.evaluation._base import Metric
from lorasmith.evaluation._libraries import need
from lorasmith.evaluation.choose import suitable
from lorasmith.evaluation.encoder import choose_encoder
from lorasmith.evaluation.judges import get_judge
from lorasmith.evaluation.metrics import METRICS, metrics_of
from lorasmith.evaluation.report import EvaluationReport, FigureKind
from lorasmith.evaluation.spec import EvaluateJob, EvaluateSpec
from lorasmith.families import FAMILIES
from lorasmith.families._lessons import lesson_for
from lorasmith.hub.recognise import recognise_folder
from lorasmith.training.spec import DATA_FILE, WorkerSpec
from lorasmith.tuning.spec import COMBINED, TuneSpec

_LOOKED_AT = 200


class Score(NamedTuple):
    """What decides between finalists."""

    figure: str
    """Its name among an evaluation's figures."""
    title: str
    metrics: tuple[str, ...]
    judge: str
    higher_is_better: bool
    is_share: bool = True
    note: str = ""
    """Why it is another one than the combined score."""

    @property
    def kind(self) -> FigureKind:
        return FigureKind(title=self.title, higher_is_better=self.higher_is_better, is_share=self.is_share)


def choose_score(spec: TuneSpec, start: WorkerSpec) -> Score:
    """The combined score where its parts can be had, or what suits the right answers. Before anything is trained.

    Raises NotFoundProblem for an unknown metric or judge, EnvironmentProblem where what was asked for cannot be had.
    """
    judge = "" if spec.no_judge else spec.judge or _usual_judge()
    if judge:
        get_judge(judge)
    if start.plan.objective in PREFERENCES or start.plan.objective == "pretrain":
        raise UsageProblem(
            f"A search is for answers, not for --objective {start.plan.objective}", why="There is no right answer to measure by.",
            fix="Give prompts with their answers.",
        )  # fmt: skip
    if spec.metric not in ("auto", COMBINED):
        metrics = metrics_of(spec.metric)
        if len(metrics) != 1:
            raise UsageProblem(
                f"--metric '{spec.metric}' is not one metric", fix=f"One of: {', '.join(METRICS.names())}."
            )
        return _of(metrics[0], judge)
    if start.lesson:
        return _of(METRICS.get(_main_metric(start)), "")
    wanted = right_answers(start)
    try:
        choose_encoder(spec.bertscore_model, spec.bertscore_layers, wanted)
        need("bert_score")
    except EnvironmentProblem as problem:
        if spec.metric == COMBINED or spec.bertscore_model:
            raise
        return _without_bertscore(judge, wanted, problem)
    if not judge:
        return Score("bertscore", "BERTScore F1", ("bertscore",), "", higher_is_better=True)
    return Score(COMBINED, "combined score", ("bertscore", "judge"), judge, higher_is_better=True)


def _main_metric(start: WorkerSpec) -> str:
    """What a model that learns from more than tokens is measured by. Raises UsageProblem where there is nothing."""
    lessons = FAMILIES.get(start.family).lessons(recognise_folder(start.model_folder))
    lesson = lesson_for(lessons, start.lesson)
    if lesson is None or not lesson.metrics:
        raise UsageProblem(
            "A search needs something to measure answers by", why=f"For {start.lesson} there is no metric yet.",
            fix="Train with parameters of your own choice, and compare what is drawn.",
        )  # fmt: skip
    return lesson.metrics[0]


def _usual_judge() -> str:
    """The judge of the settings, where there is but one."""
    names = list(settings.load().judges)
    return names[0] if len(names) == 1 else ""


def _of(metric: Metric, judge: str) -> Score:
    return Score(
        metric.figure or metric.name, metric.title, (metric.name,), judge,
        higher_is_better=metric.higher_is_better, is_share=metric.is_share,
    )  # fmt: skip


def _without_bertscore(judge: str, wanted: Sequence[str], problem: EnvironmentProblem) -> Score:
    found = [name for name in suitable(wanted) if METRICS.get(name).needs_answers]
    chosen = METRICS.get("judge" if judge else found[-1])
    note = f"{chosen.title} decides: {problem.what}. {problem.fix}"
    return _of(chosen, judge)._replace(note=note)


def right_answers(start: WorkerSpec) -> list[str]:
    """The first right answers of the prepared rows."""
    encoder = load_tokenizer(start.model_folder).encoder
    with pa.memory_map(str(start.run_folder / DATA_FILE)) as file, pa.ipc.open_stream(file) as reader:
        batch = next(iter(reader)).slice(0, _LOOKED_AT)
    ids, edges = batch.column("ids").to_pylist(), batch.column("spans").to_pylist()
    return [encoder.decode(row[spans[-2] : spans[-1]]) for row, spans in zip(ids, edges, strict=True) if spans]


def measuring(
    spec: TuneSpec, score: Score, start: WorkerSpec, adapters: Mapping[str, Path], folder: Path
) -> EvaluateJob:
    """How base and adapters answer held-out rows, and what is made of it."""
    facts = DataFacts(**start.data_facts)
    asked = EvaluateSpec(
        model=spec.model, data=spec.data, metrics=",".join(dict.fromkeys((*score.metrics, "exact_match", "perplexity"))),
        bertscore_model=spec.bertscore_model, bertscore_layers=spec.bertscore_layers, judge=score.judge,
        judge_rows=spec.judge_rows, bertscore_weight=spec.bertscore_weight, judge_weight=spec.judge_weight,
        no_probe=True, sample=spec.rows, seed=spec.seed,
    )  # fmt: skip
    return EvaluateJob(
        spec=asked, model_folder=start.model_folder, model_id=start.model_id, family=start.family,
        precision=start.plan.precision, device=start.plan.device, adapters=dict(adapters), template=start.template,
        lesson=start.lesson, changes=start.changes, data_path=start.run_folder / DATA_FILE, max_length=start.plan.max_length,
        max_new_tokens=facts.max_answer_tokens + 32, events=folder / "events.jsonl", answers_path=folder / "answers.json",
    )  # fmt: skip


def told(number: int, params: Mapping[str, object], name: str, report: EvaluationReport, rows_judged: int) -> list[str]:
    """The lines that a log has of a measured trial (EVA-4)."""
    own = report.scores[name]
    first = next(iter(report.kinds)) if "bertscore" not in own else "bertscore"
    shown = "BERTScore" if first == "bertscore" else report.kinds[first].title
    lines = [f"Trial {number}: params={dict(params)}, {shown}={own[first].value:.4f}"]
    if "judge" in own:
        lines.append(f"LLM judge mean {own['judge'].value:.2f} (on {rows_judged} examples)")
    if COMBINED in own and "judge" in own:
        lines.append(
            f"Detailed: BERTScore={own['bertscore'].value:.4f}, LLM judge={own['judge'].value:.2f}, "
            f"combined={own[COMBINED].value:.4f}"
        )
    return lines
