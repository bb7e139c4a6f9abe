"""Energy by the machine's own counters, on machines made of files and a library that is none."""

# ruff: noqa: N802, ARG002  (names and signatures of NVIDIA's library)

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from lorasmith.plan.energy import EnergyMeter, added

ZONES = "sys/class/powercap"


def zone(root: Path, folder: str, name: str, micro_joules: int | None, most: int | None = 1_000_000_000) -> Path:
    path = root / ZONES / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    for file, number in (("energy_uj", micro_joules), ("max_energy_range_uj", most)):
        if number is not None:
            (path / file).write_text(f"{number}\n")
    return path


def now(path: Path, micro_joules: int) -> None:
    (path / "energy_uj").write_text(f"{micro_joules}\n")


def test_packages_and_their_memory_are_counted_once(tmp_path):
    """TRN-7: not what is a part of a package, nor what counts everything once more."""
    counted = [
        zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000), zone(tmp_path, "intel-rapl:1", "package-1", 0),
        zone(tmp_path, "intel-rapl:0:2", "dram", 1_000_000),
    ]  # fmt: skip
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0), zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]  # fmt: skip
    meter = EnergyMeter(root=tmp_path)
    assert meter.joules() == 0
    for path, joules in zip([*counted, *others], (7, 3, 4, 100, 100, 100), strict=True):
        now(path, joules * 1_000_000)
    assert meter.joules() == pytest.approx(2 + 3 + 3)
    assert meter.devices == "CPU"


def test_a_counter_that_starts_anew_loses_nothing(tmp_path):
    """TRN-7"""
    path = zone(tmp_path, "intel-rapl:0", "package-0", 999_000_000)
    meter = EnergyMeter(root=tmp_path)
    now(path, 4_000_000)
    assert meter.joules() == pytest.approx(5)
    now(path, 6_000_000)
    assert meter.joules() == pytest.approx(7)


@pytest.mark.parametrize("files", ["none", "unreadable", "no range"])
def test_what_cannot_be_read_is_not_guessed(tmp_path, files):
    """TRN-7: on most machines only root may read the counters."""
    if files != "none":
        path = zone(tmp_path, "intel-rapl:0", "package-0", None if files == "unreadable" else 9, most=None)
        meter = EnergyMeter(root=tmp_path)
        if files == "no range":
            now(path, 3)
    else:
        meter = EnergyMeter(root=tmp_path)
    assert meter.joules() is None
    assert meter.devices == ""


class Nvml(ModuleType):
    """NVIDIA's library with one card, whose counter stands at `millijoules`; None is a card without one."""

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules: int | None):
        super().__init__("pynvml")
        self.millijoules = millijoules
        self.asked: list[str] = []

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.millijoules is None:
            raise self.NVMLError("Not Supported")
        return self.millijoules


@pytest.mark.parametrize(("has_cpu", "joules", "devices"), [(True, 3.5, "GPU and CPU"), (False, 1.5, "GPU")])
def test_a_card_is_counted_with_the_cpu_where_that_can_be_read(tmp_path, monkeypatch, has_cpu, joules, devices):
    """TRN-7: of the card that trains, by its name."""
    nvml = Nvml(20_000)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    path = zone(tmp_path, "intel-rapl:0", "package-0", 0 if has_cpu else None)
    meter = EnergyMeter("cuda", "GPU-1", root=tmp_path)
    nvml.millijoules = 21_500
    if has_cpu:
        now(path, 2_000_000)
    assert meter.joules() == pytest.approx(joules)
    assert meter.devices == devices
    assert nvml.asked == ["GPU-1"]


@pytest.mark.parametrize(("millijoules", "uuid"), [(None, "GPU-1"), (5, "")])
def test_without_a_card_to_read_a_training_on_a_gpu_has_no_energy(tmp_path, monkeypatch, millijoules, uuid):
    """TRN-7: the CPU's alone would be a wrong number."""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(millijoules))
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = EnergyMeter("cuda", uuid, root=tmp_path)
    assert meter.joules() is None
    assert meter.devices == ""


def test_parts_of_a_resumed_run_are_added_where_both_are_known():
    """TRN-7"""
    assert added(2.0, 3.0) == 5
    assert added(None, 3.0) is None
    assert added(2.0, None) is None
