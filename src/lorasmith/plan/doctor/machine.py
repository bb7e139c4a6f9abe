"""What the doctor says of the machine: processor, memory, GPUs, and whether others keep it at work."""

from __future__ import annotations

import os

from lorasmith.plan.doctor.finding import Finding
from lorasmith.plan.hardware import HardwareFacts, hardware_lines

_SMALL_MEMORY_BYTES = 2 * 10**9  # the worker alone takes 0.45 GB
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def parts(machine: HardwareFacts) -> list[Finding]:
    """One line for the processor, one for the memory, one for each GPU."""
    (cpu, cpu_line), (memory, memory_line), *gpus = hardware_lines(machine)
    findings = [Finding(topic=cpu, what=cpu_line), Finding(topic=memory, what=memory_line)]
    if machine.ram_free_bytes < _SMALL_MEMORY_BYTES:
        findings[1] = Finding(
            topic=memory, level="warning", what=memory_line, why="Even small models need 2 GB.",
            fix="Close other programs, or give the container more memory.",
        )  # fmt: skip
    if not machine.gpus:
        return [*findings, _no_gpu(machine.gpu_trouble)]
    findings += [Finding(topic=gpu, what=line) for gpu, line in gpus]
    return findings + ([_trouble(machine.gpu_trouble)] if machine.gpu_trouble else [])


def _no_gpu(trouble: str) -> Finding:
    hiding = next((name for name in _VARIABLES if name in os.environ), "")
    if trouble:
        return _trouble(trouble, why="Training and answering run on the CPU, many times slower.")
    if hiding:
        return Finding(topic="GPU", level="note", what=f"none to be seen; {hiding}={os.environ[hiding]!r} chooses")
    return Finding(topic="GPU", level="note", what="none: training and answering run on the CPU")


def _trouble(what: str, why: str = "") -> Finding:
    return Finding(
        topic="GPU", level="warning", what=what, why=why,
        fix="Install NVIDIA's driver, restart after its update; start a container with --gpus all.",
    )  # fmt: skip


def load(*, is_busy: bool) -> Finding:
    if not is_busy:
        return Finding(topic="Load", what="the machine is idle", details={"busy": False})
    return Finding(
        topic="Load", level="warning", what="Other programs keep this machine at work",
        why="Training is slower meanwhile, and measurements are not to be trusted.", fix="See which they are:  top",
        details={"busy": True},
    )  # fmt: skip
