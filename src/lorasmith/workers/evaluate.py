"""The evaluation worker: the base and each adapter answer the same prompts, greedily, in batches (EVA-1)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.events import Progress, Writer
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.env.records import is_trusted
from lorasmith.evaluation.choose import chosen
from lorasmith.evaluation.metrics import AUTO, metrics_of
from lorasmith.evaluation.metrics.clip_score import PICTURES, RIGHT
from lorasmith.evaluation.spec import EvaluateJob
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Canvas, Learning
from lorasmith.workers import lora
from lorasmith.workers.generate import answer_rows
from lorasmith.workers.measure import row_losses
from lorasmith.workers.rows import Rows
from lorasmith.workers.runtime import run_job
from lorasmith.workers.samples import learning_for, sample_losses

BASE = "base"
_BATCH_TOKENS = 8192


def evaluate(text: str, events: Writer) -> dict[str, Any]:
    """Write every model's answers and losses to `answers_path`; the control plane makes scores of them."""
    job = EvaluateJob.model_validate_json(text)
    rows = Rows(job.data_path, 0, "all", max_length=job.max_length, limit=job.spec.sample or 0)
    family = FAMILIES.get(job.family)
    base = family.load(
        job.model_folder, dtype=job.precision, device=job.device, trust_remote_code=is_trusted(job.model_folder),
        changes=job.changes,
    )  # fmt: skip
    if job.lesson:
        learning = learning_for(job.family, job.model_folder, job.lesson, base, job.changes)
        model = lora.load_adapters(family.wearer(base), job.adapters)
        found = answered_samples(job, model, rows, learning, events)
    else:
        model = lora.load_adapters(base, job.adapters)
        found = answered(job, model, rows, load_tokenizer(job.model_folder, template=job.template), events)
    paths.write_json(job.answers_path, found)
    return {"rows": len(rows)}


def answered_samples(job: EvaluateJob, model: Any, rows: Rows, learning: Learning, events: Writer) -> dict[str, Any]:
    """As `answered`, of rows that are more than tokens."""
    samples = [rows.sample(index) for index in range(len(rows))]
    columns: dict[str, list[dict[str, Any]]] = {}
    total = (1 + len(job.adapters)) * len(rows)
    pictures = job.answers_path.parent / PICTURES
    draws = any(metric.needs_pictures for metric in chosen(job.spec, learning.lesson.metrics))
    if draws:
        paths.make_folder(pictures / RIGHT)
        for number, one in enumerate(samples):
            learning.right_picture(one).save(pictures / RIGHT / f"{number}.png")
    for number, name in enumerate([BASE, *job.adapters]):
        if draws:
            paths.make_folder(pictures / name)
            learning.canvas = Canvas(pictures / name, job.spec.steps)
        with answering(model, name):
            losses = sample_losses(learning, model, rows, batch_tokens=_BATCH_TOKENS // 4, device=job.device)
            said: list[str] = []
            for answer in learning.answers(model, samples):
                said.append(f"{PICTURES}/{name}/{answer}" if draws else answer)
                done = number * len(rows) + len(said)
                events.send(Progress(stage="evaluate", done=done, total=total, unit="answers"))
        columns[name] = [
            {"answer": answer, "nll": loss.nll, "tokens": loss.tokens}
            for answer, loss in zip(said, losses, strict=True)
        ]
    return {
        "prompts": [one.shown for one in samples], "wanted": [learning.lesson.wanted(one) for one in samples],
        "columns": columns, "probe": {name: [] for name in columns}, "metrics": list(learning.lesson.metrics),
        "are_pictures": draws,
    }  # fmt: skip


def answered(job: EvaluateJob, model: Any, rows: Rows, tokenizer: Tokenizer, events: Writer) -> dict[str, Any]:
    """`prompts`, `wanted`, and by model (the base, and each of the job's adapters, which are on it) `columns` of answers with
    what the wanted ones cost, and `probe` of general questions."""
    asked = job.spec.metrics
    generates = asked == AUTO or any(metric.needs_answers for metric in metrics_of(asked))
    probe = Rows(job.probe_path, 0, "all", max_length=job.max_length) if job.probe_path else None
    probed: dict[str, list[dict[str, Any]]] = {}
    chosen = [rows[index] for index in range(len(rows))]
    prompts = [row.ids[: row.spans[-1][0]] for row in chosen]
    wanted = [tokenizer.encoder.decode(row.ids[slice(*row.spans[-1])]) for row in chosen]
    columns: dict[str, list[dict[str, Any]]] = {}
    for number, name in enumerate([BASE, *job.adapters]):
        with answering(model, name):
            losses, known = (
                row_losses(model, some, batch_tokens=_BATCH_TOKENS, pad=tokenizer.pad_id, device=job.device)
                if some
                else []
                for some in (rows, probe)
            )
            answers = [""] * len(rows)
            if generates:
                answers = answer_rows(
                    model, prompts, tokenizer, max_new_tokens=job.max_new_tokens, device=job.device,
                    on_rows=lambda done, n=number: events.send(
                        Progress(stage="evaluate", done=n * len(rows) + done,
                                 total=(1 + len(job.adapters)) * len(rows), unit="answers")
                    ),
                )  # fmt: skip
        columns[name] = [
            {"answer": answer, "nll": loss.nll, "tokens": loss.tokens}
            for answer, loss in zip(answers, losses, strict=True)
        ]
        probed[name] = [{"nll": loss.nll, "tokens": loss.tokens} for loss in known]
    texts = [tokenizer.encoder.decode(prompt) for prompt in prompts]
    return {"prompts": texts, "wanted": wanted, "columns": columns, "probe": probed}


@contextlib.contextmanager
def answering(model: Any, name: str) -> Any:
    """Within it, `model` answers as the base (every adapter off) or as the adapter `name` alone."""
    if not hasattr(model, "disable_adapter"):
        yield
    elif name == BASE:
        with model.disable_adapter():
            yield
    else:
        model.set_adapter(name)
        yield


if __name__ == "__main__":
    run_job(evaluate, lambda text: Path(json.loads(text)["events"]))
