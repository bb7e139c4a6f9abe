"""What this machine has: cores, memory, accelerators, native number formats. Reads files and tools, loads no library."""

from __future__ import annotations

import os
import re
import resource
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.progress import amount
from lorasmith.core.registry import nearest
from lorasmith.plan.accelerators import GpuFacts, accelerators
from lorasmith.plan.host import ROOT, Processor, processor, ram, text

_RAM_LEFT = 0.85  # of a described machine's memory: a desktop and a browser take the rest
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
    gpus: list[GpuFacts] = []
    """Those that torch would see, in its order. What is said of `gpu` below is said of the first, which torch takes; an Apple
    GPU is listed and not used: no worker was ever tried on one."""
    gpu_trouble: str = ""
    """Why a GPU that is there cannot be used."""
    described: bool = False
    """Whether the user described this machine; False where it was observed."""

    @property
    def num_gpus(self) -> int:
        return len(self.gpus)

    @property
    def _used(self) -> GpuFacts | None:
        return next((gpu for gpu in self.gpus if gpu.kind != "mps"), None)

    @property
    def gpu(self) -> str:
        return self._used.name if self._used else ""

    @property
    def gpu_bytes(self) -> int:
        return self._used.memory_bytes if self._used else 0

    @property
    def gpu_free_bytes(self) -> int:
        return self._used.free_bytes if self._used else 0

    @property
    def gpu_capability(self) -> float:
        return self._used.capability if self._used else 0.0

    @property
    def device(self) -> str:
        """As torch names it: a ROCm GPU is called cuda too."""
        return "cuda" if self._used else "cpu"

    @property
    def free_bytes(self) -> int:
        """Free memory where the model will be."""
        return self.gpu_free_bytes if self.gpu else self.ram_free_bytes


def resident_peak_bytes() -> int:
    """The most memory that this process has held so far, without the pages of libraries.

    Those are shared among processes, dropped when memory is short, and as many as the system happened to read ahead: torch alone
    was seen with 85 MB of them and with 150. Not by getrusage where it can be helped: on Linux its figure starts at what the
    parent held when it started us.
    """
    for line in text(ROOT / "proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 - library_bytes()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def library_bytes() -> int:
    """What this process has resident of the files of libraries, in bytes. Linux only."""
    mapped = psutil.Process().memory_maps(grouped=True)
    return sum(file.rss - file.anonymous for file in mapped if ".so" in Path(file.path).name)


@cache
def _fixed() -> tuple[Processor, int, int]:
    """The processor, and how many of its physical cores and threads this process may use."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processor(), min(threads, psutil.cpu_count(logical=False) or threads), threads


def observe() -> HardwareFacts:
    """The machine as it is now."""
    cpu, cores, threads = _fixed()
    memory = ram()
    gpus, trouble = accelerators(cpu.name, memory)
    return HardwareFacts(
        cpu=cpu.name,
        num_cores=cores,
        ram_bytes=memory.total,
        ram_free_bytes=memory.available,
        cpu_has_bf16=bool(_NATIVE_BF16 & set(cpu.instruction_sets)),
        num_threads=threads,
        instruction_sets=cpu.instruction_sets,
        disk_free_bytes=shutil.disk_usage(paths.existing(paths.home())).free,
        gpus=gpus,
        gpu_trouble=trouble,
    )


def hardware_lines(machine: HardwareFacts) -> list[tuple[str, str]]:
    """The machine as people read it: what, and what is known of it."""
    sets = f", {', '.join(machine.instruction_sets)}" if machine.instruction_sets else ""
    cores = f"{machine.num_cores} core{'' if machine.num_cores == 1 else 's'}"
    return [
        ("CPU", f"{machine.cpu}, {cores}{sets}"),
        ("Memory", f"{amount(machine.ram_bytes)}, {amount(machine.ram_free_bytes)} available"),
        *(("GPU", _gpu_line(gpu)) for gpu in machine.gpus),
        *([] if machine.gpus else [("GPU", machine.gpu_trouble or "none")]),
    ]


def _gpu_line(gpu: GpuFacts) -> str:
    shared = " of the machine's memory" if gpu.kind == "mps" else ""
    return f"{gpu.name}, {amount(gpu.memory_bytes)}{shared}, {amount(gpu.free_bytes)} free"


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
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt](?:i?b)?)?", re.IGNORECASE)
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
    changes: dict[str, Any] = {"described": True, "gpus": [], "gpu_trouble": ""}
    if said.get("vram"):
        size = round(said["vram"] * 2**30)
        gpu = GpuFacts(name=card or "GPU", memory_bytes=size, free_bytes=size, capability=capability)
        changes["gpus"] = [gpu]
    if "ram" in said:
        changes |= {"ram_bytes": round(said["ram"] * 2**30), "ram_free_bytes": round(said["ram"] * 2**30 * _RAM_LEFT)}
    if "disk" in said:
        changes["disk_free_bytes"] = round(said["disk"] * 10**9)
    return here.model_copy(update=changes)


def parse_bytes(text: str) -> int:
    """The bytes that `6GB`, `512 MiB` or `6` (GB) say. Raises UsageProblem."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise UsageProblem(f"'{text}' is no amount of memory", fix="Say for example: 6GB, 512MB or 5.5GiB.")
    number, unit = float(match[1]), (match[2] or "g").lower()
    return round(number * (1024 if "i" in unit else 1000) ** ("kmgt".index(unit[0]) + 1))


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
