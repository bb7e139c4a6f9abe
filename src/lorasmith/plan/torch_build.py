"""Which build of torch is installed, and whether it is the one for this machine's GPU. It reads files and imports no torch."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.host import text

# Release 2.9 and later publish builds for these versions of CUDA. Only 12.6 has kernels below compute capability 7.5, only
# 13.0 above 9.0, and 13 runs with drivers of 13 only: the support matrix in pytorch's RELEASE.md; 12.6 ends with release 2.15
# (https://github.com/pytorch/pytorch/issues/190385).
_CUDA_OLD, _CUDA_NEW = 12.6, 13.0
_TURING, _HOPPER = 7.5, 9.0
_ROCM_PAGE = "https://pytorch.org/get-started/locally"
TORCH_INDEX = "https://download.pytorch.org/whl"


class TorchBuild(NamedTuple):
    """`toolkit` is the version of CUDA or ROCm that the build holds; 0 for a CPU build."""

    version: str
    kind: Literal["cpu", "cuda", "rocm"]
    toolkit: float = 0.0

    def __str__(self) -> str:
        names = {"cpu": "CPU build", "cuda": f"CUDA {self.toolkit:.1f}", "rocm": f"ROCm {self.toolkit:.1f}"}
        return f"torch {self.version.split('+')[0]} ({names[self.kind]})"


class Mismatch(NamedTuple):
    """Why the build does not serve the GPU, and what to do."""

    what: str
    why: str
    fix: str


def installed_torch() -> TorchBuild | None:
    """The torch of this environment; None where there is none.

    What counts is `torch/version.py`: the builds on PyPI do not say in their version which CUDA they hold.
    """
    try:
        found = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return None
    stated = text(Path(str(found.locate_file("torch/version.py"))))
    cuda, hip = (re.search(rf"^{name}\b[^=\n]*=\s*['\"](\d+\.\d+)", stated, re.MULTILINE) for name in ("cuda", "hip"))
    if cuda:
        return TorchBuild(found.version, "cuda", float(cuda[1]))
    return TorchBuild(found.version, "rocm", float(hip[1])) if hip else TorchBuild(found.version, "cpu")


def mismatch(build: TorchBuild, gpu: GpuFacts) -> Mismatch | None:
    """What stands between torch and the GPU; None where nothing does."""
    if gpu.kind == "mps":  # every build for macOS has it
        return None
    if gpu.kind != build.kind:
        return Mismatch(
            f"{build} cannot use the {gpu.name}",
            "Training and answering run on the CPU, many times slower.",
            _install_line(gpu) if gpu.kind == "cuda" else f"Take the ROCm command from {_ROCM_PAGE}",
        )  # fmt: skip
    if gpu.kind == "cuda" and _lacks_kernels(build, gpu):
        return Mismatch(
            f"{build} has no kernels for the {gpu.name} (compute capability {gpu.capability})",
            "It ends with 'no kernel image is available'.", _install_line(gpu),
        )  # fmt: skip
    if 0 < gpu.driver_cuda < int(build.toolkit):
        older = f", or take an older build:  {_install_line(gpu)}" if gpu.capability <= _HOPPER else "."
        return Mismatch(
            f"{build} is newer than the driver of the {gpu.name}, which runs CUDA {gpu.driver_cuda}",
            "torch would not find the GPU.", f"Update NVIDIA's driver{older}",
        )  # fmt: skip
    return None


def _lacks_kernels(build: TorchBuild, gpu: GpuFacts) -> bool:
    too_old = gpu.capability < _TURING and build.toolkit >= _CUDA_NEW
    too_new = gpu.capability > _HOPPER and build.toolkit <= _CUDA_OLD
    return too_old or too_new


def backend_for(gpu: GpuFacts | None) -> str:
    """Which of torch's builds is for the GPU, as torch's index and uv name them; the CPU's without one, `auto` for ROCm's."""
    if gpu is None or gpu.kind == "mps":
        return "cpu"
    if gpu.kind == "rocm":  # uv asks the driver
        return "auto"
    is_new = gpu.capability > _HOPPER or (gpu.capability >= _TURING and gpu.driver_cuda >= _CUDA_NEW)
    return f"cu{_CUDA_NEW if is_new else _CUDA_OLD}".replace(".", "")


def _install_line(gpu: GpuFacts) -> str:
    """The command that puts the right CUDA build into this environment."""
    python = shlex.quote(sys.executable)
    return f"{python} -m pip install --force-reinstall torch --index-url {TORCH_INDEX}/{backend_for(gpu)}"
