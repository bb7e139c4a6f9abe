"""The GPUs that torch would see: CUDA through NVIDIA's management library, ROCm through the kernel's files, Apple's by its name.

It loads no torch and starts no process.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from lorasmith.plan.host import ROOT, Ram, text

# What the published ROCm builds of torch hold kernels for: PYTORCH_ROCM_ARCH in pytorch's .ci/docker/manywheel/build.sh.
# Graphics inside a processor is mostly not among them.
_ROCM_TARGETS = {
    "gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1150",
    "gfx1151", "gfx1200", "gfx1201",
}  # fmt: skip
# Of the memory that an Apple GPU shares, what Metal lets it take: `recommendedMaxWorkingSetSize` is 48 GB of 64 and 96 of 128
# (https://developer.apple.com/documentation/metal/mtldevice/recommendedmaxworkingsetsize); below 36 GB it is nearer to 2/3.
_MPS_SHARE = 0.75
_NVIDIA = "0x10de"
_DISPLAY = "0x03"
_AMD_NAMES = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")


class GpuFacts(BaseModel):
    """One GPU. Memory in bytes; an Apple GPU shares the machine's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["cuda", "rocm", "mps"] = "cuda"
    memory_bytes: int
    free_bytes: int
    capability: float = 0.0
    """Compute capability as torch tells it: 8.6; for ROCm the first two numbers of gfx1030: 10.3."""
    driver_cuda: float = 0.0
    """The newest CUDA that its driver runs."""
    uuid: str = ""


class Accelerators(NamedTuple):
    """The GPUs in torch's order, and why one that is there is not among them."""

    gpus: list[GpuFacts]
    trouble: str = ""


def accelerators(cpu: str, ram: Ram, root: Path = ROOT) -> Accelerators:
    """The GPUs of one kind, as a build of torch knows only one: CUDA before ROCm before Apple's."""
    cuda = _cuda(ram, root)
    if cuda.gpus or cuda.trouble:
        return Accelerators(visible(cuda.gpus, os.environ.get("CUDA_VISIBLE_DEVICES")), cuda.trouble)
    rocm = visible(_rocm(root), os.environ.get("ROCR_VISIBLE_DEVICES"))
    if rocm:
        wanted = os.environ.get("HIP_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
        return Accelerators(visible(rocm, wanted))
    return Accelerators(_apple(cpu, ram))


def visible(gpus: list[GpuFacts], wanted: str | None) -> list[GpuFacts]:
    """Those that a variable like CUDA_VISIBLE_DEVICES leaves, in its order; None leaves all.

    Indices, or beginnings of UUIDs. As in CUDA the first wrong one ends the list, and one named twice empties it:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars
    """
    if wanted is None:
        return gpus
    chosen: list[GpuFacts] = []
    for word in (word.strip() for word in wanted.split(",")):
        if word.isdigit():
            found = gpus[int(word)] if int(word) < len(gpus) else None
        else:
            found = next((gpu for gpu in gpus if word and gpu.uuid.startswith(word)), None)
        if found is None:
            break
        if found in chosen:
            return []
        chosen.append(found)
    return chosen


def _cuda(ram: Ram, root: Path) -> Accelerators:
    import pynvml

    nvml: Any = pynvml  # its errors are made when it is imported
    gpus: list[GpuFacts] = []
    trouble = ""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return Accelerators([], f"NVIDIA's driver does not answer: {error}")
        return Accelerators([], "There is an NVIDIA card, and no driver for it." if _has_nvidia_card(root) else "")
    try:
        version = nvml.nvmlSystemGetCudaDriverVersion_v2()
        driver = version // 1000 + version % 1000 // 10 / 10
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                card = nvml.nvmlDeviceGetHandleByIndex(index)
                gpus += [_cuda_gpu(nvml, part, card, driver, ram) for part in _parts(nvml, card)]
            except nvml.NVMLError as error:
                trouble = f"NVIDIA card {index} does not answer: {error}"
    except nvml.NVMLError as error:
        trouble = f"NVIDIA's driver does not answer: {error}"
    finally:
        nvml.nvmlShutdown()
    if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":  # CUDA's own order is the fastest first; an estimate of it
        gpus.sort(key=lambda gpu: (-gpu.capability, -gpu.memory_bytes))
    return Accelerators(gpus, trouble)


def _parts(nvml: Any, card: Any) -> Iterator[Any]:
    """The card, or the instances that it is divided into (MIG)."""
    try:
        is_divided = nvml.nvmlDeviceGetMigMode(card)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:  # most cards cannot be divided
        is_divided = False
    if not is_divided:
        yield card
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index)
        except nvml.NVMLError:  # an index that no instance has
            continue


def _cuda_gpu(nvml: Any, part: Any, card: Any, driver: float, ram: Ram) -> GpuFacts:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(card)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(part)
        total, free = memory.total, memory.free
    except nvml.NVMLError_NotSupported:  # the GPU shares the machine's memory: Jetson, DGX Spark
        total, free = ram
    return GpuFacts(
        name=nvml.nvmlDeviceGetName(part), memory_bytes=total, free_bytes=free, capability=major + minor / 10,
        driver_cuda=driver, uuid=nvml.nvmlDeviceGetUUID(part),
    )  # fmt: skip


def _has_nvidia_card(root: Path) -> bool:
    devices = (root / "sys/bus/pci/devices").glob("*")
    return any(text(device / "vendor") == _NVIDIA and text(device / "class").startswith(_DISPLAY) for device in devices)


def _rocm(root: Path) -> list[GpuFacts]:
    """GPUs that the kernel's compute driver lists, that this process may use and that torch's builds know."""
    if not (root / "dev/kfd").exists():
        return []
    nodes = sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*"), key=lambda node: int(node.name))
    found = (_rocm_gpu(text(node / "properties"), root) for node in nodes)
    return [gpu for gpu in found if gpu]


def _rocm_gpu(properties: str, root: Path) -> GpuFacts | None:
    """The GPU of one node of the compute driver's topology; None for a processor, and for a GPU that cannot be used."""
    facts = {key: int(value) for key, value in (line.split() for line in properties.splitlines())}
    version = facts.get("gfx_target_version", 0)
    major, minor, step = version // 10_000, version // 100 % 100, version % 100
    is_known = f"gfx{major}{minor}{step:x}" in _ROCM_TARGETS or bool(os.environ.get("HSA_OVERRIDE_GFX_VERSION"))
    device = root / f"sys/class/drm/renderD{facts.get('drm_render_minor', 0)}/device"
    total = text(device / "mem_info_vram_total")
    if not version or not is_known or not total.isdigit():
        return None
    used = text(device / "mem_info_vram_used")
    return GpuFacts(
        name=_amd_name(device, root) or f"AMD GPU (gfx{major}{minor}{step:x})", kind="rocm", memory_bytes=int(total),
        free_bytes=int(total) - int(used or 0), capability=major + minor / 10,
        uuid=f"GPU-{facts.get('unique_id', 0):016x}",
    )  # fmt: skip


def _amd_name(device: Path, root: Path) -> str:
    """The name that libdrm's list has for the device and its revision, or the one that the card carries."""
    key = [f"{int(text(device / name) or '0', 16):02X}" for name in ("device", "revision")]
    for names in _AMD_NAMES:
        for line in text(root / names).splitlines():
            parts = [part.strip() for part in line.split(",", 2)]
            if parts[:2] == key:
                return parts[-1]
    return text(device / "product_name")


def _apple(cpu: str, ram: Ram) -> list[GpuFacts]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    usable = round(_MPS_SHARE * ram.total)
    return [GpuFacts(name=f"{cpu} GPU", kind="mps", memory_bytes=usable, free_bytes=min(usable, ram.available))]
