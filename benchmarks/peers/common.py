"""What every peer's script is given, and what it prints: one job as JSON, one line of JSON.

Nothing of lorasmith is imported here: each peer runs in an environment of its own (benchmarks/peers.py makes them).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def read_job() -> dict[str, Any]:
    """`model` (a folder), `rows` (in the order in which they are to be learnt: `ids`, and `start`, where the answer begins), `batch` and
    `accumulation`, `steps`, `rank`, `alpha`, `rate`, `precision` (by torch's name), `folder` (to write into), `settings`: which of the peer's own."""
    return json.loads(Path(sys.argv[1]).read_text())


def labels_of(row: dict[str, Any]) -> list[int]:
    return [-100] * row["start"] + row["ids"][row["start"] :]


def padded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch as every library's own collator makes it: padded to the longest, with a mask."""
    import torch

    longest = max(len(row["ids"]) for row in rows)
    filled = [(row["ids"], labels_of(row), longest - len(row["ids"])) for row in rows]
    return {
        "input_ids": torch.tensor([ids + [0] * rest for ids, _, rest in filled]),
        "labels": torch.tensor([labels + [-100] * rest for _, labels, rest in filled]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * rest for ids, _, rest in filled]),
    }


class Clock:
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.perf_counter())

    def callback(self) -> Any:
        """For transformers' Trainer."""
        import transformers

        clock = self

        class Watch(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                clock.tick()

        return Watch()


def tell(clock: Clock, losses: list[float], norms: list[float], settings: str, **more: float) -> None:
    """The result: `ends` in seconds, the loss and gradient norm of each step, peak of resident memory in bytes."""
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps({"ends": clock.ends, "losses": losses, "norms": norms, "peak": peak, "settings": settings, **more})
    )


def of_history(history: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Losses and gradient norms that a Trainer has logged at every step."""
    logged = [entry for entry in history if "loss" in entry]
    return [entry["loss"] for entry in logged], [entry.get("grad_norm", float("nan")) for entry in logged]


def arguments_of(job: dict[str, Any]) -> dict[str, Any]:
    """What transformers' TrainingArguments and those that build on them are given by all."""
    return {
        "output_dir": job["folder"], "per_device_train_batch_size": job["batch"],
        "gradient_accumulation_steps": job["accumulation"], "max_steps": job["steps"], "learning_rate": job["rate"],
        "lr_scheduler_type": "constant", "weight_decay": 0.0, "logging_steps": 1, "report_to": [], "use_cpu": True, "disable_tqdm": True,
        "save_strategy": "no", "seed": 0, "max_grad_norm": 1.0,
    }  # fmt: skip
