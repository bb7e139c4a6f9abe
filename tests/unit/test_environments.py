"""What an installation decides before it does anything: packages, places they come from, settings, secrets."""

from __future__ import annotations

import compileall
import os
import stat
import subprocess
import sys

import pytest
import yaml

from lorasmith.core import settings
from lorasmith.core.secrets import masked
from lorasmith.env import environment, sources
from lorasmith.env.environment import Environment, own_requirements
from lorasmith.env.folder import own_bytes
from lorasmith.env.log import InstallLog
from lorasmith.env.packages import cure, packages_for
from lorasmith.env.sources import Sources, sources_for
from lorasmith.families._native import native_types
from lorasmith.hub.requirements import Requirement, Requirements
from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.hardware import describe


def needs(*specific: Requirement) -> Requirements:
    return Requirements(
        base=[Requirement(package="torch"), Requirement(package="transformers")], specific=list(specific),
        optional=[Requirement(package="flash-attn", note="optional, requires CUDA 11.6+", kind="optional")],
        formats=[], stored_dtype="float32", quantization="", flash_attention=False, custom_code=[],
    )  # fmt: skip


KERNELS = Requirement(package="mamba-ssm", note="requires CUDA compilation", kind="kernels")
SPECIAL = Requirement(package="detectron2", note="requires CUDA compilation", kind="special")


def test_without_cuda_kernels_are_left_out_and_said_so():
    """INS-6"""
    chosen = packages_for(needs(KERNELS, SPECIAL), describe("ram=16"), "none")
    assert chosen.special == ["detectron2"]
    assert chosen.optional == []
    assert [sentence.split()[0] for sentence in chosen.skipped] == ["mamba-ssm", "flash-attn"]
    assert {"torch", "transformers"} <= set(chosen.ordinary)


def test_with_cuda_they_are_wanted():
    """INS-6"""
    chosen = packages_for(needs(KERNELS, SPECIAL), describe("rtx3060-6gb"), "4bit")
    assert chosen.special == ["mamba-ssm", "detectron2"]
    assert chosen.optional == ["flash-attn"]
    assert chosen.skipped == []
    assert "bitsandbytes" in chosen.ordinary


def test_lorasmith_brings_what_its_workers_need():
    """INS-6: and not what makes environments."""
    names = {line.split(">")[0] for line in own_requirements()}
    assert {"torch", "peft", "transformers", "tensorboard", "pydantic", "click", "nvidia-ml-py"} <= names
    assert "uv" not in names


def test_the_cure_is_numbered_and_names_this_environment(tmp_path):
    """INS-6: compiler, build tools, the command in this very environment."""
    with InstallLog(tmp_path / "log") as log:
        place = Environment(tmp_path / ".venv", Sources(), log, store=tmp_path)
        steps = cure("mamba-ssm", place, "acme/mamba").fix.splitlines()
    assert [step[:2] for step in steps] == ["1.", "2.", "3.", "4."]
    assert "nvcc --version" in steps[0]
    assert "build-essential" in steps[1]
    assert "xcode-select" in steps[1]
    assert str(tmp_path / ".venv/bin/python") in steps[2]
    assert "mamba-ssm" in steps[2]
    assert steps[3].endswith("lorasmith install acme/mamba")


def gpu(**facts) -> GpuFacts:
    values = {
        "kind": "cuda",
        "name": "x",
        "memory_bytes": 8 * 10**9,
        "free_bytes": 8 * 10**9,
        "capability": 8.6,
        "driver_cuda": 13.0,
    }
    return GpuFacts(**(values | facts))


@pytest.fixture
def pip_set_up(monkeypatch):
    """As if pip were set up with these lines; the real `pip config list` reads the variables."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def set_up(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"PIP_{name}", value)

    return set_up


def test_where_pip_is_set_up_nobody_else_is_asked(pip_set_up):
    """INS-6: an administrator's mirror holds for uv too."""
    pip_set_up(
        INDEX_URL="https://mirror.example/simple",
        EXTRA_INDEX_URL="https://a.example https://b.example",
        FIND_LINKS="/wheels",
    )
    found = sources_for(None)
    assert found == Sources("https://mirror.example/simple", ("https://a.example", "https://b.example"), ("/wheels",))
    assert found.for_uv() == [
        "--default-index", "https://mirror.example/simple", "--index", "https://a.example", "--index", "https://b.example",
        "--find-links", "/wheels", "--index-strategy", "unsafe-best-match",
    ]  # fmt: skip
    assert found.for_pip() == []


@pytest.mark.parametrize(
    ("card", "backend"),
    [
        (None, "cpu"),
        (gpu(), "cu130"),
        (gpu(driver_cuda=12.4), "cu126"),
        (gpu(capability=6.1), "cu126"),
        (gpu(capability=12.0, driver_cuda=12.8), "cu130"),
        (gpu(kind="rocm", capability=0.0, driver_cuda=0.0), "auto"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every build is on PyPI")
def test_torch_is_the_build_for_this_machine(card, backend, pip_set_up):
    """INS-6"""
    found = sources_for(card)
    assert found.for_uv() == ["--torch-backend", backend]
    index = ["--extra-index-url", f"https://download.pytorch.org/whl/{backend}"]
    assert found.for_pip() == ([] if backend == "auto" else index)


def test_uv_is_used_where_it_is_and_wanted(tmp_path, monkeypatch):
    """INS-6"""
    with InstallLog(tmp_path / "log") as log:
        assert Environment(tmp_path, Sources(), log, store=tmp_path).installer == "uv"
        assert Environment(tmp_path, Sources(), log, store=tmp_path, installer="pip").installer == "pip"
        monkeypatch.setattr(environment.sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        assert Environment(tmp_path, Sources(), log, store=tmp_path).installer == "pip"


def test_a_hard_link_is_not_its_own_disk(tmp_path):
    """INS-6: what an environment costs is what it alone holds."""
    store, place = tmp_path / "store", tmp_path / "place"
    store.mkdir()
    place.mkdir()
    (store / "large").write_bytes(b"x" * 10**6)
    os.link(store / "large", place / "large")
    (place / "own").write_bytes(b"x" * 10_000)
    assert 10_000 <= own_bytes(place) < 100_000


def test_what_a_neighbour_compiled_of_the_same_file_is_linked(tmp_path):
    """INS-6: and nothing of another file of the same name; what is imported is the same."""
    folders = [tmp_path / name for name in ("first", "second")]
    sites = [folder / "lib" / "python3.11" / "site-packages" for folder in folders]
    for site in sites:
        (site / "pack").mkdir(parents=True)
    (sites[0] / "pack" / "same.py").write_text("VALUE = 'same'")
    os.link(sites[0] / "pack" / "same.py", sites[1] / "pack" / "same.py")
    for site, value in zip(sites, ("theirs", "mine"), strict=True):
        (site / "pack" / "other.py").write_text(f"VALUE = '{value}'")
        (site / "pack" / "__init__.py").write_text("")
    compileall.compile_dir(sites[0], quiet=2)
    with InstallLog(tmp_path / "log") as log:
        Environment(folders[1], Sources(), log, store=tmp_path).adopt_bytecode(folders)
    (linked,) = (sites[1] / "pack" / "__pycache__").iterdir()
    assert linked.samefile(sites[0] / "pack" / "__pycache__" / linked.name)
    assert linked.name.startswith("same.")
    code = "import pack.same, pack.other; print(pack.same.VALUE, pack.other.VALUE, pack.same.__cached__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=sites[1], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["same", "mine", str(linked)]


def test_types_that_transformers_has_are_listed():
    """INS-3: scripts/native_types.py makes the list; code of a repository is wanted only where it is not on it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert native_types() == set(CONFIG_MAPPING_NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "token hf_abcdefghijklmnopqrstuvwxyz0123 was refused",
        "key sk-abcdefghijklmnopqrstuvwx",
        "https://user:verysecret@mirror.example/simple",
        "Authorization: Bearer verysecret",
    ],
)
def test_secrets_become_stars(text):
    """SEC-5, INS-7"""
    told = masked(text)
    assert "***" in told
    assert "verysecret" not in told
    assert "abcdefghijkl" not in told


def test_the_log_keeps_no_secret_and_the_whole_traceback(tmp_path):
    """INS-7"""
    path = tmp_path / "logs" / "x.log"

    def fail() -> None:
        with InstallLog(path, "my-own-token") as log:
            log.step("asks with my-own-token")
            raise ValueError("my-own-token is wrong")

    with pytest.raises(ValueError, match="my-own-token"):
        fail()
    text = path.read_text()
    assert "my-own-token" not in text
    assert "asks with ***" in text
    assert "Traceback (most recent call last)" in text
    assert text[:4].isdigit()


def test_the_example_settings_explain_every_key_and_change_nothing(home):
    """INS-1, INS-2: made once, kept ever after."""
    path, is_new = settings.init()
    assert is_new
    text = path.read_text()
    assert all(f"\n# {name}: " in text for name in settings.Settings.model_fields)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.load() == settings.Settings()
    uncommented = yaml.safe_load(
        "\n".join(
            line[2:]
            for line in text.splitlines()
            if ": " in line and line[2:].split(":")[0] in settings.Settings.model_fields
        )
    )
    path.write_text(yaml.safe_dump(uncommented))
    assert settings.load() == settings.Settings()
    assert settings.init() == (path, False)
    assert all((home / name).is_dir() for name in ("models", "adapters", "datasets", "cache", "logs"))


def test_pip_says_how_it_is_set_up(pip_set_up):
    pip_set_up()
    assert sources.configured_sources() == Sources()
    assert subprocess.run([sys.executable, "-m", "pip", "--version"], check=True, capture_output=True).stdout
