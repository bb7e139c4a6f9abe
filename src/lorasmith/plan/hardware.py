"""What this machine has: cores, memory, accelerators, native number formats. Reads files and tools, loads no library."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest

_RAM_LEFT = 0.85  # of a described machine's memory: a desktop and a browser take the rest

_INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)
_NATIVE_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}
_BUSY_PERCENT = 35.0  # one busy core of two is 50


class HardwareFacts(BaseModel):
    """The machine, within the limits of this process's container. Memory in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    num_cores: int
    ram_bytes: int
    ram_free_bytes: int
    cpu_has_bf16: bool
    num_threads: int = 0
    instruction_sets: list[str] = []
    """Of the processor, those that matter for speed."""
    disk_free_bytes: int = 0
    """Free where the home folder is."""
    gpu: str = ""
    gpu_bytes: int = 0
    gpu_free_bytes: int = 0
    gpu_capability: float = 0.0
    num_gpus: int = 0
    described: bool = False
    """Whether the user described this machine; False where it was observed."""

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


def _cpu_facts() -> tuple[str, list[str]]:
    """The processor's name and those of its instruction sets that matter."""
    info = _text("/proc/cpuinfo")
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    name = facts.get("model name") or platform.processor() or platform.machine()
    return name, [flag for flag in _INSTRUCTION_SETS if flag in flags]


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
def _fixed() -> tuple[str, list[str], int, int]:
    """Name, instruction sets, physical cores and threads that this process may use."""
    name, sets = _cpu_facts()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return name, sets, min(threads, psutil.cpu_count(logical=False) or threads), threads


def observe() -> HardwareFacts:
    """The machine as it is now."""
    cpu, sets, cores, threads = _fixed()
    memory = psutil.virtual_memory()
    limit = _cgroup_limit()
    gpu, gpu_bytes, gpu_free, capability = _gpu()
    return HardwareFacts(
        cpu=cpu,
        num_cores=cores,
        ram_bytes=min(memory.total, limit or memory.total),
        ram_free_bytes=min(memory.available, limit or memory.available),
        cpu_has_bf16=bool(_NATIVE_BF16 & set(sets)),
        num_threads=threads,
        instruction_sets=sets,
        disk_free_bytes=_disk_free(),
        gpu=gpu,
        gpu_bytes=gpu_bytes,
        gpu_free_bytes=gpu_free,
        gpu_capability=capability,
        num_gpus=1 if gpu else 0,
    )


def _disk_free() -> int:
    """Free bytes on the disk of the home folder, or of the first of its parents that exists."""
    folder = next(path for path in (paths.home(), *paths.home().parents) if path.exists())
    return shutil.disk_usage(folder).free


# Memory in GB and compute capability of cards that people name, by the maker's data sheets.
_CARDS = {
    "rtx3050": (8, 8.6), "rtx3060": (12, 8.6), "rtx3070": (8, 8.6), "rtx3080": (10, 8.6), "rtx3090": (24, 8.6),
    "rtx4050": (6, 8.9),
    "rtx4060": (8, 8.9), "rtx4070": (12, 8.9), "rtx4080": (16, 8.9), "rtx4090": (24, 8.9), "rtx5060": (8, 12.0),
    "rtx5070": (12, 12.0),
    "rtx5080": (16, 12.0), "rtx5090": (32, 12.0), "gtx1060": (6, 6.1), "gtx1080": (8, 6.1), "rtx2060": (6, 7.5),
    "rtx2080": (8, 7.5),
    "t4": (16, 7.5), "v100": (32, 7.0), "a10": (24, 8.6), "a100": (80, 8.0), "l4": (24, 8.9), "l40s": (48, 8.9),
    "h100": (80, 9.0),
    "h200": (141, 9.0), "b200": (180, 10.0),
}  # fmt: skip
_GB = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gb|gib|g)?", re.IGNORECASE)


def describe(text: str) -> HardwareFacts:
    """The machine that `text` describes: a card (`rtx3060-6gb`, `rtx4090`), amounts in GB (`ram=16,vram=8`), or both.

    What is not said is as on this machine, the processor included. Raises UsageProblem.
    """
    here = observe()
    said: dict[str, float] = {}
    card, capability = "", 8.0
    for part in (part.strip().lower() for part in text.split(",")):
        key, equals, value = part.partition("=")
        if equals and key in {"ram", "vram", "disk"} and (match := _GB.fullmatch(value)):
            said[key] = float(match[1])
            continue
        name, _, size = part.replace(" ", "").replace("_", "-").partition("-")
        match = _GB.fullmatch(size) if size else None
        if not equals and (match or (name in _CARDS and not size)):
            memory, capability = _CARDS.get(name, (0, 8.0))
            card, said["vram"] = name.upper(), float(match[1]) if match else float(memory)
            continue
        raise UsageProblem(
            f"'{part}' describes no hardware",
            why=nearest(name, _CARDS),
            fix="Say for example: rtx3060-6gb, or ram=16,vram=8 (GB).",
        )
    changes: dict[str, Any] = {
        "described": True,
        "gpu": "",
        "gpu_bytes": 0,
        "gpu_free_bytes": 0,
        "gpu_capability": 0.0,
        "num_gpus": 0,
    }
    if said.get("vram"):
        size = round(said["vram"] * 2**30)
        changes |= {
            "gpu": card or "GPU",
            "gpu_bytes": size,
            "gpu_free_bytes": size,
            "gpu_capability": capability,
            "num_gpus": 1,
        }
    if "ram" in said:
        changes |= {"ram_bytes": round(said["ram"] * 2**30), "ram_free_bytes": round(said["ram"] * 2**30 * _RAM_LEFT)}
    if "disk" in said:
        changes["disk_free_bytes"] = round(said["disk"] * 10**9)
    return here.model_copy(update=changes)


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
