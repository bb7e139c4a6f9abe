"""Several adapters that learn over one base at once, beside as many that take turns (SPD-3).

    python benchmarks/together.py [--model smollm2-135m] [--adapters 8] [--rows 1] [--rounds 5]

One process; every adapter has its own rank, its own rows and no company in its gradients. Forward and backward pass of one
micro-batch of each, by turns; medians; the ratio is of adapters' tokens a second. Also how much memory each adapter adds. Prints one table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lorasmith.workers.runtime import keep_blocks, quiet_libraries

quiet_libraries()

import peft  # noqa: E402
import torch  # noqa: E402
import train as side_by_side  # noqa: E402

from lorasmith.plan.hardware import resident_peak_bytes  # noqa: E402
from lorasmith.testing import shapes  # noqa: E402
from lorasmith.training.spec import DATA_FILE, WorkerSpec  # noqa: E402
from lorasmith.workers.joined import join  # noqa: E402
from lorasmith.workers.learner import load_base  # noqa: E402
from lorasmith.workers.packing import use_packing  # noqa: E402
from lorasmith.workers.quick import use_quick_parts  # noqa: E402
from lorasmith.workers.rows import Rows  # noqa: E402
from lorasmith.workers.together import Batch, Company, _alone, shared  # noqa: E402

RANKS = (8, 16, 4, 32)


def adapted(base: Any, number: int) -> Any:
    torch.manual_seed(number)
    config = peft.LoraConfig(
        r=RANKS[number % len(RANKS)], lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = peft.get_peft_model(shared(base), config)
    join(model)
    use_quick_parts(model)
    use_packing(model)
    return model.train()


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    work = side_by_side.prepare(arguments, folder)
    spec = WorkerSpec.model_validate_json(work.spec.read_text())
    rows = Rows(spec.run_folder / DATA_FILE, 0, "train", max_length=spec.plan.max_length)
    base = load_base(spec)
    weights = sum(one.nbytes for one in base.parameters())
    before = resident_peak_bytes()
    batches = []
    for number in range(arguments.adapters):
        model = adapted(base, number)
        inputs = rows.packed(range(number * arguments.rows, (number + 1) * arguments.rows))
        batches.append(Batch(model, inputs, torch.tensor(1.0), torch.Generator(), nullcontext))
    company = Company(base)
    company._step(batches)  # the proof
    tokens = sum(batch.inputs["input_ids"].numel() for batch in batches)
    ways = {"by turns": lambda: [_alone(batch) for batch in batches], "together": lambda: company._step(batches)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, compute in ways.items():
            for batch in batches:
                batch.model.zero_grad()
            started = time.perf_counter()
            compute()
            seconds[name].append(time.perf_counter() - started)
    found = {name: statistics.median(each) for name, each in seconds.items()}
    print(
        f"{arguments.model}: {arguments.adapters} adapters of ranks {', '.join(map(str, RANKS))}, {arguments.rows} row(s) each, "
        f"{tokens / arguments.adapters:,.0f} tokens a step of one; base {weights / 1e6:,.0f} MB, "
        f"all of it {(resident_peak_bytes() - before) / 1e6:,.0f} MB more at most"
    )
    for name, one in found.items():
        print(f"{name:<12}{1000 * one:>9,.0f} ms{tokens / one:>10,.0f} tokens/s{found['by turns'] / one:>8.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", choices=["demo", *shapes.LLAMA_LIKE])
    parser.add_argument("--data", default="gsm8k", choices=[*side_by_side.DATA])
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.steps, arguments.accumulation, arguments.batch, arguments.precision = 1, 1, 1, "float32"
    keep_blocks()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
