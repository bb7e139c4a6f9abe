"""Our training beside transformers' Trainer with PEFT: the same rows, batches, model, rank, rate and seed; pace, memory, losses.

    python benchmarks/train.py [--model demo|smollm2-135m] [--steps 8] [--batch 4] [--rounds 3]

Two datasets: rows of varied length (gsm8k), and rows that are all full. Each side runs in a process of its own, by turns; figures
are medians over the rounds, ratios are of the medians. Weights are random. Theirs is called as their documentation says: padded
batches with an attention mask, the model's own loss, `all-linear`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from models import build

from lorasmith.hub.recognise import know_model
from lorasmith.runners.local import SELDOM_NEEDED
from lorasmith.testing import shapes

DATA = Path(__file__).parent / "data" / "gsm8k.jsonl"
WARM_UP = 2
FULL_TOKENS = 256


def prepare(model: str, folder: Path, steps: int, batch: int) -> dict[str, Path]:
    """The model and a worker's spec for each dataset."""
    from lorasmith.training import launch
    from lorasmith.training.spec import TrainSpec

    place = build(model, folder / "model")
    full = folder / "full.jsonl"
    long_text = " ".join(json.loads(line)["question"] for line in DATA.read_text().splitlines()[:12])
    full.write_text(
        "".join(json.dumps({"prompt": f"{i} {long_text}", "completion": long_text}) + "\n" for i in range(64))
    )
    specs: dict[str, Path] = {}
    for name, data in (("varied", DATA), ("full", full)):
        run = folder / name
        (run / "logs").mkdir(parents=True)
        asked = TrainSpec(
            model=str(place), data=str(data), output=str(run), batch_size=batch, gradient_accumulation=1, lora_dropout=0.0,
            max_steps=steps + WARM_UP, eval_fraction=0, max_length=FULL_TOKENS, precision="float32", allow_truncation=True,
            learning_rate=1e-3, no_tensorboard=True,
        )  # fmt: skip
        spec = launch.planned(asked, know_model(str(place)), run, lambda _: None, lambda *_: None)
        specs[name] = folder / f"{name}.json"
        specs[name].write_text(spec.model_dump_json())
    return specs


def child(side: str, path: Path) -> dict[str, Any]:
    """Train on one side; seconds and tokens are those after the warm-up."""
    from lorasmith.workers.runtime import quiet_libraries

    quiet_libraries()
    import transformers

    from lorasmith.families import FAMILIES
    from lorasmith.plan.hardware import resident_peak_bytes
    from lorasmith.training.spec import WorkerSpec
    from lorasmith.workers.rows import Rows

    spec = WorkerSpec.model_validate_json(path.read_text())
    plan = spec.plan
    rows = Rows(spec.run_folder / "data.arrow", 0, "train", max_length=plan.max_length)
    base = FAMILIES.get(spec.family).load(spec.model_folder, dtype=plan.precision, device="cpu")
    trainer = ours(spec, base, rows) if side == "ours" else theirs(spec, base, rows)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    losses = clock.losses or [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds": clock.seconds, "losses": losses, "peak": resident_peak_bytes(), "versions": transformers.__version__,
        "tokens": counted(rows, plan, lambda row: len(row.ids)), "supervised": counted(rows, plan, lambda row: row.num_supervised),
    }  # fmt: skip


def counted(rows: Any, plan: Any, of_row: Any) -> int:
    """Over the rows of all steps after the warm-up: tokens that are no padding."""
    from lorasmith.training.batches import step_batches

    steps = list(step_batches(rows.lengths, plan.effective_batch, plan.steps, 0))[WARM_UP:]
    return sum(of_row(rows[index]) for step in steps for index in step)


class Clock:
    """Seconds from the end of the warm-up, and our losses."""

    def __new__(cls) -> Any:
        import transformers

        class Watch(transformers.TrainerCallback):
            started = seconds = 0.0
            losses: ClassVar[list[float]] = []
            trainer: Any = None

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if self.trainer is not None:
                    self.losses.append(self.trainer.take_step_facts()["loss"])
                if state.global_step == WARM_UP:
                    self.started = time.perf_counter()
                self.seconds = time.perf_counter() - self.started

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                trainer = _OURS[0] if _OURS else None
                self.trainer = trainer

        return Watch()


_OURS: list[Any] = []


def ours(spec: Any, base: Any, rows: Any) -> Any:
    from lorasmith.workers.learner import Learner
    from lorasmith.workers.trainer import LoraTrainer

    learner = Learner(spec, base)
    _OURS.append(
        LoraTrainer(model=learner.model, rows=rows, plan=spec.plan, folder=spec.run_folder / "c", seed=0, pad=0)
    )
    return _OURS[0]


def theirs(spec: Any, base: Any, rows: Any) -> Any:
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    from lorasmith.training.batches import micro_batches

    plan = spec.plan

    class Plain(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            batches = list(micro_batches(rows.lengths, plan.micro_batch, plan.accumulation, plan.steps, 0))

            def collate(indices: list[int]) -> dict[str, Any]:
                batch = rows.batch(indices, 0)
                reach = torch.tensor([rows.lengths[index] for index in indices])
                batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1]) < reach[:, None]).long()
                return batch

            return torch.utils.data.DataLoader(range(len(rows)), batch_sampler=batches, collate_fn=collate)

    transformers.set_seed(0)
    model = get_peft_model(
        base, LoraConfig(r=plan.rank, lora_alpha=plan.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(spec.run_folder / "t"), per_device_train_batch_size=plan.micro_batch, max_steps=plan.steps,
        gradient_accumulation_steps=plan.accumulation, learning_rate=plan.learning_rate, warmup_steps=plan.warmup_steps,
        lr_scheduler_type=plan.schedule, logging_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
        remove_unused_columns=False,
    )  # fmt: skip
    return Plain(model=model, args=arguments, train_dataset=range(len(rows)))


def measure(side: str, path: Path) -> dict[str, Any]:
    environment = os.environ | {"LORASMITH_WITHOUT": ",".join(SELDOM_NEEDED)}
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--spec", str(path)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", choices=["demo", *shapes.LLAMA_LIKE])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--spec", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        import lorasmith.workers  # noqa: F401  hides what is seldom needed, before anything is imported

        print(json.dumps(child(arguments.side, arguments.spec)))
        return
    with tempfile.TemporaryDirectory() as folder:
        specs = prepare(arguments.model, Path(folder), arguments.steps, arguments.batch)
        print(
            f"{arguments.model}, {arguments.batch} rows a step, {arguments.steps} steps, median of {arguments.rounds}, fp32, CPU"
        )
        print(
            f"{'rows':<8}{'side':<8}{'tokens/s':>10}{'learnt/s':>10}{'peak MB':>10}{'first loss':>12}{'last loss':>11}{'ratio':>8}"
        )
        for name, path in specs.items():
            table(name, [{side: measure(side, path) for side in ("theirs", "ours")} for _ in range(arguments.rounds)])


def table(name: str, rounds: list[dict[str, dict[str, Any]]]) -> None:
    pace: dict[str, float] = {}
    for side in ("theirs", "ours"):
        runs = [one[side] for one in rounds]
        seconds = statistics.median(run["seconds"] for run in runs)
        pace[side] = 1 / seconds
        first = runs[0]
        ratio = f"{pace['ours'] / pace['theirs']:.2f}" if side == "ours" else ""
        print(
            f"{name:<8}{side:<8}{first['tokens'] / seconds:>10,.0f}{first['supervised'] / seconds:>10,.0f}"
            f"{statistics.median(run['peak'] for run in runs) / 1e6:>10,.0f}{first['losses'][0]:>12.5f}{first['losses'][-1]:>11.5f}{ratio:>8}"
        )


if __name__ == "__main__":
    main()
