"""The tracer's word on memory beside the plan's: a worker runs the model's own code on tensors without contents."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core.evidence import Config
from lorasmith.core.facts import ModelFacts
from lorasmith.plan.memory import InferenceNeed, Training, TrainingNeed, inference_bytes, training_bytes
from lorasmith.runners.local import Worker, require_training_libraries, run

DTYPE = "float32"


class TraceJob(BaseModel):
    """What the tracing worker is given: a folder with a configuration, and how much at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    family: str
    batch: int
    context: int
    length: int
    rank: int
    supervised: float
    events: Path


def traced(config: Config, facts: ModelFacts, **how: Any) -> dict[str, dict[str, Any]]:
    """For answering and for LoRA training in fp32 the live bytes that the tracer counts and those that the plan expects, or why
    this model cannot be traced. What libraries hold and what the allocator wastes is in neither.

    `how` are the fields of TraceJob that say how much at a time. Raises EnvironmentProblem without the training libraries.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        job = TraceJob(folder=folder, family=facts.family, events=folder / "events.jsonl", **how)
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        require_training_libraries()
        worker = Worker("trace", folder / "job.json", job.events, folder / "worker.log")
        found = run(worker, lambda _: None)
    planned: dict[str, InferenceNeed | TrainingNeed] = {
        "answer": inference_bytes(facts, DTYPE, context=job.context, batch=job.batch),
        "train": training_bytes(
            facts, Training("lora", 1, job.length, DTYPE, rank=job.rank, supervised=job.supervised, tight=True)
        ),
    }
    for work, need in planned.items():
        found[work]["planned"] = tensors_alone(need)
    return found


def tensors_alone(need: InferenceNeed | TrainingNeed) -> int:
    """Bytes that a plan gives to tensors."""
    return need.total - need.runtime - need.loading - need.allocator - need.learned
