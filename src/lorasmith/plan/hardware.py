"""What this machine has: cores, memory, accelerators, native number formats. Reads files and tools, loads no library."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

_BUSY_PERCENT = 35.0  # one busy core of two is 50


class HardwareFacts(BaseModel):
    """The machine, within the limits of this process's container. Memory in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    num_cores: int
    ram_bytes: int
    ram_free_bytes: int
    cpu_has_bf16: bool
    gpu: str = ""
    gpu_bytes: int = 0
    gpu_free_bytes: int = 0
    gpu_capability: float = 0.0

    @property
    def device(self) -> str:
        return "cuda" if self.gpu else "cpu"

    @property
    def free_bytes(self) -> int:
        """Free memory where the model will be."""
        return self.gpu_free_bytes if self.gpu else self.ram_free_bytes


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _cpu_facts() -> tuple[str, bool]:
    """The processor's name, and whether it multiplies bfloat16 natively (AMX, AVX512-BF16, Arm's bf16)."""
    info = _text("/proc/cpuinfo")
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return facts.get("model name") or platform.processor() or platform.machine(), bool(
        flags & {"amx_bf16", "avx512_bf16", "bf16"}
    )


def _cgroup_limit() -> int:
    limit = _text("/sys/fs/cgroup/memory.max").strip() or _text("/sys/fs/cgroup/memory/memory.limit_in_bytes").strip()
    return int(limit) if limit.isdigit() and int(limit) < 2**60 else 0


def _gpu() -> tuple[str, int, int, float]:
    """Name, memory, free memory (bytes) and compute capability of the first CUDA GPU."""
    tool = shutil.which("nvidia-smi")
    if not tool or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "", 0, 0, 0.0
    query = "--query-gpu=name,memory.total,memory.free,compute_cap"
    try:
        done = subprocess.run(
            [tool, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=10, check=True
        )
        name, total, free, capability = (cell.strip() for cell in done.stdout.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return "", 0, 0, 0.0
    return name, int(total) * 2**20, int(free) * 2**20, float(capability)


def peak_resident_bytes() -> int:
    """The most memory that this process has held resident so far.

    Not by getrusage where it can be helped: on Linux its figure starts at what the parent held when it started us.
    """
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


@cache
def _fixed() -> tuple[str, bool, int]:
    name, has_bf16 = _cpu_facts()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return name, has_bf16, cores


def observe() -> HardwareFacts:
    """The machine as it is now."""
    cpu, has_bf16, cores = _fixed()
    memory = psutil.virtual_memory()
    limit = _cgroup_limit()
    gpu, gpu_bytes, gpu_free, capability = _gpu()
    return HardwareFacts(
        cpu=cpu,
        num_cores=cores,
        ram_bytes=min(memory.total, limit or memory.total),
        ram_free_bytes=min(memory.available, limit or memory.available),
        cpu_has_bf16=has_bf16,
        gpu=gpu,
        gpu_bytes=gpu_bytes,
        gpu_free_bytes=gpu_free,
        gpu_capability=capability,
    )


def is_busy() -> bool:
    """Whether other processes keep this machine's cores at work right now; looks for a fifth of a second."""
    return psutil.cpu_percent(interval=0.2) > _BUSY_PERCENT


def where_to_run(device: str = "auto") -> dict[str, Any]:
    """`device` and `precision` for answering: native half precision on a GPU, fp32 on a CPU."""
    machine = observe()
    where = machine.device if device == "auto" else device
    if where == "cuda":
        return {"device": where, "precision": "bfloat16" if machine.gpu_capability >= 8 else "float16"}
    return {"device": where, "precision": "float32"}
