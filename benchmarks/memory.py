"""Memory as planned against memory as measured in child processes: answering and LoRA training, on this machine's CPU.

    python benchmarks/memory.py [--quick] [--models NAME,…] [--no-trace]

Prints one table. Measured is the peak resident set of a child that does the work, less what a bare interpreter with torch
imported holds; planned is the plan's figure less the same. Traced is the second opinion: live bytes alone, by workers/trace.py.
Weights of published shapes are zeros: their values take no part. "tight" is a training that was told to give freed memory back.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import open_repository
from lorasmith.plan.memory import BARE_CPU, InferenceNeed, Training, TrainingNeed, inference_bytes, training_bytes
from lorasmith.runners.local import SELDOM_NEEDED
from lorasmith.testing import shapes, tiny

RANK = 16
LANGUAGE = ("demo", "smollm2-135m", "qwen3-0.6b")
MODELS = (*LANGUAGE, "bert-base", "vit-base", "whisper-base", "stable-diffusion")
SIZES = ((1, 128), (1, 512), (4, 128), (4, 512))
LONGEST = {"whisper-base": 448}
SMALL_UNET = {"block_out_channels": [128, 256], "sample_size": 64, "layers_per_block": 2, "norm_num_groups": 32}
TRAINED_TIGHT = {("smollm2-135m", 4, 512), ("qwen3-0.6b", 1, 512)}


class Case(NamedTuple):
    """One measurement, as a child is told of it."""

    model: str
    family: str
    folder: str
    work: str
    rows: int
    tokens: int
    tight: bool = False


def child(case: Case) -> dict[str, int]:
    """Do the work of one case and say what it took."""
    import torch

    from lorasmith.plan.hardware import resident_peak_bytes

    bare = resident_peak_bytes()
    from lorasmith.workers.runtime import give_blocks_back, quiet_libraries

    quiet_libraries()
    if case.tight:
        give_blocks_back()
    torch.manual_seed(0)
    import_worker("train" if case.work == "train" else "generate")
    if case.family == "diffusion":
        denoise(case)
    elif case.family == "language":
        converse(case)
    else:
        understand(case)
    return {"bare": bare, "peak": resident_peak_bytes()}


def import_worker(name: str) -> None:
    """What a real worker of this kind has in memory before it loads anything."""
    import importlib

    importlib.import_module(f"lorasmith.workers.{name}")


def converse(case: Case) -> None:
    """A language model answers, or is trained by the trainer that every training uses."""
    import torch

    from lorasmith.families import FAMILIES

    model = FAMILIES.get(case.family).load(Path(case.folder), dtype="float32", device="cpu")
    ids = torch.randint(model.config.vocab_size, (case.rows, case.tokens))
    if case.work == "train":
        train(model, ids, case)
        return
    with torch.inference_mode():
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, pad_token_id=0)


def train(model: Any, ids: Any, case: Case) -> None:
    """Three steps of the trainer that every training uses."""
    from lorasmith.core.facts import DataFacts
    from lorasmith.data.render import TokenRow
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan import hardware
    from lorasmith.plan.choose import choose
    from lorasmith.workers import lora
    from lorasmith.workers.joined import join
    from lorasmith.workers.packing import use_packing
    from lorasmith.workers.rows import Rows
    from lorasmith.workers.trainer import LoraTrainer

    tokens = case.tokens
    rows = Rows.of(TokenRow(row, [(tokens // 2, tokens)], number) for number, row in enumerate(ids.tolist() * 3))
    data = DataFacts(
        format="x", objective="sft", num_rows=len(rows), num_train=len(rows), num_validation=0, num_bad_rows=0,
        num_tokens=ids.numel() * 3, num_supervised_tokens=ids.numel() * 3 // 2, length_p50=tokens, length_p995=tokens,
        length_max=tokens, max_answer_tokens=tokens // 2, threshold=0, sha256="",
    )  # fmt: skip
    given = {
        "batch_size": case.rows, "gradient_accumulation": 1, "max_steps": 3, "max_length": tokens, "lora_r": RANK,
        "precision": "float32",
    }  # fmt: skip
    plan = choose(given, know_model(case.folder), data, hardware.observe())
    with tempfile.TemporaryDirectory() as folder:
        wrapped = lora.apply_lora(model, plan, "bench")
        join(wrapped)
        if plan.packing:
            use_packing(wrapped)
        LoraTrainer(model=wrapped, rows=rows, plan=plan, folder=Path(folder), seed=0, pad=0).train()


def understand(case: Case) -> None:
    """A model that reads: one pass, or three steps of AdamW on adapters at all its linear layers."""
    import peft
    import torch

    from lorasmith.workers.dropout import use_sparse_dropout
    from lorasmith.workers.joined import join
    from lorasmith.workers.sample import adapted_modules, class_and_config, inputs_for, loss_for

    kind, _ = class_and_config(Path(case.folder))
    model = kind.from_pretrained(case.folder, dtype=torch.float32).eval().requires_grad_(False)
    inputs = inputs_for(model, case.rows, case.tokens)
    if case.work == "answer":
        with torch.inference_mode():
            if "input_features" in inputs:
                model.generate(inputs["input_features"], max_new_tokens=case.tokens - 4, do_sample=False)
            else:
                model(**inputs)
        return
    targets = adapted_modules(model, case.family)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_dropout=0.05, target_modules=targets))
    use_sparse_dropout(wrapped)
    join(wrapped)
    steps(wrapped.train(), lambda: loss_for(wrapped, inputs, 1.0))


def denoise(case: Case) -> None:
    """A pipeline draws `rows` pictures of its own size in two steps, or its UNet learns to take noise away."""
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(case.folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if case.work == "train":
        learn_to_denoise(pipeline, case)
        return
    pipeline("a house", num_inference_steps=2, num_images_per_prompt=case.rows, output_type="np")


def learn_to_denoise(pipeline: Any, case: Case) -> None:
    """Three steps of AdamW on adapters at the attention of the UNet; the other parts stay loaded."""
    import peft
    import torch

    unet = pipeline.unet.requires_grad_(False)
    unet.add_adapter(peft.LoraConfig(r=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    noisy = torch.randn((case.rows, unet.config.in_channels, side, side))
    text, when = torch.randn((case.rows, 77, width)), torch.zeros(case.rows, dtype=torch.long)
    steps(unet.train(), lambda: (unet(noisy, when, text).sample - noisy).pow(2).mean())


def steps(model: Any, loss: Any) -> None:
    """Three steps of AdamW."""
    import torch

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    for _ in range(3):
        loss().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()


def place_of(name: str, folder: Path) -> str:
    if name == "demo":
        return name
    if name == "stable-diffusion":
        return str(tiny.build("stable_diffusion", folder / name, **SMALL_UNET))
    return str(shapes.build(name, folder / name))


def cases(folder: Path, models: tuple[str, ...], sizes: tuple[tuple[int, int], ...]) -> Iterator[tuple[Case, Any]]:
    """Each case with what the plan says of it."""
    for name in models:
        facts = recognise(open_repository(place_of(name, folder))).facts
        reads_text = any(not stack.tokens for stack in facts.stacks)
        for rows, length in sizes if reads_text else [(rows, 0) for rows in sorted({rows for rows, _ in sizes})]:
            tokens = min(length, LONGEST.get(name, length))
            case = Case(name, facts.family, str(facts.local_folder), "answer", rows, tokens)
            yield case, inference_bytes(facts, "float32", context=tokens + (4 if facts.cache else 0), batch=rows)
            supervised = 0.5 if facts.family == "language" else 1.0
            how = Training("lora", rows, tokens, "float32", rank=RANK, supervised=supervised)
            yield case._replace(work="train"), training_bytes(facts, how)
            if (name, rows, tokens) in TRAINED_TIGHT:
                yield case._replace(work="train", tight=True), training_bytes(facts, how._replace(tight=True))


def measure(case: Case) -> dict[str, int]:
    return _told("--child", case)


def traced(case: Case) -> int:
    return _told("--trace", case)["peak"]


def _told(what: str, case: Case) -> dict[str, int]:
    command = [sys.executable, "-W", "ignore", __file__, what, json.dumps(case)]
    environment = os.environ | {"LORASMITH_WITHOUT": ",".join(SELDOM_NEEDED)}  # as a real worker is started
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{case}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def trace(case: Case) -> dict[str, int]:
    from lorasmith.workers.runtime import quiet_libraries

    quiet_libraries()
    from lorasmith.workers.trace import trace_answer, trace_training

    if case.work == "answer":
        return {"peak": trace_answer(Path(case.folder), case.rows, case.tokens, "float32").peak}
    supervised = 0.5 if case.family == "language" else 1.0
    how = Training("lora", case.rows, case.tokens, "float32", rank=RANK, supervised=supervised)
    return {"peak": trace_training(Path(case.folder), case.family, how).peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", default="")
    parser.add_argument("--trace", default="")
    parser.add_argument("--quick", action="store_true", help="the demo model and the smallest published shape")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--no-trace", action="store_true", help="without the second opinion, which takes half the time")
    arguments = parser.parse_args()
    for text, work in ((arguments.child, child), (arguments.trace, trace)):
        if text:
            print(json.dumps(work(Case(*json.loads(text)))))
            return
    models, sizes = tuple(arguments.models.split(",")), SIZES
    if arguments.quick:
        models, sizes = MODELS[:2], (SIZES[0], SIZES[-1])
    with tempfile.TemporaryDirectory() as folder:
        table(cases(Path(folder), models, sizes), with_trace=not arguments.no_trace)


def table(every: Iterator[tuple[Case, InferenceNeed | TrainingNeed]], *, with_trace: bool) -> None:
    print("| model | work | rows × tokens | planned MB | measured MB | error | traced MB | by cause, MB |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    errors: list[float] = []
    for case, need in every:
        found = measure(case)
        planned, measured = need.total - BARE_CPU, found["peak"] - found["bare"]
        errors.append(planned / measured - 1)
        parts = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in need._asdict().items() if size)
        live = f"{traced(case) / 1e6:.0f}" if with_trace and case.family != "diffusion" else "–"
        size = f"{case.rows} × {case.tokens or 'image'}"
        print(
            f"| {case.model} | {case.work}{' (tight)' if case.tight else ''} | {size} | {planned / 1e6:.0f} | {measured / 1e6:.0f} "
            f"| {100 * errors[-1]:+.1f} % | {live} | {parts} |", flush=True,
        )  # fmt: skip
    off = [abs(error) for error in errors]
    print(f"\nmean error {100 * statistics.mean(off):.1f} %, worst {100 * max(off):.1f} % over {len(errors)} cases")


if __name__ == "__main__":
    main()
