"""What is seen of a machine, on machines made of files: /proc, /sys, NVIDIA's library, macOS' sysctl."""

# ruff: noqa: N802, ARG002  (names and signatures of NVIDIA's library)

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from lorasmith.core.errors import UsageProblem
from lorasmith.plan.accelerators import GpuFacts, accelerators, visible
from lorasmith.plan.hardware import HardwareFacts, describe, hardware_lines, observe
from lorasmith.plan.host import Ram, processor, ram

GB = 10**9
RAM = Ram(64 * GB, 50 * GB)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def no_choice_of_gpus(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def roomy(monkeypatch):
    """A machine of 64 GB with 50 GB available, whatever this one has."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 64 * GB, "available": 50 * GB}))


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
GROUPS = {
    "no control group": ({}, RAM),
    "version 2, no limit": (
        {"proc/self/cgroup": "0::/a\n", f"{V2}/a/memory.max": "max\n", f"{V2}/a/memory.current": "5\n"},
        RAM,
    ),
    "version 2, own limit, some cache": (
        {
            "proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/memory.max": "1000000000\n", f"{V2}/a/b/memory.current": "800000000\n",
            f"{V2}/a/b/memory.stat": "anon 500000000\nfile 300000000\ninactive_file 300000000\n",
        },
        Ram(GB, GB // 2),
    ),
    "version 2, the limit is two levels up": (
        {
            "proc/self/cgroup": "0::/a/b/c\n", f"{V2}/a/b/c/memory.max": "max\n", f"{V2}/a/memory.max": "2000000000\n",
            f"{V2}/a/memory.current": "500000000\n",
        },
        Ram(2 * GB, 1_500_000_000),
    ),
    "version 2, the wider group is the fuller one": (
        {
            "proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/memory.max": "1000000000\n", f"{V2}/a/b/memory.current": "0\n",
            f"{V2}/a/memory.max": "4000000000\n", f"{V2}/a/memory.current": "3900000000\n",
        },
        Ram(GB, GB // 10),
    ),
    "version 2, in a container": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "3000000000\n", f"{V2}/memory.current": "1000000000\n"},
        Ram(3 * GB, 2 * GB),
    ),
    "version 2, the group lies outside": (
        {"proc/self/cgroup": "0::/../../x\n", f"{V2}/memory.max": "3000000000\n", f"{V2}/memory.current": "0\n"},
        Ram(3 * GB, 3 * GB),
    ),
    "version 1, the host's path in a container": (
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n",
            f"{V1}/memory.limit_in_bytes": "2000000000\n", f"{V1}/memory.usage_in_bytes": "1500000000\n",
            f"{V1}/memory.stat": "cache 900000000\ntotal_inactive_file 500000000\n",
        },
        Ram(2 * GB, GB),
    ),
    "version 1, no limit": (
        {"proc/self/cgroup": "4:memory:/\n", f"{V1}/memory.limit_in_bytes": "9223372036854771712\n"},
        RAM,
    ),
    "more is used than allowed": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "1000000000\n", f"{V2}/memory.current": "1100000000\n"},
        Ram(GB, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_memory_stays_within_every_control_group_above(tmp_path, roomy, name):
    """CHK-11: limits of the own group and of those above it, less what they hold and cannot give back."""
    files, expected = GROUPS[name]
    assert ram(tree(tmp_path, files)) == expected


def test_the_processor_is_read_from_proc(tmp_path):
    """CHK-11"""
    root = tree(
        tmp_path, {"proc/cpuinfo": "processor : 0\nmodel name\t: Xeon: the best\nflags\t\t: fpu avx2 sse amx_bf16\n"}
    )
    assert processor(root) == ("Xeon: the best", ["avx2", "amx_bf16"])
    arm = tree(tmp_path / "arm", {"proc/cpuinfo": "processor : 0\nFeatures\t: fp asimd bf16 i8mm crc32\n"})
    assert processor(arm).instruction_sets == ["asimd", "bf16", "i8mm"]


def command(folder: Path, name: str, prints: str) -> None:
    """A stand-in program that prints `prints`."""
    file = tree(folder, {name: f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\n"}) / name
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (
            "machdep.cpu.brand_string: Apple M3 Pro\nhw.optional.arm.AdvSIMD: 1\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 0",
            ("Apple M3 Pro", ["asimd", "bf16"]),
        ),
        (
            "machdep.cpu.brand_string: Intel(R) Core(TM) i7\nmachdep.cpu.leaf7_features: BMI1 AVX2 ERMS\nhw.optional.avx512f: 1",
            ("Intel(R) Core(TM) i7", ["avx2", "avx512f"]),
        ),
    ],
    ids=["arm", "intel"],
)
def test_the_processor_of_a_mac_is_asked_of_sysctl(tmp_path, monkeypatch, says, expected):
    """CHK-11"""
    command(tmp_path / "bin", "sysctl", says)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert processor(tmp_path) == expected


class Nvml(ModuleType):
    """NVIDIA's library as far as it is used: cards by name, with what each says. It is not ours, and needs a driver."""

    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        def __init__(self, value: int, text: str = ""):
            super().__init__(text)
            self.value = value

    class NVMLError_NotSupported(NVMLError):  # noqa: N801  the library's name
        def __init__(self) -> None:
            super().__init__(3, "Not Supported")

    def __init__(self, *cards: dict, fails: Exception | None = None):
        super().__init__("pynvml")
        self.cards, self.fails = cards, fails

    def nvmlInit(self):
        if self.fails:
            raise self.fails

    def nvmlShutdown(self):
        pass

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return 12080

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        if "lost" in self.cards[index]:
            raise self.NVMLError(15, "GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetMigMode(self, card):
        if "parts" not in card:
            raise self.NVMLError_NotSupported
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card, index):
        if index >= len(card["parts"]):
            raise self.NVMLError(6, "Not Found")
        return card["parts"][index]

    def nvmlDeviceGetCudaComputeCapability(self, card):
        return card["capability"]

    def nvmlDeviceGetName(self, part):
        return part["name"]

    def nvmlDeviceGetUUID(self, part):
        return part["uuid"]

    def nvmlDeviceGetMemoryInfo(self, part):
        if "memory" not in part:
            raise self.NVMLError_NotSupported
        return type("Memory", (), {"total": part["memory"], "free": part["memory"] - GB})


SMALL = {"name": "GTX 1060", "uuid": "GPU-1060", "memory": 6 * GB, "capability": (6, 1)}
LARGE = {"name": "RTX 4090", "uuid": "GPU-4090", "memory": 24 * GB, "capability": (8, 9)}


@pytest.fixture
def nvidia(monkeypatch):
    """Puts cards into this machine."""

    def put(*cards, fails=None):
        monkeypatch.setitem(sys.modules, "pynvml", Nvml(*cards, fails=fails))

    return put


def names(root: Path = Path("/nowhere")) -> list[str]:
    return [gpu.name for gpu in accelerators("cpu", RAM, root).gpus]


def test_every_nvidia_card_is_told_with_what_it_has(nvidia):
    """CHK-11: name, memory, compute capability; the fastest first, as CUDA counts."""
    nvidia(SMALL, LARGE)
    large, small = accelerators("cpu", RAM).gpus
    assert (large.name, large.kind, large.memory_bytes, large.free_bytes) == ("RTX 4090", "cuda", 24 * GB, 23 * GB)
    assert (large.capability, large.driver_cuda, small.name) == (8.9, 12.8, "GTX 1060")


def test_cards_come_in_the_order_of_the_bus_where_that_is_asked_for(nvidia, monkeypatch):
    """CHK-11"""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    nvidia(SMALL, LARGE)
    assert names() == ["GTX 1060", "RTX 4090"]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (None, ["a", "b"]), ("", []), ("-1", []), ("1", ["b"]), ("1,0", ["b", "a"]), (" 0 , 1 ", ["a", "b"]), ("0,7,1", ["a"]),
        ("GPU-b", ["b"]), ("GPU-bbbb,GPU-aaaa", ["b", "a"]), ("0,0", []), ("NoDevFiles", []), ("1,", ["b"]),
    ],
)  # fmt: skip
def test_cuda_visible_devices_chooses(wanted, left):
    """CHK-11: by index and by UUID, in its order; empty hides all."""
    gpus = [GpuFacts(name=name, memory_bytes=1, free_bytes=1, uuid=f"GPU-{name * 4}") for name in ("a", "b")]
    assert [gpu.name for gpu in visible(gpus, wanted)] == left


def test_hidden_cards_leave_the_processor(nvidia, monkeypatch):
    """CHK-11"""
    nvidia(LARGE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert observe().device == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert observe().device == "cuda"


def test_a_card_that_is_lost_hides_no_other(nvidia):
    """CHK-11"""
    nvidia({"lost": True}, LARGE)
    found = accelerators("cpu", RAM)
    assert [gpu.name for gpu in found.gpus] == ["RTX 4090"]
    assert found.trouble == "NVIDIA card 0 does not answer: GPU is lost"


def test_a_driver_that_fails_is_told(nvidia):
    """CHK-11: what people meet after an update without a restart."""
    nvidia(fails=Nvml.NVMLError(18, "Driver/library version mismatch"))
    assert accelerators("cpu", RAM) == ([], "NVIDIA's driver does not answer: Driver/library version mismatch")


def test_a_card_without_a_driver_is_told(nvidia, tmp_path):
    """CHK-11"""
    nvidia(fails=Nvml.NVMLError(Nvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert accelerators("cpu", RAM, tmp_path) == ([], "")
    device = "sys/bus/pci/devices/0000:01:00."
    tree(tmp_path, {f"{device}1/vendor": "0x10de\n", f"{device}1/class": "0x040300\n"})  # its sound
    assert accelerators("cpu", RAM, tmp_path) == ([], "")
    tree(tmp_path, {f"{device}0/vendor": "0x10de\n", f"{device}0/class": "0x030000\n"})
    assert accelerators("cpu", RAM, tmp_path) == ([], "There is an NVIDIA card, and no driver for it.")


def test_a_divided_card_is_its_parts(nvidia, monkeypatch):
    """CHK-11: MIG, as clusters hand it out."""
    parts = [{"name": f"A100 MIG 1g.5gb #{n}", "uuid": f"MIG-{n}", "memory": 5 * GB} for n in range(2)]
    nvidia({"name": "A100", "uuid": "GPU-a", "memory": 40 * GB, "capability": (8, 0), "parts": parts})
    assert names() == ["A100 MIG 1g.5gb #0", "A100 MIG 1g.5gb #1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    (chosen,) = accelerators("cpu", RAM).gpus
    assert (chosen.name, chosen.memory_bytes, chosen.capability) == ("A100 MIG 1g.5gb #1", 5 * GB, 8.0)


def test_a_gpu_that_shares_the_memory_has_the_machines(nvidia):
    """CHK-11: Jetson, DGX Spark."""
    nvidia({"name": "GB10", "uuid": "GPU-x", "capability": (12, 1)})
    (gpu,) = accelerators("cpu", RAM).gpus
    assert (gpu.memory_bytes, gpu.free_bytes) == RAM


def amd(root: Path) -> Path:
    """A processor, its graphics that no build of torch knows, and two cards."""
    nodes, drm = "sys/class/kfd/kfd/topology/nodes", "sys/class/drm"
    files = {
        "dev/kfd": "",
        f"{nodes}/0/properties": "cpu_cores_count 16\nsimd_count 0\ngfx_target_version 0\ndrm_render_minor 0\n",
        f"{nodes}/1/properties": "simd_count 4\ngfx_target_version 100306\ndrm_render_minor 128\nunique_id 0\n",
        f"{drm}/renderD128/device/mem_info_vram_total": "536870912\n",
        "usr/share/libdrm/amdgpu.ids": "# List\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tAMD Radeon RX 7900 XT\n",
    }
    for node, minor, revision in ((2, 129, "0xcc"), (10, 130, "0xff")):
        device = f"{drm}/renderD{minor}/device"
        files |= {
            f"{nodes}/{node}/properties": f"simd_count 192\ngfx_target_version 110000\nvendor_id 4098\ndrm_render_minor {minor}\nunique_id {node}\n",
            f"{device}/vendor": "0x1002\n", f"{device}/device": "0x744c\n", f"{device}/revision": f"{revision}\n",
            f"{device}/mem_info_vram_total": "20000000000\n", f"{device}/mem_info_vram_used": "1000000000\n",
        }  # fmt: skip
    return tree(root, files)


def test_amd_cards_are_read_from_the_kernels_files(nvidia, tmp_path):
    """CHK-11: ROCm; graphics that torch has no kernels for are left out."""
    nvidia(fails=Nvml.NVMLError(Nvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    first, second = accelerators("cpu", RAM, amd(tmp_path)).gpus
    assert (first.name, first.kind, first.capability) == ("AMD Radeon RX 7900 XT", "rocm", 11.0)
    assert (first.memory_bytes, first.free_bytes) == (20 * GB, 19 * GB)
    assert second.name == "AMD GPU (gfx1100)"
    assert facts(first).device == "cuda"


def test_amd_cards_are_chosen_by_their_own_variables(nvidia, tmp_path, monkeypatch):
    """CHK-11"""
    nvidia(fails=Nvml.NVMLError(Nvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    root = amd(tmp_path)
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", f"GPU-{10:016x}")
    assert names(root) == ["AMD GPU (gfx1100)"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert names(root) == []
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")  # before CUDA's
    assert names(root) == ["AMD GPU (gfx1100)"]
    (root / "dev/kfd").unlink()
    assert names(root) == []


def test_an_apple_gpu_has_three_quarters_of_the_memory(nvidia, monkeypatch):
    """CHK-11: MPS, unified memory; free is no more than the machine has available. It is told of, and not used."""
    nvidia(fails=Nvml.NVMLError(Nvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    (gpu,) = accelerators("Apple M3", Ram(16 * GB, 5 * GB), Path("/nowhere")).gpus
    assert (gpu.name, gpu.kind, gpu.memory_bytes, gpu.free_bytes) == ("Apple M3 GPU", "mps", 12 * GB, 5 * GB)
    assert (facts(gpu).device, facts(gpu).gpu, facts(gpu).free_bytes) == ("cpu", "", facts().ram_free_bytes)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert names() == []


def facts(*gpus: GpuFacts) -> HardwareFacts:
    return HardwareFacts(
        cpu="c", num_cores=2, ram_bytes=8 * GB, ram_free_bytes=5 * GB, cpu_has_bf16=False, gpus=list(gpus)
    )


def test_what_is_said_of_the_gpu_is_said_of_the_first():
    """CHK-11"""
    small, large = (
        GpuFacts(name=name, memory_bytes=n * GB, free_bytes=n, capability=n) for name, n in (("s", 6), ("l", 8))
    )
    both, none = facts(large, small), facts()
    assert (both.gpu, both.gpu_bytes, both.gpu_free_bytes, both.gpu_capability, both.num_gpus) == (
        "l",
        8 * GB,
        8,
        8.0,
        2,
    )
    assert both.free_bytes == 8
    assert (none.gpu, none.gpu_bytes, none.gpu_free_bytes, none.gpu_capability, none.num_gpus) == ("", 0, 0, 0.0, 0)
    assert (none.device, none.free_bytes) == ("cpu", 5 * GB)
    assert HardwareFacts.model_validate_json(both.model_dump_json()) == both
    assert [what for what, _ in hardware_lines(both)] == ["CPU", "Memory", "GPU", "GPU"]
    assert hardware_lines(none)[-1] == ("GPU", "none")


def test_a_described_machine_has_the_gpu_described_and_no_other(nvidia):
    """CHK-11"""
    nvidia(LARGE, SMALL)
    machine = describe("rtx3060-6gb")
    assert (machine.gpu, machine.num_gpus, machine.gpu_bytes, machine.gpu_capability) == ("RTX3060", 1, 6 * 2**30, 8.6)
    assert describe("ram=16").num_gpus == 0
    assert describe("vram=8").gpu == "GPU"
    with pytest.raises(UsageProblem, match="describes no hardware"):
        describe("rtx3060-x")


def test_observing_is_quick_and_loads_no_torch():
    """CHK-11, SPD-4: well under 0.3 s, the first time in a process."""
    code = (
        "import sys, time; from lorasmith.plan.hardware import observe; started = time.process_time(); machine = observe()\n"
        "assert machine.cpu and 0 < machine.ram_free_bytes <= machine.ram_bytes and machine.num_cores >= 1, machine\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\nprint(time.process_time() - started)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3
