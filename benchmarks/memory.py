"""Memory as planned against memory as measured in child processes: answering and LoRA training, on this machine's CPU.

    python benchmarks/memory.py [--quick]

Prints one table. Measured is the peak resident set of a child that does the work, less what a bare interpreter with torch
imported holds; planned is the plan's figure less the same. Weights of published shapes are zeros: their values take no part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lorasmith.hub.recognise import know_model
from lorasmith.plan.memory import Training, inference_bytes, training_bytes
from lorasmith.testing import shapes

RANK = 16
MODELS = ("demo", "smollm2-135m", "qwen3-0.6b")
SIZES = ((1, 128), (1, 512), (4, 128), (4, 512))


def resident(key: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{key}:"))


def child(case: dict) -> dict[str, int]:
    """Do the work of one case and say what it took."""
    import torch

    bare = resident("VmRSS")
    from lorasmith.workers.runtime import quiet_libraries

    quiet_libraries()
    from lorasmith.families import FAMILIES

    model = FAMILIES.get(case["family"]).load(Path(case["folder"]), dtype="float32", device="cpu")
    vocabulary = model.config.vocab_size
    ids = torch.randint(vocabulary, (case["rows"], case["tokens"]))
    if case["work"] == "answer":
        with torch.inference_mode():
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, pad_token_id=0)
    else:
        train(model, ids, case)
    return {"bare": bare, "peak": resident("VmHWM")}


def train(model, ids, case: dict) -> None:
    """Three steps of the trainer that every training uses."""
    from lorasmith.core.facts import DataFacts
    from lorasmith.data.render import TokenRow
    from lorasmith.hub.recognise import recognise_folder
    from lorasmith.plan import hardware
    from lorasmith.plan.choose import choose
    from lorasmith.workers import lora
    from lorasmith.workers.rows import Rows
    from lorasmith.workers.trainer import LoraTrainer

    tokens = case["tokens"]
    rows = Rows.of(TokenRow(row, [(tokens // 2, tokens)], number) for number, row in enumerate(ids.tolist() * 3))
    data = DataFacts(
        format="x", objective="sft", num_rows=len(rows), num_train=len(rows), num_validation=0, num_bad_rows=0,
        num_tokens=ids.numel() * 3, num_supervised_tokens=ids.numel() * 3 // 2, length_p50=tokens, length_p995=tokens,
        length_max=tokens, max_answer_tokens=tokens // 2, threshold=0, sha256="",
    )  # fmt: skip
    given = {
        "batch_size": case["rows"], "gradient_accumulation": 1, "max_steps": 3, "max_length": tokens, "lora_r": RANK,
        "precision": "float32",
    }  # fmt: skip
    plan = choose(given, recognise_folder(Path(case["folder"])), data, hardware.observe())
    with tempfile.TemporaryDirectory() as folder:
        wrapped = lora.apply_lora(model, plan, "bench")
        LoraTrainer(model=wrapped, rows=rows, plan=plan, folder=Path(folder), seed=0, pad=0).train()


def cases(folder: Path, models: tuple[str, ...], sizes: tuple[tuple[int, int], ...]):
    for name in models:
        place = "demo" if name == "demo" else str(shapes.build(name, folder / name))
        facts = know_model(place)
        for rows, tokens in sizes:
            answering = inference_bytes(facts, "float32", context=tokens + 4, batch=rows)
            how = Training("lora", rows, tokens, "float32", rank=RANK, supervised=0.5)
            training = training_bytes(facts, how)
            for work, need in (("answer", answering), ("train", training)):
                case = {
                    "family": facts.family,
                    "folder": str(facts.local_folder),
                    "work": work,
                    "rows": rows,
                    "tokens": tokens,
                }
                yield name, case, need


def measure(case: dict) -> dict[str, int]:
    command = [sys.executable, __file__, "--child", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", default="")
    parser.add_argument(
        "--quick", action="store_true", help="the demo model and the smallest published shape, two sizes"
    )
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    models, sizes = tuple(arguments.models.split(",")), SIZES
    if arguments.quick:
        models, sizes = MODELS[:2], (SIZES[0], SIZES[-1])
    print(
        f"{'model':<14}{'work':<8}{'rows × tokens':>14}{'planned MB':>12}{'measured MB':>13}{'error':>8}   by cause, MB"
    )
    errors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, case, need in cases(Path(folder), models, sizes):
            found = measure(case)
            planned, measured = need.total - found["bare"], found["peak"] - found["bare"]
            errors.append(planned / measured - 1)
            parts = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in need._asdict().items())
            print(
                f"{name:<14}{case['work']:<8}{case['rows']:>8} × {case['tokens']:<4}{planned / 1e6:>11.0f}{measured / 1e6:>13.0f}"
                f"{100 * errors[-1]:>7.1f}%   {parts}", flush=True,
            )  # fmt: skip
    sizes_of = [abs(error) for error in errors]
    print(
        f"mean error {100 * statistics.mean(sizes_of):.1f} %, worst {100 * max(sizes_of):.1f} % over {len(errors)} cases"
    )


if __name__ == "__main__":
    main()
