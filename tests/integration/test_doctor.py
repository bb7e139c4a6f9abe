"""`lorasmith doctor` as a user meets it: a machine in order, and one thing after another that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "hf_onlyForThisTest"  # noqa: S105  it opens nothing
KEYS = {"schema_version", "lorasmith", "python", "hardware", "findings", "ok"}
TOPICS = {"lorasmith", "CPU", "Memory", "GPU", "Load", "Home", "Settings", "Libraries", "Torch", "Hub", "Token"}
TOOLS = {"uv", "git", "tesseract", "llama.cpp", "ollama"}
HEAVY = ("torch", "transformers", "peft", "accelerate", "pyarrow")


class Hub(BaseHTTPRequestHandler):
    """Says whose token it is, as the Hub does; or behaves as `mood` says."""

    mood = ""
    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.mood == "slow":
            time.sleep(8)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.send_response({"500": 503, "page": 200}.get(self.mood) or (200 if known else 401))
        self.send_header("Content-Type", "text/html" if self.mood == "page" else "application/json; charset=utf-8")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def hub(monkeypatch):
    """A Hub on loopback, whose mood can be changed."""
    handler = type("Handler", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def in_order(hub, monkeypatch):
    """A machine with enough disk, whatever this one has, and without a GPU."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LORASMITH_MIN_DISK_SPACE_GB", "0")
    monkeypatch.setenv("LORASMITH_WARN_DISK_SPACE_GB", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def library(tmp_path, monkeypatch) -> Path:
    """A folder whose modules and packages are found before the installed ones."""
    (tmp_path / "lib").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"), prepend=os.pathsep)
    return tmp_path / "lib"


@pytest.fixture
def told(lorasmith):
    """The findings of a run by topic."""

    def run(code: int = 0) -> dict[str, dict]:
        return {one["topic"]: one for one in json.loads(lorasmith("doctor", "--json", code=code).stdout)["findings"]}

    return run


def distribution(library: Path, name: str, version: str, **files: str) -> None:
    """An installed package as `importlib.metadata` sees it; importing it ends the program."""
    folder = library / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (library / name).mkdir()
    for file, text in {"__init__.py": f"raise SystemExit('{name} was imported')\n", **files}.items():
        (library / name / file).write_text(text)


def nvidia(library: Path, *, driver: int, capability: tuple[int, int] = (8, 6)) -> None:
    """One card, as NVIDIA's own library would tell it."""
    (library / "pynvml.py").write_text(
        "class NVMLError(Exception): pass\nclass Memory: total, free = 12 * 10**9, 11 * 10**9\n"
        "def nvmlInit(): pass\nnvmlShutdown = nvmlInit\ndef nvmlDeviceGetCount(): return 1\n"
        "def nvmlDeviceGetHandleByIndex(index): return index\ndef nvmlDeviceGetMigMode(card): raise NVMLError\n"
        f"def nvmlSystemGetCudaDriverVersion_v2(): return {driver}\n"
        f"def nvmlDeviceGetCudaComputeCapability(card): return {capability}\n"
        "def nvmlDeviceGetName(card): return 'NVIDIA GeForce RTX 3060'\ndef nvmlDeviceGetUUID(card): return 'GPU-1'\n"
        "def nvmlDeviceGetMemoryInfo(card): return Memory\n"
    )


def test_a_machine_in_order_is_told_in_one_screen(lorasmith):
    """INS-1: one line for each finding, nothing made, exit code 0, plain when piped."""
    done = lorasmith("doctor")
    lines = done.stdout.splitlines()
    assert {line[2:13].strip() for line in lines if line[:1] in "✓–!✗"} >= TOPICS | TOOLS
    assert len(lines) <= 24
    assert "\x1b" not in done.stdout
    assert "✗" not in done.stdout
    assert not Path(os.environ["LORASMITH_HOME"]).exists()


def test_json_is_one_object_with_the_documented_keys(lorasmith):
    """INS-1"""
    report = json.loads(lorasmith("doctor", "--json").stdout)
    assert set(report) == KEYS
    assert (report["schema_version"], report["ok"]) == (1, True)
    assert {one["topic"] for one in report["findings"]} == TOPICS | TOOLS
    assert {one["level"] for one in report["findings"]} <= {"ok", "note", "warning"}
    assert report["hardware"]["ram_bytes"] > 0
    assert all(one["fix"] for one in report["findings"] if one["level"] == "warning")


def test_no_heavy_library_is_loaded_and_two_seconds_are_enough():
    """INS-1, SPD-4: of processor time, as others may keep the machine at work."""
    code = (
        "import sys, time; from click.testing import CliRunner; from lorasmith.cli.doctor import command\n"
        f"assert CliRunner().invoke(command).exit_code == 0\nassert not set({HEAVY}) & set(sys.modules)\n"
        "print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


def test_it_answers_where_a_library_is_broken(told, library):
    """INS-1: what cannot be imported is no hindrance."""
    for name in ("pyarrow", "tokenizers", "torch"):
        (library / f"{name}.py").write_text("raise SystemExit('broken')\n")
    assert set(told()) == TOPICS | TOOLS


def test_python_has_it_too():
    """INS-1"""
    import lorasmith

    assert lorasmith.doctor().ok


def test_a_home_that_cannot_be_written_is_a_problem(lorasmith, tmp_path, monkeypatch):
    """INS-1"""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORASMITH_HOME", str(tmp_path / "file" / "home"))
    done = lorasmith("doctor", code=1)
    assert f"The folder '{tmp_path / 'file' / 'home'}' cannot be written" in done.stdout
    assert f"'{tmp_path / 'file'}' is a file" in done.stdout
    assert "Set LORASMITH_HOME" in done.stdout
    assert "Found 1 problem" in done.stdout
    assert done.stderr == ""


def test_a_folder_of_the_settings_that_cannot_be_written_is_a_problem(lorasmith, tmp_path, monkeypatch):
    """INS-1, INS-2"""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORASMITH_MODELS_DIR", str(tmp_path / "file" / "models"))
    done = lorasmith("doctor", code=1)
    assert f"'{tmp_path / 'file' / 'models'}' cannot be written" in done.stdout
    assert "lorasmith config set models_dir" in done.stdout


def test_home_is_told_with_what_decides_it(told, home):
    """INS-1"""
    found = told()["Home"]
    assert (found["details"]["path"], found["details"]["decided_by"]) == (str(home), "LORASMITH_HOME")
    assert found["details"]["free_bytes"] > 0


@pytest.mark.parametrize(("setting", "level", "code"), [("MIN", "problem", 1), ("WARN", "warning", 0)])
def test_a_full_disk_is_told_by_the_settings_own_limits(told, monkeypatch, setting, level, code):
    """INS-1, INS-2"""
    monkeypatch.setenv(f"LORASMITH_{setting}_DISK_SPACE_GB", "1000000")
    assert told(code)["Home"]["level"] == level


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"log_level: info\nhuggingface_token: {TOKEN}: x\n", "Line 2: mapping values are not allowed here"),
        (f"huggingface_token: {TOKEN}\nlog_levle: info\n", "log_level"),
        (f"huggingface_token: {TOKEN}\nlog_level: loud\n", "line 2"),
        (f'huggingface_token: "{TOKEN}\\u0001"\n', "The setting 'huggingface_token' is wrong"),
    ],
    ids=["no YAML", "unknown key", "wrong value", "no token"],
)
def test_settings_that_cannot_be_read_are_a_problem_and_the_rest_is_told(lorasmith, home, text, said):
    """INS-1, INS-2, SEC-5: with the line, and without the token that may stand in it."""
    home.mkdir()
    (home / "config.yaml").write_text(text)
    done = lorasmith("doctor", code=1)
    assert said in done.stdout
    assert "Libraries" in done.stdout
    assert "Token      unknown until" in done.stdout
    debug = lorasmith("--debug", "config", code=1)
    assert TOKEN not in done.stdout + done.stderr + debug.stderr


def test_the_token_is_told_by_its_source_and_never_shown(lorasmith, told, home, monkeypatch):
    """INS-1, SEC-5"""
    found = told()["Token"]
    assert (found["level"], found["details"]["source"]) == ("note", "")
    lorasmith("config", "set", "huggingface_token", TOKEN)
    found = told()["Token"]
    assert (found["level"], found["details"]["accepted"]) == ("ok", True)
    assert found["details"]["source"] == f"{home / 'config.yaml'}, line 1"
    monkeypatch.setenv("HF_TOKEN", TOKEN + "\n")  # as $(cat file) in some shells
    done, as_json = lorasmith("doctor"), lorasmith("doctor", "--json")
    assert "from HF_TOKEN, the Hub takes it" in done.stdout
    monkeypatch.setenv("HF_TOKEN", TOKEN + "Mistyped")
    refused = lorasmith("doctor")
    assert "The Hub refuses the token from HF_TOKEN" in refused.stdout
    assert TOKEN not in "".join(run.stdout + run.stderr for run in (done, as_json, refused))


def test_a_token_that_others_can_read_is_a_warning(lorasmith, told, home):
    """INS-1, SEC-5"""
    lorasmith("config", "set", "huggingface_token", TOKEN)
    assert told()["Settings"]["level"] == "ok"
    (home / "config.yaml").chmod(0o644)
    found = told()["Settings"]
    assert (found["level"], found["fix"]) == ("warning", f"chmod 600 '{home / 'config.yaml'}'")


def test_the_hub_is_asked_one_question(told, hub):
    """INS-1: with the time that it took."""
    found = told()["Hub"]
    assert (found["level"], hub.asked) == ("ok", ["/api/whoami-v2"])
    assert 0 < found["details"]["milliseconds"] < 3000


def test_a_hub_that_nobody_answers_for_is_a_warning_at_once(lorasmith, monkeypatch):
    """INS-1: loopback, a port where nobody listens."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = lorasmith("doctor")
    assert "127.0.0.1 cannot be reached" in done.stdout
    assert "ConnectError" in done.stdout


@pytest.mark.parametrize(
    ("mood", "said"), [("slow", "no answer within 3 s"), ("page", "want a login"), ("500", "it answers with error 503")]
)
def test_a_hub_that_has_a_bad_day_is_a_warning_within_three_seconds(told, hub, mood, said):
    """INS-1"""
    hub.mood = mood
    started = time.monotonic()
    found = told()["Hub"]
    assert time.monotonic() - started < 7  # of a Hub that takes eight; the rest is the start on a busy machine
    assert found["level"] == "warning"
    assert said in found["why"]


def test_offline_mode_asks_nobody(told, monkeypatch):
    """INS-1, INS-13"""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = told()["Hub"]
    assert (found["level"], found["details"]["offline"]) == ("note", True)


@pytest.mark.parametrize(
    ("version_file", "driver", "level", "said"),
    [
        ("cuda: Optional[str] = None\nhip = None\n", 12080, "warning", "https://download.pytorch.org/whl/cu126"),
        ("cuda: Optional[str] = None\n", 13000, "warning", "https://download.pytorch.org/whl/cu130"),
        ("cuda: Optional[str] = '12.6'\nhip: Optional[str] = None\n", 12080, "ok", ""),
        ("cuda = '13.0'\n", 12080, "warning", "Update NVIDIA's driver"),
    ],
    ids=["CPU build", "CPU build, new driver", "right build", "driver too old"],
)
def test_a_torch_that_cannot_use_the_gpu_is_a_warning_with_the_command(
    told, library, monkeypatch, version_file, driver, level, said
):
    """INS-1, CHK-11: told by what torch's files say of its build; torch is not imported."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    nvidia(library, driver=driver)
    distribution(library, "torch", "2.99.0", **{"version.py": version_file})
    findings = told()
    assert findings["GPU"]["what"].startswith("NVIDIA GeForce RTX 3060, 12.0 GB, 11.0 GB free")
    assert findings["Torch"]["level"] == level
    assert said in findings["Torch"]["fix"]


def test_missing_libraries_are_a_warning_with_the_cure(told, library):
    """INS-1: the control plane alone is a whole installation."""
    (library / "sitecustomize.py").write_text(
        "import importlib.util as u\nold = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'peft' else old(name, *rest)\n"
    )
    found = told()["Libraries"]
    assert found["level"] == "warning"
    assert "not installed here: peft" in found["what"]
    assert "lorasmith[train]" in found["fix"]


def test_a_library_that_is_too_old_is_a_warning(told, library):
    """INS-1"""
    distribution(library, "transformers", "4.57.1")
    found = told()["Libraries"]
    assert found["level"] == "warning"
    assert "transformers 4.57.1" in found["what"]
    assert "torch" not in found["what"]


def test_tools_are_found_in_the_path_and_told_by_their_use(told, tmp_path, monkeypatch):
    """INS-1"""
    (tmp_path / "bin").mkdir()
    for name in ("ollama", "llama-server"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    findings = told()
    assert findings["ollama"]["what"] == str(tmp_path / "bin" / "ollama")
    assert findings["llama.cpp"]["details"]["path"] == str(tmp_path / "bin" / "llama-server")
    assert (findings["git"]["level"], findings["git"]["details"]["path"]) == ("note", "")
    assert findings["git"]["details"]["purpose"] in findings["git"]["what"]


def test_leftovers_are_named_with_their_size(lorasmith, told, home, tmp_path, monkeypatch):
    """INS-1, INS-10, REL-3: in home and in folders that settings put elsewhere; what a living process writes is none."""
    assert "Leftovers" not in told()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setenv("LORASMITH_MODELS_DIR", str(tmp_path / "models"))
    download = tmp_path / "models" / "acme_big-2.1.partial" / "model"  # there is a process 1
    checkpoint = home / "adapters" / "run" / "checkpoints" / ".checkpoint-8.partial"
    halves = (home / f".state.json.{ended.pid}.partial", home / f".state.json.{os.getpid()}.partial")
    for folder in (download, checkpoint):
        folder.mkdir(parents=True)
    (download / "weights").write_bytes(b"x" * 5000)
    (download / "more.partial").write_bytes(b"x" * 5000)
    for half in halves:
        half.write_bytes(b"x" * 10)
    found = told()["Leftovers"]
    assert found["level"] == "warning"
    assert found["details"]["bytes"] == {str(checkpoint): 0, str(halves[0]): 10, str(download.parent): 10_000}
    shown = lorasmith("doctor").stdout
    assert f"{download.parent} (10.0 kB)" in shown
    assert f"rm -r {halves[0]} {checkpoint} {download.parent}\n" in shown
