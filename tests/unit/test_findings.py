"""What the doctor finds, on machines that are not this one."""

from __future__ import annotations

import pytest

from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.doctor.machine import load, parts
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.torch_build import TorchBuild, mismatch

GB = 10**9
CPU, CUDA_126, CUDA_130 = (
    TorchBuild("2.13.0", "cpu"),
    TorchBuild("2.13.0", "cuda", 12.6),
    TorchBuild("2.13.0", "cuda", 13.0),
)
ROCM = TorchBuild("2.13.0", "rocm", 7.2)


def gpu(kind="cuda", capability=8.6, driver=13.0) -> GpuFacts:
    return GpuFacts(
        name="card", kind=kind, memory_bytes=8 * GB, free_bytes=7 * GB, capability=capability, driver_cuda=driver
    )


@pytest.mark.parametrize(
    ("build", "card", "fix"),
    [
        (CPU, gpu(), "whl/cu130"), (CPU, gpu(driver=12.8), "whl/cu126"), (CPU, gpu(capability=6.1), "whl/cu126"),
        (CPU, gpu(capability=12.0, driver=12.8), "whl/cu130"), (CPU, gpu("rocm"), "pytorch.org/get-started"),
        (ROCM, gpu(), "whl/cu130"), (CUDA_126, gpu("rocm"), "pytorch.org/get-started"),
        (CUDA_130, gpu(capability=7.0), "whl/cu126"), (CUDA_126, gpu(capability=12.0), "whl/cu130"),
        (CUDA_130, gpu(driver=12.8), "whl/cu126"),
    ],
)  # fmt: skip
def test_a_build_that_does_not_serve_the_card_comes_with_the_one_that_does(build, card, fix):
    """INS-1, INS-6"""
    found = mismatch(build, card)
    assert found
    assert fix in found.fix


@pytest.mark.parametrize(
    ("build", "card"),
    [
        (CUDA_126, gpu()), (CUDA_126, gpu(capability=6.1, driver=12.0)), (CUDA_130, gpu(capability=12.0)), (CUDA_130, gpu(driver=0)),
        (ROCM, gpu("rocm", capability=11.0, driver=0)), (CPU, gpu("mps")),
    ],
)  # fmt: skip
def test_a_build_that_serves_the_card_is_left_alone(build, card):
    """INS-1, INS-6"""
    assert mismatch(build, card) is None


def machine(**changes) -> HardwareFacts:
    fields = {"cpu": "c", "num_cores": 1, "ram_bytes": 8 * GB, "ram_free_bytes": 5 * GB, "cpu_has_bf16": False}
    return HardwareFacts(**{**fields, **changes})


def levels(facts: HardwareFacts) -> list[tuple[str, str]]:
    return [(finding.topic, finding.level) for finding in parts(facts)]


def test_each_part_of_a_machine_has_a_line(monkeypatch):
    """INS-1, CHK-11"""
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    fine = [("CPU", "ok"), ("Memory", "ok")]
    assert levels(machine()) == [*fine, ("GPU", "note")]
    assert levels(machine(gpus=[gpu(), gpu()])) == [*fine, ("GPU", "ok"), ("GPU", "ok")]
    assert levels(machine(gpus=[gpu()], gpu_trouble="card 1 is lost")) == [*fine, ("GPU", "ok"), ("GPU", "warning")]
    assert levels(machine(gpu_trouble="no driver")) == [*fine, ("GPU", "warning")]
    assert levels(machine(ram_free_bytes=GB))[1] == ("Memory", "warning")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert parts(machine())[2].what == "none to be seen; CUDA_VISIBLE_DEVICES='' chooses"


def test_a_machine_at_work_is_a_warning():
    """INS-1"""
    assert (load(is_busy=True).level, load(is_busy=False).level) == ("warning", "ok")
