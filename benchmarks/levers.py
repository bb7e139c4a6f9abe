"""What each of the means by which a training step is quick is worth: a step with all of them, and with one of them taken away.

    python benchmarks/levers.py [--model smollm2-135m] [--data gsm8k] [--batch 4] [--rounds 5]

One process, the same batch, forward and backward pass, by turns; medians. Weights are random, and what is computed is the same: the
losses are printed. Prints one table.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorasmith.workers.runtime import keep_blocks, quiet_libraries

quiet_libraries()

import torch  # noqa: E402
import train as side_by_side  # noqa: E402

from lorasmith.testing import shapes  # noqa: E402
from lorasmith.training.spec import DATA_FILE, WorkerSpec  # noqa: E402
from lorasmith.workers.joined import join, part  # noqa: E402
from lorasmith.workers.learner import Learner, load_base  # noqa: E402
from lorasmith.workers.measure import answer_scores  # noqa: E402
from lorasmith.workers.quick import WAYS, use_own_parts, use_quick_parts  # noqa: E402
from lorasmith.workers.rows import Rows  # noqa: E402

_TRIM, _MMAP = -1, -3  # malloc.h


class Step:
    """A training step's forward and backward pass."""

    def __init__(self, spec: WorkerSpec):
        self.rows = Rows(spec.run_folder / DATA_FILE, 0, "train", max_length=spec.plan.max_length)
        self.model: Any = Learner(spec, load_base(spec)).model.train()
        lengths = self.rows.lengths
        self.indices = sorted(range(len(lengths)), key=lengths.__getitem__)[
            :: max(1, len(lengths) // spec.plan.effective_batch)
        ]
        self.packed = self.rows.packed(self.indices)
        self.padded = self.rows.batch(self.indices, 0)
        reach = torch.tensor([lengths[index] for index in self.indices])
        self.mask = (torch.arange(self.padded["input_ids"].shape[1]) < reach[:, None]).long()
        self.all_on()

    @property
    def num_tokens(self) -> int:
        return self.packed["input_ids"].numel()

    def all_on(self) -> None:
        keep_blocks()
        join(self.model)
        use_quick_parts(self.model)

    def quick(self) -> torch.Tensor:
        return answer_scores(self.model, self.packed)[0].nll.sum()

    def with_padding(self) -> torch.Tensor:
        return answer_scores(self.model, self.padded)[0].nll.sum()

    def with_whole_logits(self) -> torch.Tensor:
        """Of all tokens, as the model itself computes its loss; padded with a mask, as it has to be then."""
        labels = self.padded["labels"]
        loss = self.model(
            input_ids=self.padded["input_ids"], attention_mask=self.mask, labels=labels, use_cache=False
        ).loss
        return loss * (labels[:, 1:] != -100).sum()


def give_back() -> None:
    """glibc's own ways, as they are when a process has used large blocks for a while."""
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP, 2**25)
    library.mallopt(_TRIM, 2**26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", choices=["demo", *shapes.LLAMA_LIKE])
    parser.add_argument("--data", default="gsm8k", choices=[*side_by_side.DATA, "full"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.steps, arguments.accumulation, arguments.precision = 1, 1, "float32"
    with tempfile.TemporaryDirectory() as folder:
        work = side_by_side.prepare(arguments, Path(folder))
        step = Step(WorkerSpec.model_validate_json(work.spec.read_text()))
        model = step.model
        ways: dict[str, tuple[Callable[[], object], Callable[[], torch.Tensor]]] = {
            "all": (lambda: None, step.quick),
            "without keeping freed memory": (give_back, step.quick),
            "without joined LoRA layers": (lambda: part(model), step.quick),
            **{f"without quick {way}": (lambda way=way: use_own_parts(model, (way,)), step.quick) for way in WAYS},
            "without packing": (lambda: None, step.with_padding),
            "without head at answers": (lambda: None, step.with_whole_logits),
            "none of them": (lambda: (give_back(), part(model), use_own_parts(model)), step.with_whole_logits),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        losses: dict[str, float] = {}
        for number in range(arguments.rounds + 1):  # the first sets up threads and kernels
            for name, (take_away, compute) in ways.items():
                take_away()
                model.zero_grad()
                started = time.perf_counter()
                loss = compute()
                loss.backward()
                if number:
                    seconds[name].append(time.perf_counter() - started)
                losses[name] = loss.item() / work.supervised if work.supervised else loss.item()
                del loss
                step.all_on()
    found = {name: statistics.median(each) for name, each in seconds.items()}
    print(
        f"{arguments.model}, {arguments.data}, {len(step.indices)} rows, {step.num_tokens:,} tokens, fp32, "
        f"{torch.get_num_threads()} threads, medians of {arguments.rounds}"
    )
    print(f"{'a step':<32}{'ms':>9}{'tokens/s':>10}{'times all':>11}{'loss':>12}")
    for name, one in found.items():
        print(
            f"{name:<32}{1000 * one:>9,.0f}{step.num_tokens / one:>10,.0f}{one / found['all']:>11.2f}{losses[name]:>12.5f}"
        )


if __name__ == "__main__":
    main()
