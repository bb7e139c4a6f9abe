"""Our training beside its peers: the same rows, batches, model shape, rank, targets, rate and number format; pace, memory, losses.

    python benchmarks/train.py [--model smollm2-135m] [--data gsm8k] [--steps 4] [--batch 8] [--rounds 3] [--peers FOLDER]

Peers are transformers' Trainer with PEFT and, where `python benchmarks/peers.py FOLDER` has made their environments, TRL, LLaMA-Factory
and LitGPT, each as its documentation says, at the settings that are printed. All are given the rows as tokens, in one order (rows of
like length come together, which is also to the peers' advantage), and run by turns, each in a process of its own; figures are medians
over the rounds. Weights are random, so that only shapes count; the first loss tells that all learn the same.

Beside each pace stands the share of the machine's own rate of multiplying matrices, measured in the same run: 4 · N · tokens a second,
N all parameters, over it; and, less flattering, of what a step has to compute at least, where the head counts for learnt tokens alone.
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
from typing import Any, NamedTuple

from models import build
from peers import PEERS, Peer

from lorasmith.hub.recognise import know_model
from lorasmith.runners.local import SELDOM_NEEDED
from lorasmith.testing import shapes

FOLDER = Path(__file__).parent / "data"
DATA = {"gsm8k": FOLDER / "gsm8k.jsonl", "self-instruct": FOLDER / "self_instruct.jsonl"}
LIT_NAMES = {"smollm2-135m": "SmolLM2-135M", "qwen3-0.6b": "Qwen3-0.6B"}
WARM_UP = 2
FULL_TOKENS = 256
LIMIT_SECONDS = 1800


class Work(NamedTuple):
    """What all sides are given."""

    spec: Path
    """Of our worker."""
    job: Path
    """Of the peers."""
    tokens: int
    """Of the steps after the warm-up, without padding."""
    supervised: int
    least_flops: float
    """Of these steps: forward and backward through frozen layers, the head at learnt tokens."""
    parameters: int


def prepare(arguments: argparse.Namespace, folder: Path) -> Work:
    from lorasmith.training.batches import step_batches
    from lorasmith.training.planning import planned
    from lorasmith.training.spec import DATA_FILE, TrainSpec
    from lorasmith.workers.rows import Rows

    place = build(arguments.model, folder / "model")
    facts = know_model(str(place))
    data = _full(folder / "full.jsonl") if arguments.data == "full" else DATA[arguments.data]
    run = folder / "run"
    (run / "logs").mkdir(parents=True)
    steps = arguments.steps + WARM_UP
    asked = TrainSpec(
        model=str(place), data=str(data), output=str(run), batch_size=arguments.batch // arguments.accumulation,
        gradient_accumulation=arguments.accumulation, lora_dropout=0.0, max_steps=steps, eval_fraction=0,
        max_length=FULL_TOKENS if arguments.data == "full" else 1024,
        precision=arguments.precision, allow_truncation=True, learning_rate=1e-3, warmup_steps=0, schedule="constant", lora_r=16, lora_alpha=32,
        no_tensorboard=True,
    )  # fmt: skip
    spec = planned(asked, facts, run, lambda _: None, lambda *_: None)
    rows = Rows(run / DATA_FILE, 0, "train", max_length=spec.plan.max_length)
    order = list(step_batches(rows.lengths, spec.plan.effective_batch, steps, 0))
    taken = [rows[index] for step in order for index in step]
    given = [{"ids": list(row.ids), "start": row.spans[0][0]} for row in taken]
    timed = taken[WARM_UP * spec.plan.effective_batch :]
    tokens, supervised = sum(len(row.ids) for row in timed), sum(row.num_supervised for row in timed)
    (folder / "spec.json").write_text(spec.model_dump_json())
    job = {
        "model": str(place), "rows": given, "batch": spec.plan.micro_batch, "accumulation": spec.plan.accumulation, "steps": steps,
        "rank": spec.plan.rank, "alpha": spec.plan.alpha, "rate": spec.plan.learning_rate, "precision": arguments.precision, "folder": str(folder / "peer"),
        "lit_name": LIT_NAMES.get(arguments.model, ""),
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    config = json.loads((place / "config.json").read_text())
    head = config["vocab_size"] * config["hidden_size"]
    layers = facts.num_parameters - head * (1 if config["tie_word_embeddings"] else 2)
    least = 4.0 * layers * tokens + 4.0 * head * supervised
    return Work(folder / "spec.json", folder / "job.json", tokens, supervised, least, facts.num_parameters)


def _full(path: Path) -> Path:
    """Rows that are all as long as may be: no padding is to be saved."""
    text = " ".join(json.loads(line)["question"] for line in DATA["gsm8k"].read_text().splitlines()[:12])
    rows = ({"prompt": f"{number} {text}", "completion": text} for number in range(256))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def matrix_rate(precision: str = "float32") -> float:
    """Fused multiply-adds, times two, a second: the best of some seconds' products of square matrices, by all threads."""
    code = (
        f"import time, torch; a, b = torch.randn(2, 2048, 2048, dtype=torch.{precision}); best = 0.0; end = time.time() + 4\n"
        "while time.time() < end:\n"
        "    t = time.perf_counter(); a @ b; best = max(best, 2 * 2048**3 / (time.perf_counter() - t))\n"
        "print(best)"
    )
    return float(_run([sys.executable, "-c", code]))


def ours(path: Path) -> None:
    """Train by our own worker's parts, in this process, and print what peers print."""
    import lorasmith.workers  # noqa: F401  hides what is seldom needed, before anything is imported
    from lorasmith.workers.runtime import keep_blocks, quiet_libraries

    quiet_libraries()
    if not os.environ.get("BENCH_TRIMS"):  # how the libraries' own defaults would do
        keep_blocks()
    import resource

    import transformers

    from lorasmith.training.spec import DATA_FILE, WorkerSpec
    from lorasmith.workers.learner import Learner, load_base
    from lorasmith.workers.rows import Rows
    from lorasmith.workers.trainer import LoraTrainer

    spec = WorkerSpec.model_validate_json(path.read_text())
    rows = Rows(spec.run_folder / DATA_FILE, 0, "train", max_length=spec.plan.max_length)
    transformers.set_seed(0)
    learner = Learner(spec, load_base(spec))
    trainer = LoraTrainer(
        model=learner.model, rows=rows, plan=spec.plan, folder=spec.run_folder / "checkpoints", seed=0, pad=0
    )
    found: dict[str, list[float]] = {"ends": [], "losses": [], "norms": []}

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            facts = trainer.take_step_facts()
            found["ends"].append(time.perf_counter())
            found["losses"].append(facts["loss"])
            found["norms"].append(facts["gradient_norm"])

    trainer.add_callback(Watch())
    trainer.train()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found | {"peak": peak, "settings": "joined layers, packed or padded by row, head at answers"}))


def _run(command: list[str]) -> str:
    environment = os.environ | {
        "LORASMITH_WITHOUT": ",".join(SELDOM_NEEDED), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.splitlines()[-3:]))
    return done.stdout.splitlines()[-1]


def measure(side: Peer | None, work: Work, environments: Path | None) -> dict[str, Any] | str:
    """What one side printed, or why it did not come to that."""
    if side is None:
        return json.loads(_run([sys.executable, __file__, "--ours", str(work.spec)]))
    python = side.python(environments)
    if python is None:
        return "no environment (benchmarks/peers.py)"
    job = work.job.with_name("job-peer.json")
    job.write_text(json.dumps(json.loads(work.job.read_text()) | {"settings": side.settings}))
    try:
        return json.loads(_run([str(python), str(side.script), str(job)]))
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error).splitlines()[-1]


def seconds_of(run: dict[str, Any]) -> float:
    """Of the steps after the warm-up; a side that packs takes other steps, whose rows count alike in the mean."""
    ends = run["ends"]
    return (ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", choices=["demo", *shapes.LLAMA_LIKE])
    parser.add_argument("--data", default="gsm8k", choices=[*DATA, "full"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="rows of an optimizer step")
    parser.add_argument("--accumulation", type=int, default=1, help="micro-batches of a step")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="folder in which benchmarks/peers.py has made environments")
    parser.add_argument("--only", default="", help="names of sides, with commas")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        ours(arguments.ours)
        return
    sides = {"lorasmith": None} | {peer.name: peer for peer in PEERS}
    if arguments.only:
        sides = {name: sides[name] for name in arguments.only.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(arguments, Path(folder))
        rates = [matrix_rate(arguments.precision)]
        found: dict[str, list[dict[str, Any] | str]] = {name: [] for name in sides}
        for number in range(arguments.rounds):
            for name, side in sides.items():
                if number == 0 or not isinstance(found[name][-1], str):
                    found[name].append(measure(side, work, arguments.peers))
                    last = found[name][-1]
                    said = last if isinstance(last, str) else f"{seconds_of(last):.2f} s a step"
                    print(f"  round {number + 1}, {name}: {said[:160]}", file=sys.stderr, flush=True)
            rates.append(matrix_rate(arguments.precision))
        show(arguments, work, found, statistics.median(rates))


def show(arguments: Any, work: Work, found: dict[str, list[Any]], rate: float) -> None:
    print(
        f"{arguments.model}, {arguments.data}, {arguments.batch} rows a step ({arguments.accumulation} micro-batches), "
        f"{work.tokens / arguments.steps:,.0f} tokens a step of which {work.supervised / arguments.steps:,.0f} are learnt, "
        f"{arguments.steps} steps, median of {arguments.rounds}, {arguments.precision}\n"
        f"matrix products: {rate / 1e9:,.0f} GFLOP/s"
    )
    print(
        f"{'side':<19}{'tokens/s':>10}{'learnt/s':>10}{'4NT':>7}{'least':>7}{'peak MB':>9}{'losses':>24}{'norm':>8}"
        f"{'ours is':>9}  settings"
    )
    pace = {
        name: statistics.median(seconds_of(run) for run in runs)
        for name, runs in found.items()
        if not isinstance(runs[-1], str)
    }
    for name, runs in found.items():
        last = runs[-1]
        if isinstance(last, str):
            print(f"{name:<19}  {last[:120]}")
            continue
        each = pace[name] * arguments.steps
        if "tokens_a_step" in last:  # it packs rows of its own choice, more or fewer than a step's
            each *= work.tokens / arguments.steps / last["tokens_a_step"]
        losses = f"{last['losses'][0]:.5f} {last['losses'][1]:.5f} {last['losses'][-1]:.3f}"
        norm = f"{last['norms'][0]:.3f}" if last["norms"] else ""
        ratio = f"{each / (pace['lorasmith'] * arguments.steps):.2f} x" if "lorasmith" in pace else ""
        print(
            f"{name:<19}{work.tokens / each:>10,.0f}{work.supervised / each:>10,.0f}"
            f"{4 * work.parameters * work.tokens / each / rate:>7.0%}{work.least_flops / each / rate:>7.0%}"
            f"{statistics.median(run['peak'] for run in runs) / 1e6:>9,.0f}{losses:>24}{norm:>8}{ratio:>9}  {last['settings']}"
        )


if __name__ == "__main__":
    main()
