"""`lorasmith install` as a user meets it: real environments, a Hub that behaves and one that does not, interruptions."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lorasmith.core import settings
from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem, UsageProblem
from lorasmith.env.before import limits_close, refuse_unfit
from lorasmith.env.folder import mend, partial_of, take_place, troubles
from lorasmith.env.records import read_model_config, read_model_info
from lorasmith.env.spec import InstallSpec
from lorasmith.hub.installed import installed_folders, place_for
from lorasmith.plan.check import check
from lorasmith.plan.report import Question
from lorasmith.testing import shapes
from lorasmith.testing.hub import HubServer, Rules

FILES = {
    "model", ".venv", "logs", "model_info.json", "config.yaml", "install.log", "start.sh", "train.sh", "serve_api.py", "serve_ui.html",
    "model_loader.py", ".install_complete",
}  # fmt: skip


@pytest.fixture(scope="module")
def hub_root(tmp_path_factory, tiny_llama) -> Path:
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(tiny_llama, root / "acme" / "tiny")
    shutil.copytree(tiny_llama, root / "acme" / "large")
    with (root / "acme" / "large" / "tokenizer.json").open("a") as file:
        file.write(" " * 3_000_000)
    return root


@pytest.fixture
def hub(hub_root, monkeypatch):
    with HubServer(hub_root) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(hub_root / "nobody"))
        yield server


@pytest.fixture(autouse=True)
def _small_disks_are_large_enough(monkeypatch):
    monkeypatch.setenv("LORASMITH_MIN_DISK_SPACE_GB", "0")


def shown_in(folder: Path) -> list[str]:
    """Names in `folder` but for hidden ones: locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def processes_in(folder: Path) -> list[str]:
    """Commands of living processes that name `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


def test_a_model_of_the_hub_gets_a_place_of_its_own(lorasmith, hub, home, sums, tmp_path):
    """INS-3, INS-4, INS-5, INS-6, INS-8, INS-9, INS-11, INS-12: installed, listed, moved, trained, removed."""
    done = lorasmith("install", "acme/tiny")
    folder = home / "models" / "acme_tiny"
    assert {path.name for path in folder.iterdir()} == FILES
    assert "wrote 5 tokens" in done.stdout
    assert str(folder) in done.stdout
    info = read_model_info(folder)
    assert (info.model_id, info.source, info.model_path) == ("acme/tiny", "acme/tiny", "./model")
    assert (info.revision, info.model_family) == (hub.commit("acme/tiny"), "language")
    assert info.load_test["class"] == "LlamaForCausalLM"
    assert info.versions["torch"].startswith("2.")
    assert info.environment_bytes < 10**8
    assert "complete" in (folder / "install.log").read_text()
    assert not any(path.is_symlink() for path in (folder / "model").rglob("*"))
    assert {path.name: path.stat().st_size for path in (folder / "model").iterdir()} == info.files
    assert not list((home / "cache").rglob("*.part"))

    (listed,) = json.loads(lorasmith("list", "--json").stdout)
    assert (listed["name"], listed["model_id"], listed["family"], listed["troubles"]) == (
        "acme_tiny",
        "acme/tiny",
        "language",
        [],
    )
    again = lorasmith("install", "acme/tiny", code=2)
    assert "is installed already" in again.stderr
    hub.asked.clear()
    assert json.loads(lorasmith("check", "acme/tiny", "--json").stdout)["model_id"] == "acme/tiny"
    assert not hub.asked, "an installed model needs no Hub"

    moved = tmp_path / "elsewhere" / "my model"
    moved.parent.mkdir()
    folder.rename(moved)
    help_text = subprocess.run(
        [moved / "start.sh", "--help"], capture_output=True, text=True, cwd="/", check=True
    ).stdout
    assert "--load-in-8bit" in help_text
    trained = subprocess.run(
        [moved / "train.sh", "--data", sums, "--max-steps", "2", "--no-tensorboard", "--output", tmp_path / "run"],
        capture_output=True, text=True, cwd="/", check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run" / "lora" / "adapter_model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "training_report.json").read_text())["model_id"] == "acme/tiny"
    loader = "from model_loader import load; print(sum(p.numel() for p in load().parameters()))"
    counted = subprocess.run(
        [moved / ".venv/bin/python", "-c", loader], capture_output=True, text=True, cwd=moved, check=True
    )
    assert int(counted.stdout) == info.parameters["total"]
    (moved / "model_info.json").unlink()
    broken = subprocess.run([moved / "start.sh"], capture_output=True, text=True, check=False)
    assert broken.returncode != 0
    assert "This model was not properly installed. Please run: lorasmith install <model-id>" in broken.stderr


def test_curves_are_shown_while_it_trains_and_not_after(lorasmith, hub, home, sums, tmp_path):
    """INS-12: train.sh starts TensorBoard and ends it."""
    lorasmith("install", "acme/tiny", "--no-test")
    command = [home / "models/acme_tiny/train.sh", "--data", sums, "--max-steps", "400", "--output", tmp_path / "run"]
    with subprocess.Popen([*command, "--tensorboard-port", "16006"], stdout=subprocess.PIPE, text=True) as training:
        address = next(line.split()[1] for line in training.stdout or () if line.startswith("TensorBoard"))
        page, deadline = b"", time.monotonic() + 90
        while not page and time.monotonic() < deadline:
            try:
                page = urllib.request.urlopen(address, timeout=5).read()  # noqa: S310
            except OSError:
                time.sleep(0.3)
        next(line for line in training.stdout or () if line.startswith("Evaluation #"))  # its first checkpoint follows
        training.send_signal(signal.SIGINT)
        training.stdout.read()
    assert b"TensorBoard" in page
    assert (tmp_path / "run" / "checkpoints" / "last").exists(), "Ctrl+C keeps a checkpoint"
    assert not processes_in(tmp_path / "run")


def test_a_folder_is_installed_and_removed_without_a_network(lorasmith, home, tiny_llama, monkeypatch):
    """INS-5, INS-11, INS-13"""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    lorasmith("install", tiny_llama, "--link", "--no-test")
    folder = home / "models" / "llama"
    assert (folder / "model" / "config.json").samefile(tiny_llama / "config.json")
    (folder / "model" / "config.json").unlink()
    (listed,) = json.loads(lorasmith("list", "--json").stdout)
    assert listed["troubles"] == ["config.json is missing"]
    assert "damaged" in lorasmith("list").stdout
    assert "llama" in lorasmith("remove", "lama", code=3).stderr
    assert "Remove" in lorasmith("remove", "llama", text="n\n", code=130).stdout
    assert folder.exists()
    lorasmith("remove", "llama", "--yes")
    assert not folder.exists()
    assert (tiny_llama / "config.json").exists()
    assert json.loads(lorasmith("list", "--json").stdout) == []


def test_without_a_network_the_cache_is_enough(lorasmith, hub, home, monkeypatch):
    """INS-13: of files and of packages."""
    code = "import sys; from lorasmith.core import settings; from lorasmith.hub.locate import locate; locate('acme/tiny', settings.load())"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    lorasmith("install", "demo", "--no-test")  # brings the packages into the store
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    lorasmith("install", "acme/tiny", "--no-test")
    assert read_model_info(home / "models" / "acme_tiny").model_id == "acme/tiny"


def test_a_model_with_code_of_its_own_is_refused_until_it_is_trusted(lorasmith, home, tiny_llama, tmp_path):
    """INS-3, SEC-2: before anything is made; a type that transformers has itself needs no such word."""
    folder = tmp_path / "own"
    shutil.copytree(tiny_llama, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    own = {
        "architectures": ["OwnForCausalLM"],
        "model_type": "own",
        "auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"},
    }
    (folder / "config.json").write_text(json.dumps(config | own))
    told = lorasmith("install", folder, code=2).stderr
    assert "modeling_own.py" in told
    assert "--trust-remote-code" in told
    assert not (tmp_path / "ran").exists()
    assert not (home / "models").exists()


def test_an_adapter_is_no_model(lorasmith, hub, hub_root):
    """INS-3"""
    folder = hub_root / "acme" / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "acme/tiny", "peft_type": "LORA", "r": 8})
    )
    (folder / "adapter_model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    told = lorasmith("install", "acme/adapter", code=2).stderr
    assert "is an adapter, not a model" in told
    assert "lorasmith install acme/tiny" in told


@pytest.mark.parametrize(
    ("hardware", "quantization", "told"),
    [
        ("ram=2", "none", "does not fit this machine"),
        ("ram=10", "none", "only with quantized weights"),
        ("ram=10", "4bit", ""),
        ("ram=64", "none", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_its_check(hardware, quantization, told, tmp_path):
    """INS-3: by the verdicts of the check, exit code 4."""
    shapes.build("llama-3.1-8b", tmp_path / "big", shards=4)
    report = check(str(tmp_path / "big"), Question(hardware=hardware))
    spec = InstallSpec(model="acme/big", quantization=quantization)
    if not told:
        refuse_unfit(spec, report)
        return
    with pytest.raises(DoesNotFitProblem, match=told) as refused:
        refuse_unfit(spec, report)
    assert refused.value.fix
    assert "lorasmith check acme/big" in refused.value.fix or "--quantization" in refused.value.fix


def test_scarce_memory_and_disk_are_said_before(tmp_path):
    """INS-3"""
    shapes.build("llama-3.1-8b", tmp_path / "big", shards=4)
    report = check(str(tmp_path / "big"), Question(hardware="ram=42"))
    known = settings.load({"warn_disk_space_gb": 10**6})
    sentences = limits_close(known, report, tmp_path / "models" / "big")
    assert any("of disk will be free afterwards" in sentence for sentence in sentences)
    roomy = limits_close(
        settings.load({"warn_disk_space_gb": 0}), check(str(tmp_path / "big"), Question(hardware="ram=200")), tmp_path
    )
    assert roomy == []


def test_what_the_settings_of_a_model_say_is_checked(tmp_path):
    """INS-2, INS-12"""
    (tmp_path / "config.yaml").write_text("dtipe: float32\n")
    with pytest.raises(UsageProblem, match=r"Unknown setting 'dtipe'[\s\S]*dtype"):
        read_model_config(tmp_path)
    (tmp_path / "config.yaml").write_text("dtype: float12\n")
    with pytest.raises(UsageProblem, match="'dtype' is wrong"):
        read_model_config(tmp_path)


@pytest.mark.parametrize("name", ["..", "a/../../b", "/etc", "a\0b", "CON:", "a\\..\\b"])
def test_no_name_leads_out_of_the_models(name, tmp_path):
    """INS-4, SEC-1"""
    models = tmp_path / "models"
    try:
        place = place_for(name, name, models)
    except UsageProblem:
        return
    assert place.parent == models
    assert place.resolve().is_relative_to(models.resolve())


def test_two_ids_of_one_name_are_told_apart(tmp_path):
    """INS-4"""
    first = place_for("a/b_c", "a/b_c", tmp_path)
    first.mkdir()
    (first / "model_info.json").write_text(json.dumps({"source": "a/b_c"}))
    second = place_for("a_b/c", "a_b/c", tmp_path)
    assert first.name == "a_b_c"
    assert second.name.startswith("a_b_c-")
    assert place_for("a/b_c", "a/b_c", tmp_path) == first
    second.mkdir()
    (second / "model_info.json").write_text(json.dumps({"source": "a_b/c"}))
    assert place_for("a_b/c", "a_b/c", tmp_path) == second


def test_a_wrong_hash_leaves_nothing(lorasmith, hub, home):
    """INS-5, INS-10, REL-2"""
    hub.rules["acme/tiny"] = Rules(false_hash=True)
    told = lorasmith("install", "acme/tiny", "--no-test", code=5).stderr
    assert "is damaged" in told
    assert "is not the Hub's" in told
    assert "The log: " in told
    assert installed_folders(home / "models") == []
    assert shown_in(home / "models") == []


def test_a_pickle_that_would_run_code_is_refused(lorasmith, hub, hub_root, home, tiny_llama, tmp_path):
    """INS-5, SEC-2: announced, scanned, never opened."""

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch '{tmp_path / 'ran'}'",)

    shutil.copytree(tiny_llama, hub_root / "acme" / "evil", ignore=shutil.ignore_patterns("*.safetensors*"))
    (hub_root / "acme" / "evil" / "pytorch_model.bin").write_bytes(
        pickle.dumps({"weights": Payload()}) + bytes(300_000)
    )
    done = lorasmith("install", "acme/evil", code=2)
    assert "pickles" in done.stdout
    assert "it would run code" in done.stderr
    assert "system" in done.stderr
    assert not (tmp_path / "ran").exists()
    assert shown_in(home / "models") == []


def test_bytes_of_a_broken_download_are_used_again(lorasmith, hub, home):
    """INS-5: the folder starts fresh, the bytes do not."""
    lorasmith("check", "acme/large")  # kept: what is cut below are the files themselves
    hub.rules["acme/large"] = Rules(cut_at=0.5)
    assert "large" in lorasmith("install", "acme/large", "--no-test", code=5).stderr
    assert shown_in(home / "models") == []
    hub.rules.clear()
    hub.asked.clear()
    said = lorasmith("install", "acme/large", "--no-test").stdout
    assert "were here already" in said
    whole = sum(read_model_info(home / "models" / "acme_large").files.values())
    assert hub.bytes_sent < whole


def test_a_home_that_cannot_be_written_is_told(lorasmith, home, tiny_llama, monkeypatch):
    """REL-2"""
    home.mkdir()
    (home / "models").write_text("a file where the folder should be")
    told = lorasmith("install", tiny_llama, "--no-test", code=5).stderr
    assert "models" in told
    assert "cannot be written" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_is_told_and_nothing_is_left(lorasmith, hub, tmp_path, monkeypatch):
    """INS-3, REL-2: said before, or where it comes all the same, cleanly."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], check=True)
    monkeypatch.setenv("LORASMITH_MODELS_DIR", str(disk))
    try:
        before = lorasmith("install", "acme/tiny", "--no-test", code=4).stderr
        assert "of disk are missing" in before
        neighbour = disk / "other" / ".venv"
        neighbour.mkdir(parents=True)
        (neighbour / "pyvenv.cfg").touch()
        (disk / "filler").write_bytes(bytes(10**6))
        monkeypatch.setenv("UV_LINK_MODE", "copy")
        code = (
            "import lorasmith.env.before as b; b._BESIDE_OTHERS = 0\n"
            "import sys; sys.argv = ['lorasmith', 'install', 'acme/tiny', '--no-test']\nfrom lorasmith.cli.app import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode in {4, 5}, done.stderr
        assert "No space left" in done.stderr or "disk is full" in done.stderr
        assert {path.name for path in disk.iterdir() if not path.name.startswith(".")} == {"other", "filler"}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_package_that_does_not_exist_is_told(home, tiny_llama, monkeypatch):
    """INS-6: ordinary packages stop the installation, special ones say how and wait, optional ones are left out."""
    from lorasmith import flow
    from lorasmith.families import _packages as table

    spec, events = InstallSpec(model=str(tiny_llama), no_test=True), []
    package = "lorasmith-no-such-package"
    monkeypatch.setitem(table.BY_TYPE, "llama", (table.Package(package),))
    with pytest.raises(EnvironmentProblem, match="could not be installed") as raised:
        flow.install(spec)
    assert package in raised.value.why
    assert not list((home / "models").glob("llama*"))

    shutil.rmtree(home / "logs" / "checks")
    monkeypatch.setitem(table.BY_TYPE, "llama", (table.Package(package, "compiled", "special"),))
    with pytest.raises(EnvironmentProblem, match="could not be installed by itself") as raised:
        flow.install(spec)
    waiting = home / "models" / "llama.partial" / ".venv"
    assert "1. " in raised.value.fix
    assert "nvcc --version" in raised.value.fix
    assert str(waiting / "bin" / "python") in raised.value.fix
    assert waiting.exists(), "the command of the cure has to find its environment"
    assert installed_folders(home / "models") == []

    shutil.rmtree(home / "logs" / "checks")
    monkeypatch.setitem(table.BY_TYPE, "llama", (table.Package(package, "nice to have", "optional"),))
    made = waiting.stat().st_ino
    result = flow.install(spec, on_event=events.append)
    assert any(package in getattr(event, "message", "") for event in events)
    assert (result.folder / ".venv").stat().st_ino == made, "what waited is used"
    assert troubles(result.folder) == []


def test_two_installs_of_one_model_do_not_mix(hub, home):
    """INS-10"""
    command = [sys.executable, "-m", "lorasmith", "install", "acme/tiny", "--no-test"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate() for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], ends
    told = next(error for process, (_, error) in zip(both, ends, strict=True) if process.returncode == 2)
    assert "is being installed already" in told
    assert "By process " in told
    assert troubles(home / "models" / "acme_tiny") == []


def interrupted(models: Path, moment: float, how: signal.Signals, *extra: str) -> tuple[int, str]:
    """Install, and send a signal after `moment` seconds; exit code and what was said."""
    command = [sys.executable, "-m", "lorasmith", "install", "acme/tiny", "--no-test", *extra]
    # What a shell starts in the background ignores SIGINT, and so does all that it starts, these tests among it.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        said = process.communicate()[0]
    return process.returncode, said


def retimed(whole: float, took: float, code: int, *, is_early: bool) -> float:
    """How long an installation takes by what the last one showed: the machine may be quicker now than when it was timed, or so slow
    that the signal came before there was anything to clean up."""
    return min(whole, took) if code == 0 else whole * 1.5 if is_early else whole


def stop_at_random_moments(home: Path, how: signal.Signals, rounds: int) -> None:
    """At no moment does `list` show a half, and the next installation always comes to its end."""
    models, rng = home / "models", random.Random(int(how))
    assert interrupted(models, 600, how)[0] == 0  # brings the packages into the store
    started = time.monotonic()
    assert interrupted(models, 600, how, "--yes")[0] == 0
    whole_seconds = time.monotonic() - started
    reached = 0
    for number in range(4 * rounds):
        if number >= rounds and reached:
            break
        if number % 2:
            shutil.rmtree(models / "acme_tiny", ignore_errors=True)
        replacing = (models / "acme_tiny").exists()
        started = time.monotonic()
        code, said = interrupted(models, rng.uniform(0.3, whole_seconds), how, "--yes")
        whole_seconds = retimed(
            whole_seconds, time.monotonic() - started, code, is_early=not reached and "Cleaning up" not in said
        )
        mend(models)
        shown = installed_folders(models)
        assert [troubles(folder) for folder in shown] in ([], [[]])
        if replacing:
            assert shown, f"the old one was gone before the new one stood: {said}"
        # Python itself answers what comes before it runs our code, and after it has.
        is_ours = said and "Installed." not in said
        if how is signal.SIGINT and code:
            assert code == 130 or (code == -how and not is_ours), said
        if how is not signal.SIGKILL and code:
            assert not partial_of(models / "acme_tiny").exists()
        if "Installation interrupted. Cleaning up…" in said:
            assert code == 130, said
            reached += 1
        reached += how is signal.SIGKILL and code != 0
        deadline = time.monotonic() + 5
        while (left := processes_in(partial_of(models / "acme_tiny"))) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left
    assert reached, "no signal came in time"
    assert interrupted(models, 600, how, "--yes")[0] == 0
    assert troubles(models / "acme_tiny") == []
    assert not list((home / "cache").rglob("*.part"))


def test_ctrl_c_leaves_nothing_half_done(hub, home):
    """INS-10, REL-1"""
    stop_at_random_moments(home, signal.SIGINT, 3)


def test_a_kill_leaves_nothing_that_looks_whole(hub, home):
    """INS-10, REL-1"""
    stop_at_random_moments(home, signal.SIGKILL, 3)


@pytest.mark.e2e
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_ten_random_moments(hub, home, how):
    """INS-10, REL-1"""
    stop_at_random_moments(home, how, 10)


@pytest.mark.parametrize("finished", [True, False])
def test_a_swap_that_was_cut_is_mended(tmp_path, finished):
    """INS-10: between the two renames of a replacement either the old or the new one is found whole."""
    folder = tmp_path / "m"
    for place, text in ((folder, "old"), (partial_of(folder), "new")):
        (place / "model").mkdir(parents=True)
        (place / "model_info.json").write_text(text)
        (place / ".install_complete").touch()
    if not finished:
        (partial_of(folder) / ".install_complete").unlink()
    folder.rename(tmp_path / ".m.old")
    mend(tmp_path)
    assert (folder / "model_info.json").read_text() == ("new" if finished else "old")
    assert not list(tmp_path.glob(".m.old"))


def test_a_replacement_takes_its_place(tmp_path):
    """INS-4: an existing installation goes when the new one is ready."""
    folder = tmp_path / "m"
    for place, text in ((folder, "old"), (partial_of(folder), "new")):
        place.mkdir()
        (place / "x").write_text(text)
    take_place(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (folder / "x").read_text() == "new"


def test_secrets_are_in_no_log(lorasmith, hub, home, monkeypatch):
    """INS-7, SEC-5"""
    token = "hf_" + "x" * 30
    monkeypatch.setenv("HF_TOKEN", token)
    hub.rules["acme/tiny"] = Rules(false_hash=True)
    done = lorasmith("install", "acme/tiny", "--no-test", code=5)
    logs = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size < 10**6]
    assert any(path.name == "acme_tiny.log" and "Traceback" in path.read_text() for path in logs)
    assert token not in done.stdout + done.stderr
    assert not [path for path in logs if token.encode() in path.read_bytes()]
    assert settings.load().huggingface_token is not None
