"""How much of a training's time is the model's own forward and backward pass, and what is the rest.

    python benchmarks/training_loop.py [--model FOLDER] [--steps 40]

Prints one table. Runs in this process, so that the parts can be timed; everything else is as in a real training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from lorasmith.workers.runtime import quiet_libraries

quiet_libraries()

import torch  # noqa: E402
import transformers  # noqa: E402

from lorasmith.core.facts import ModelFacts  # noqa: E402
from lorasmith.data.load import open_source  # noqa: E402
from lorasmith.data.prepare import prepare  # noqa: E402
from lorasmith.data.tokenizer import load_tokenizer  # noqa: E402
from lorasmith.demo import TRAIN_FILE  # noqa: E402
from lorasmith.families import FAMILIES  # noqa: E402
from lorasmith.hub.recognise import know_model  # noqa: E402
from lorasmith.plan import hardware  # noqa: E402
from lorasmith.plan.choose import TrainPlan, choose  # noqa: E402
from lorasmith.workers import lora  # noqa: E402
from lorasmith.workers.packing import use_packing  # noqa: E402
from lorasmith.workers.rows import Rows  # noqa: E402
from lorasmith.workers.trainer import LoraTrainer  # noqa: E402


class TimedTrainer(LoraTrainer):
    """Keeps the seconds that forward and backward passes took."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.forward_seconds = self.backward_seconds = 0.0
        backward = self.accelerator.backward

        def timed(loss, **rest):
            started = time.perf_counter()
            backward(loss, **rest)
            self.backward_seconds += time.perf_counter() - started

        self.accelerator.backward = timed

    def compute_loss(self, *arguments, **rest):
        started = time.perf_counter()
        loss = super().compute_loss(*arguments, **rest)
        self.forward_seconds += time.perf_counter() - started
        return loss


class Steps(transformers.TrainerCallback):
    """Does between steps what the real course does, without writing it anywhere, and starts the clock after a warm-up."""

    warm_up = 3

    def __init__(self):
        self.trainer = None
        self.started = self.seconds = 0.0

    def on_step_end(self, args, state, control, **_):
        self.trainer.take_step_facts()
        if state.global_step == self.warm_up:
            self.trainer.forward_seconds = self.trainer.backward_seconds = 0.0
            self.started = time.perf_counter()
        self.seconds = time.perf_counter() - self.started


def measure(facts: ModelFacts, rows: Rows, plan: TrainPlan, folder: Path) -> tuple[float, float, float]:
    transformers.set_seed(0)
    model = lora.apply_lora(
        FAMILIES.get(facts.family).load(facts.local_folder, dtype=plan.precision, device=plan.device), plan, "bench"
    )
    if plan.packing:
        use_packing(model)
    steps = Steps()
    trainer = TimedTrainer(model=model, rows=rows, plan=plan, folder=folder, seed=0, pad=0)
    steps.trainer = trainer
    trainer.add_callback(steps)
    trainer.train()
    return steps.seconds, trainer.forward_seconds, trainer.backward_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    facts = know_model(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare(
            open_source(TRAIN_FILE),
            load_tokenizer(facts.local_folder),
            folder / "d",
            objective="sft",
            eval_fraction=0.1,
            seed=0,
        )
        plan = choose({"max_steps": arguments.steps}, facts, data, hardware.observe())
        rows = Rows(folder / "d", data.threshold, "train", max_length=plan.max_length)
        seconds, forward, backward = measure(facts, rows, plan, folder)
    rest = seconds - forward - backward
    steps = arguments.steps - Steps.warm_up
    print(
        f"{facts.id}: {facts.num_parameters / 1e6:.1f}M parameters, batch {plan.effective_batch}, {torch.get_num_threads()} threads"
    )
    print(f"{'part':<34}{'ms a step':>12}{'share':>9}")
    for part, amount in (
        ("forward and loss", forward),
        ("backward", backward),
        ("everything else", rest),
        ("step", seconds),
    ):
        print(f"{part:<34}{1000 * amount / steps:>12.1f}{100 * amount / seconds:>8.1f}%")


if __name__ == "__main__":
    main()
