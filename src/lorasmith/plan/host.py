"""The processor and the memory of this machine, within the limits of this process's container. It loads no library.

`root` is where `/proc` and `/sys` lie; what is missing there is asked of the system (macOS has `sysctl` in their place).
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path("/")
# Those that matter for speed, in the order in which they are told.
_INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm", "sve",
)  # fmt: skip
_APPLE_NAMES = {"advsimd": "asimd", "feat_bf16": "bf16", "feat_i8mm": "i8mm", "avx2_0": "avx2"}
_UNLIMITED = 2**60  # control groups of version 1 write a number near 2**63 where there is no limit


class Processor(NamedTuple):
    """Its name, and those of its instruction sets that matter for speed."""

    name: str
    instruction_sets: list[str]


class Ram(NamedTuple):
    """Bytes that this process could have, and that it can have now."""

    total: int
    available: int


class _Version(NamedTuple):
    """Where a version of control groups keeps what."""

    folder: str
    limit: str
    used: str
    reclaimable: str


_V1 = _Version("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def text(path: Path) -> str:
    """The file's text without its end; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def processor(root: Path = ROOT) -> Processor:
    """By `/proc/cpuinfo`, or by `sysctl` where there is none."""
    lines = dict(line.split(":", 1) for line in text(root / "proc/cpuinfo").splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()} or _sysctl()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    name = facts.get("model name") or platform.processor() or platform.machine()
    return Processor(name, [flag for flag in _INSTRUCTION_SETS if flag in flags])


def _sysctl() -> dict[str, str]:
    """What macOS says of the processor, under the names of `/proc/cpuinfo`."""
    tool = shutil.which("sysctl")
    if not tool:
        return {}
    done = subprocess.run([tool, "machdep.cpu", "hw.optional"], capture_output=True, text=True, timeout=5, check=False)
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    flags = " ".join(said.get(f"machdep.cpu.{name}", "") for name in ("features", "leaf7_features")).lower().split()
    flags += [key.rsplit(".", 1)[1].lower() for key, value in said.items() if key.startswith("hw.") and value == "1"]
    return {
        "model name": said.get("machdep.cpu.brand_string", ""),
        "flags": " ".join(_APPLE_NAMES.get(flag, flag) for flag in flags),
    }


def ram(root: Path = ROOT) -> Ram:
    """The machine's memory, or less where this process's control group, or one above it, has a limit."""
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    for limit, used in _limits(root):
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Ram(total, available)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and bytes in use of each control group that has a limit. File cache that nobody uses now is given back on demand."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version = _V1 if controllers else _V2
        for group in _upwards(root / version.folder, path):
            limit = text(group / version.limit)
            if limit.isdigit() and int(limit) < _UNLIMITED:
                statistics = dict(
                    line.split(" ", 1) for line in text(group / "memory.stat").splitlines() if " " in line
                )
                used = int(text(group / version.used) or 0) - int(statistics.get(version.reclaimable, 0))
                yield int(limit), max(0, used)


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it. In a container the path may be the host's; the top is its own."""
    group = top / path.lstrip("/")
    yield group
    while group != top:
        group = group.parent
        yield group
