"""The energy that this machine's own counters say was used: RAPL for processor and memory, NVML for an NVIDIA card.

Where a counter cannot be read there is no number: it estimates nothing. The counters are the whole device's, whoever uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.plan import hardware
from lorasmith.plan.host import ROOT, text

_ZONES = "sys/class/powercap"
_MICRO, _MILLI = 1e-6, 1e-3


class EnergyMeter:
    """Joules since it was made, of `devices`. Read it at least once in the time that a counter takes to wrap around: for a
    processor of 200 W about twenty minutes.

    For work on the CPU: its packages and the memory that is counted beside them. On a GPU, the card of that `uuid`, and the CPU
    where it can be read. `root` is where `/sys` lies.
    """

    def __init__(self, device: str = "cpu", uuid: str = "", root: Path = ROOT):
        self._zones = _zones(root)
        self._card = _Card(uuid) if device == "cuda" else None
        self._last = [_number(zone / "energy_uj") for zone in self._zones]
        self._micro = 0
        self._can_read = bool(self._zones) and None not in self._last

    @property
    def devices(self) -> str:
        """What is counted: `CPU`, `GPU`, `GPU and CPU`; empty where nothing is."""
        if self._card:
            return ("GPU and CPU" if self._can_read else "GPU") if self._card.can_read else ""
        return "CPU" if self._can_read else ""

    def joules(self) -> float | None:
        """What was used so far; None where the device that trains cannot be read, or could no longer be."""
        self._read_zones()
        cpu = self._micro * _MICRO if self._can_read else None
        if not self._card:
            return cpu
        gpu = self._card.joules()
        return None if gpu is None else gpu + (cpu or 0.0)

    def _read_zones(self) -> None:
        for index, zone in enumerate(self._zones):
            now, before = _number(zone / "energy_uj"), self._last[index]
            # Beyond its range a counter starts anew: https://docs.kernel.org/power/powercap/powercap.html
            around = (
                _number(zone / "max_energy_range_uj") if now is not None and before is not None and now < before else 0
            )
            if now is None or before is None or around is None:
                self._can_read = False
                return
            self._micro += now - before + around
            self._last[index] = now


class _Card:
    """One NVIDIA card's own counter: joules since it was first asked (NVML counts millijoules since the driver was loaded)."""

    def __init__(self, uuid: str):
        import pynvml

        self._nvml: Any = pynvml
        self._handle: Any = None
        self.can_read = False
        if not uuid:
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
            self._start = self._now()
            self.can_read = True
        except self._nvml.NVMLError:  # no driver; cards before Volta and parts of a card (MIG) have no counter
            return

    def _now(self) -> int:
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)

    def joules(self) -> float | None:
        if not self.can_read:
            return None
        try:
            return (self._now() - self._start) * _MILLI
        except self._nvml.NVMLError:
            self.can_read = False
            return None


def energy_meter(device: str) -> EnergyMeter:
    """A meter of the device that trains here: for a GPU the first, which torch takes."""
    cards = (gpu.uuid for gpu in hardware.observe().gpus[:1] if gpu.kind == "cuda") if device == "cuda" else iter(())
    return EnergyMeter(device, next(cards, ""))


def added(before: float | None, now: float | None) -> float | None:
    """The energy of two parts of a run together; unknown where one of them is."""
    return None if before is None or now is None else before + now


def _zones(root: Path) -> list[Path]:
    """The folders of the packages, and of memory that is not counted in them. `psys` would count everything once more, and
    `core` and `uncore` are parts of a package."""
    found = sorted((root / _ZONES).glob("intel-rapl:*"))
    return [zone for zone in found if text(zone / "name").startswith(("package", "dram"))]


def _number(path: Path) -> int | None:
    """None where the file is not there or, as mostly for users that are not root, may not be read."""
    said = text(path)
    return int(said) if said.isdigit() else None
