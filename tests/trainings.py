"""Trainings for tests: as a user starts them, and in this process, where what they hold can be looked at."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from lorasmith.core.events import Writer, parse
from lorasmith.hub.recognise import know_model
from lorasmith.training import planning
from lorasmith.training.spec import TrainSpec, WorkerSpec


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "lora" / "adapter_model.safetensors").read_bytes()).hexdigest()


def told(folder: Path) -> list:
    return [parse(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "lorasmith", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def steps_done(folder: Path) -> int:
    path = folder / "events.jsonl"
    return path.read_text().count('"loss/train"') if path.exists() else 0


def wait_for_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while steps_done(folder) < step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def planned(model: Path, data: Path, folder: Path, **options) -> WorkerSpec:
    """What `lorasmith train` would give its worker."""
    (folder / "logs").mkdir(parents=True)
    spec = TrainSpec(model=str(model), data=str(data), output=str(folder), **options)
    return planning.planned(spec, know_model(spec.model), folder, lambda _: None, lambda *_: None)


def with_plan(spec: WorkerSpec, **changes) -> WorkerSpec:
    return spec.model_copy(update={"plan": spec.plan.model_copy(update=changes)})


def train_here(spec: WorkerSpec) -> dict:
    """The worker's work in this process: no start of seconds, and what it holds can be looked at."""
    from lorasmith.workers.train import _train

    with Writer(spec.run_folder / "events.jsonl") as events:
        return _train(spec, events)


def losses_by_step(folder: Path) -> dict[int, float]:
    """As last told: a step that memory ran out after is made again."""
    metrics = [event for event in told(folder) if event.type == "metric" and "loss/train" in event.values]
    return {event.step: event.values["loss/train"] for event in metrics}


def step_losses(folder: Path) -> list[float]:
    return [loss for _, loss in sorted(losses_by_step(folder).items())]


def reasons(folder: Path, name: str) -> list[str]:
    return [event.reason for event in told(folder) if event.type == "decision" and event.name == name]
