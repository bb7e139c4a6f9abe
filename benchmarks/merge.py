"""Merging an adapter into a model of 1.2 billion parameters, against reading and writing its bytes (ADP-3).

    python benchmarks/merge.py [--folder FOLDER] [--rounds 3]

Makes files of the shapes of Llama 3.2 1B in bfloat16 (2.5 GB; random bytes where weights would be) and an adapter of rank 16 on all
linear layers. Each round copies the files and merges them, one after the other; printed are the medians, their ratio, and how far
the merge raised the memory of this process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from safetensors.torch import save_file

from lorasmith.workers.merging import deltas, merge_files

LAYERS, HIDDEN, MIDDLE, KEYS, VOCABULARY, RANK = 16, 2048, 8192, 512, 128256, 16
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KEYS, HIDDEN), "self_attn.v_proj": (KEYS, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (MIDDLE, HIDDEN), "mlp.up_proj": (MIDDLE, HIDDEN),
    "mlp.down_proj": (HIDDEN, MIDDLE),
}  # fmt: skip
PART = 16 * 2**20


def make(folder: Path) -> tuple[list[Path], Path]:
    """The model's files, and the adapter's folder."""

    def weight(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.bfloat16) * 0.02

    files = []
    for shard in range(4):
        state = {"model.embed_tokens.weight": weight(VOCABULARY, HIDDEN)} if shard == 0 else {}
        for layer in range(shard * LAYERS // 4, (shard + 1) * LAYERS // 4):
            state |= {f"model.layers.{layer}.{name}.weight": weight(*shape) for name, shape in SHAPES.items()}
        files.append(folder / f"model-{shard + 1:05}-of-00004.safetensors")
        save_file(state, files[-1], metadata={"format": "pt"})
    adapter = folder / "adapter"
    adapter.mkdir()
    sides: dict[str, torch.Tensor] = {}
    for layer in range(LAYERS):
        for name, (out, into) in SHAPES.items():
            inside = f"base_model.model.model.layers.{layer}.{name}"
            sides[f"{inside}.lora_A.weight"] = torch.randn(RANK, into) * 0.02
            sides[f"{inside}.lora_B.weight"] = torch.randn(out, RANK) * 0.02
    save_file(sides, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": 32}))
    return files, adapter


def copy(files: list[Path], target: Path) -> None:
    """Read every byte and write it, as a merge has to."""
    for file in files:
        with file.open("rb") as source, (target / file.name).open("wb") as sink:
            while part := source.read(PART):
                sink.write(part)


def timed(work: Callable[[Path], None], folder: Path) -> tuple[float, int]:
    """Seconds until the bytes are on the disk, and by how much the memory of this process rose at most."""
    target = folder / "out"
    target.mkdir()
    process, peak, over = psutil.Process(), [0], threading.Event()
    before = process.memory_info().data

    def watch() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().data - before)

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    work(target)
    os.sync()
    seconds = time.perf_counter() - begun
    over.set()
    thread.join()
    shutil.rmtree(target)
    return seconds, peak[0]


def unheard(done: int, total: int) -> None:
    """Nobody waits for it here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        files, adapter = make(folder)
        size = sum(file.stat().st_size for file in files)
        changes = deltas(adapter) or {}
        copies, merges = [], []
        for _ in range(asked.rounds):
            copies.append(timed(lambda target: copy(files, target), folder))
            merges.append(timed(lambda target: merge_files(files, changes, folder, target, unheard), folder))
    plain, merged = (statistics.median(seconds for seconds, _ in one) for one in (copies, merges))
    print(f"{size / 1e9:.2f} GB in {len(files)} files, {len(changes)} weights of them changed")
    print(f"read and write   {plain:6.2f} s")
    print(f"merge            {merged:6.2f} s   {merged / plain:.2f} times that")
    print(
        f"memory           {max(peak for _, peak in merges) / 1e6:6.0f} MB more at most; the largest weight has {VOCABULARY * HIDDEN * 2 / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
