"""How long a training waits for its pictures or sounds to be made ready: with batches made ahead by another process, and without.

    python benchmarks/data_wait.py [--steps 30]

Prints one table: seconds of a step, and the share of the whole time in which the loop waited for the next batch. Donut reads drawn
invoices that are varied at random; Whisper (as wide as whisper-tiny, with a short window) hears tones of ten seconds at 44.1 kHz.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path += [str(HERE.parent), str(HERE.parent / "examples" / "invoices")]


class Timed:
    """A loader that counts the seconds in which it is waited for."""

    def __init__(self, loader: Any):
        self.loader, self.waited = loader, 0.0
        self.first = True

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            started = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            if not self.first:  # the first starts the process
                self.waited += time.perf_counter() - started
            self.first = False
            yield batch

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def measured(model: Path, data: Path, steps: int, *, ahead: bool, **options: Any) -> tuple[float, float]:
    """Seconds a step, and the share that was waited."""
    from tests import trainings

    from lorasmith.workers import samples
    from lorasmith.workers.attempt import Attempt, Writer

    kept: dict[str, Any] = {}
    original, helpers = samples.SampleTrainer.get_train_dataloader, samples.SampleTrainer.ahead

    def timed(self: Any) -> Any:
        kept["loader"] = Timed(original(self))
        return kept["loader"]

    samples.SampleTrainer.get_train_dataloader = timed  # type: ignore[method-assign]
    if not ahead:
        samples.SampleTrainer.ahead = property(lambda _: {})  # type: ignore[assignment]
    try:
        with tempfile.TemporaryDirectory() as folder:
            spec = trainings.planned(
                model, data, Path(folder) / "run", max_steps=steps, eval_fraction=0.0, gradient_accumulation=1, no_tensorboard=True,
                **options,
            )  # fmt: skip
            with Writer(spec.run_folder / "events.jsonl") as events:
                attempt = Attempt(spec, events)
                trainer = attempt.prepare().trainer
                started = time.perf_counter()
                trainer.train()
                seconds = time.perf_counter() - started
                attempt.close()
    finally:
        samples.SampleTrainer.get_train_dataloader = original  # type: ignore[method-assign]
        samples.SampleTrainer.ahead = helpers  # type: ignore[assignment]
    return seconds / steps, kept["loader"].waited / seconds


def whisper(folder: Path) -> tuple[Path, Path]:
    """As wide as whisper-tiny, with a short window, and recordings for it."""
    from tests import lessons

    from lorasmith.testing import tiny

    base = tiny.build(
        "whisper", folder / "whisper", d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536,
    )  # fmt: skip
    rows = [
        {"audio": lessons.sound(folder / "sounds" / f"{n}.wav", n % 8, rate=44_100, seconds=10), "text": f"tone {n}"}
        for n in range(64)
    ]
    return base, lessons.write_rows(folder / "sounds" / "rows.jsonl", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    steps = parser.parse_args().steps
    import make

    from lorasmith.testing import tiny

    print("| model | batches | s/step | waited |\n|---|---|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make.make(folder / "invoices", sizes={"train": dict.fromkeys(make.KINDS, 64)})
        bases = HERE.parent / "examples" / "invoices" / "bases"
        donut = bases / "donut" if (bases / "donut" / "config.json").exists() else tiny.build("donut", folder / "donut")
        cases = {
            "Donut, 256 × 256, varied": (
                donut,
                folder / "invoices" / "donut" / "train",
                {"batch_size": 8, "augment": True},
            ),
            "Whisper, as wide as tiny": (*whisper(folder), {"batch_size": 4}),
        }
        for title, (model, data, options) in cases.items():
            for ahead in (False, True):
                seconds, share = measured(model, data, steps, ahead=ahead, **options)
                print(
                    f"| {title} | {'made ahead' if ahead else 'made in the loop'} | {seconds:.2f} | {share:.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
