"""From an evaluation as asked for to its figures: read the rows, let base and adapters answer, score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core import paths, settings
from lorasmith.core.errors import DataProblem
from lorasmith.core.events import Listener
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges, common_changes
from lorasmith.core.specs import make_spec
from lorasmith.data.load import open_source
from lorasmith.data.prepare import prepare
from lorasmith.data.samples import lesson_plan, prepare_samples
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.env.folder import python_for
from lorasmith.evaluation.choose import chosen
from lorasmith.evaluation.encoder import choose_clip
from lorasmith.evaluation.judges import get_judge
from lorasmith.evaluation.metrics import AUTO, metrics_of
from lorasmith.evaluation.report import EvaluationReport, measure
from lorasmith.evaluation.spec import EvaluateJob, EvaluateSpec
from lorasmith.hub.bases import require_base
from lorasmith.hub.locate import locate_adapter, template_of
from lorasmith.hub.recognise import know_model
from lorasmith.plan.hardware import where_to_run
from lorasmith.runners.local import Worker, run

_SPEC_FILE, _DATA_FILE, _PROBE_FILE, _EVENTS_FILE = "spec.json", "data.arrow", "probe.arrow", "events.jsonl"
PROBE = Path(__file__).parent / "probe.jsonl"
"""General questions with short answers, of our own."""


def evaluate(
    model: str | EvaluateSpec, data: str | Path = "", *, on_event: Listener = lambda _: None, **options: Any
) -> EvaluationReport:
    """Measure the base and any adapters on the same rows and the same prompts. `options` are EvaluateSpec's fields."""
    spec = model if isinstance(model, EvaluateSpec) else make_spec(EvaluateSpec, model=model, data=str(data), **options)
    if spec.metrics != AUTO:
        metrics_of(spec.metrics)  # an unknown one is told before the model is loaded
    if spec.judge:
        get_judge(spec.judge)
    if any(metric.needs_pictures for metric in chosen(spec, ())):
        choose_clip(spec.clip_model)
    facts = know_model(spec.model)
    python = python_for(facts.local_folder)
    adapters = {_adapter_name(name): locate_adapter(name) for name in spec.adapter}
    for folder in adapters.values():
        require_base(folder, facts)
    last = list(adapters.values())[-1] if adapters else None
    template = template_of(last, spec.template)
    source = open_source(Path(spec.data), columns=spec.columns, skip_bad_rows=spec.skip_bad_rows)
    if source.format.name == "text":
        raise DataProblem(f"'{spec.data}' holds texts without answers", fix="Give questions with their right answers.")
    folder = _evaluation_folder(spec, facts, last)
    paths.make_folder(folder)
    data_path, probe_path = folder / _DATA_FILE, folder / _PROBE_FILE
    try:
        is_probed = False
        if (plan := lesson_plan(facts, source)) is not None:
            given = common_changes(adapters.values()) if adapters else None
            data_facts, changes = prepare_samples(
                source, plan, facts.local_folder, data_path, eval_fraction=0, seed=spec.seed, changes=given
            )
        else:
            tokenizer, changes = load_tokenizer(facts.local_folder, template=template), ModelChanges()
            data_facts = prepare(source, tokenizer, data_path, objective="sft", eval_fraction=0, seed=spec.seed)
            is_probed = not spec.no_probe
            if is_probed:
                prepare(open_source(PROBE), tokenizer, probe_path, objective="sft", eval_fraction=0, seed=spec.seed)
        job = EvaluateJob(
            spec=spec, model_folder=facts.local_folder, model_id=facts.id, family=facts.family, adapters=adapters,
            template=template, data_path=data_path, probe_path=probe_path if is_probed else None,
            lesson=source.format.name if plan else "", changes=changes,
            max_length=facts.max_positions,
            max_new_tokens=spec.max_new_tokens or data_facts.max_answer_tokens + 32,
            events=folder / _EVENTS_FILE, answers_path=folder / "answers.json", **where_to_run(spec.device),
        )  # fmt: skip
        paths.write_text(folder / _SPEC_FILE, job.model_dump_json(indent=2) + "\n")
        worker = Worker(
            "evaluate", folder / _SPEC_FILE, folder / _EVENTS_FILE, folder / "worker.log", python=python,
            needs=facts.seldom_needed,
        )  # fmt: skip
        run(worker, on_event)
    finally:
        data_path.unlink(missing_ok=True)
        probe_path.unlink(missing_ok=True)
    return measure(job, folder, on_event).report(folder)


def _adapter_name(name: str) -> str:
    folder = Path(name)
    parent = folder.absolute().parent.name if folder.name == "lora" else folder.name
    return paths.safe_name(parent).replace(".", "_")


def _evaluation_folder(spec: EvaluateSpec, facts: ModelFacts, last: Path | None) -> Path:
    if spec.output:
        return Path(spec.output).expanduser().absolute()
    beside = last.parent if last else settings.load().logs_dir
    return paths.free_folder(
        beside / "evaluations" / paths.safe_name(f"{facts.id}-{Path(spec.data).name.split('.')[0]}")
    )
