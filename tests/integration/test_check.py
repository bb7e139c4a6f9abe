"""`lorasmith check` as a user meets it: folders, a Hub that behaves and one that does not, other machines."""

from __future__ import annotations

import json
import os
import shutil
import time
from http import HTTPStatus
from pathlib import Path

import pytest

from lorasmith.demo import MODEL_FOLDER
from lorasmith.plan.learned import Measurement, remember
from lorasmith.testing import shapes
from lorasmith.testing.hub import TOKEN, HubServer, Rules, sparse

SECTIONS = [
    "Model Compatibility Report: ", "Model Type", "Library", "Architecture", "Task", "Storage Requirements", "Memory Requirements",
    "Model Capabilities", "Special Requirements", "Hardware Compatibility Check", "Compatibility Analysis", "Training Compatibility", "Next:",
]  # fmt: skip
KEYS = {
    "schema_version", "model_id", "revision", "model_type", "model_family", "architecture_type", "architectures", "task", "primary_library",
    "parameters", "weight_bytes", "files", "capabilities", "requirements", "memory", "hardware", "verdicts", "warnings", "next_step",
}  # fmt: skip


@pytest.fixture(scope="module")
def hub_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(MODEL_FOLDER, root / "acme" / "small")
    shapes.build("llama-3.1-8b", root / "acme" / "big", shards=4)
    return root


@pytest.fixture
def hub(hub_root, monkeypatch):
    with HubServer(hub_root) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def checked(lorasmith, *arguments) -> dict:
    return json.loads(lorasmith("check", *arguments, "--json").stdout)


def test_the_report_has_its_sections_in_order(lorasmith, home):
    """CHK-13, CHK-14"""
    text = lorasmith("check", "demo").stdout
    places = [text.index(section) for section in SECTIONS]
    assert places == sorted(places)
    assert (home / "logs" / "checks" / "demo.txt").read_text().split() == text.split()


def test_json_is_one_object_with_the_documented_keys(lorasmith, home):
    """CHK-13, CHK-7: bytes by cause."""
    report = checked(lorasmith, "demo")
    assert set(report) >= KEYS
    assert (report["model_type"], report["model_family"], report["task"]) == ("llama", "language", "text-generation")
    assert json.loads((home / "logs" / "checks" / "demo.json").read_text())["model_id"] == "demo"
    parts = report["memory"]["inference"]["float32"]
    assert set(parts) == {"weights", "cache", "activations", "runtime", "loading", "allocator", "learned"}
    assert parts["weights"] == 4 * report["parameters"]["total"]
    assert {verdict["method"] for verdict in report["verdicts"] if verdict["kind"] == "training"} == {
        "lora",
        "qlora",
        "full",
    }


def test_a_local_model_is_checked_without_torch_and_at_once():
    """CHK-1, SPD-4: the control plane."""
    import subprocess
    import sys

    code = "import sys, lorasmith; lorasmith.check('demo'); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ.copy())


def test_a_profile_gives_its_rank_and_one_that_does_not_match_is_refused(home):
    """CHK-1, PRO-2: more rank, more memory; a profile for another kind of model names the layers that are there."""
    from lorasmith import flow
    from lorasmith.core.errors import UsageProblem
    from lorasmith.plan.report import Question

    need = {}
    for name in ("llama_standard", "llama_qlora"):
        report = flow.check("demo", Question(profile=name))
        need[name] = report.memory["training"]["lora float32"]["adapter"]
    assert need["llama_qlora"] == 4 * need["llama_standard"]  # rank 64 against 16
    with pytest.raises(UsageProblem, match="does not match"):
        flow.check("demo", Question(profile="layoutlm_standard"))


def test_a_model_on_the_hub_costs_headers_and_small_files_only(lorasmith, hub):
    """CHK-1: of 16 GB of weights, and of no file that is not needed."""
    report = checked(lorasmith, "acme/big")
    assert report["parameters"]["total"] == 8_030_261_248
    assert report["weight_bytes"] == 16_060_522_496
    assert hub.bytes_sent < 500_000
    assert report["revision"] == hub.commit("acme/big")


def test_the_same_question_is_answered_from_the_first_answer(lorasmith, hub, hub_root):
    """CHK-14: one request tells that nothing has changed; a change is seen; --refresh asks anew; offline the first answer stands."""
    first = checked(lorasmith, "acme/small")
    asked = len(hub.asked)
    assert checked(lorasmith, "acme/small")["checked_at"] == first["checked_at"]
    models = [request for request in hub.asked[asked:] if "/acme/" in request.path]
    assert len(models) == 1
    assert checked(lorasmith, "acme/small", "--refresh")["checked_at"] > first["checked_at"]
    assert checked(lorasmith, "acme/small", "--context", "64")["memory"]["context"] == 64
    hub.rules["acme/small"] = Rules(failures=-1)
    offline = checked(lorasmith, "acme/small", "--context", "64")
    assert "this is the check of" in offline["warnings"][-1]
    hub.rules.clear()
    (hub_root / "acme" / "small" / "new.txt").write_text("changed")
    assert checked(lorasmith, "acme/small", "--context", "64")["checked_at"] > offline["checked_at"]


@pytest.mark.parametrize(
    ("rules", "code", "said"),
    [
        (Rules(private=True), 3, "This is a private model. Please set HF_TOKEN"),
        (Rules(gated="manual"), 3, "https://huggingface.co/acme/small"),
        (Rules(failures=-1), 5, "after 3 tries"),
        (Rules(failures=-1, fail_with=HTTPStatus.TOO_MANY_REQUESTS), 5, "after 3 tries"),
        (Rules(html=True), 5, "The Hub cannot be reached"),
        (Rules(cut_at=0.001), 5, "The Hub cannot be reached"),
    ],
    ids=["private", "gated", "500", "429", "html", "cut"],
)
def test_a_hub_that_refuses_or_fails_is_told_in_a_sentence(lorasmith, hub, rules, code, said):
    """CHK-15: within 30 s, no traceback, the token nowhere."""
    hub.rules["acme/small"] = rules
    started = time.monotonic()
    done = lorasmith("check", "acme/small", code=code)
    assert time.monotonic() - started < 30
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_one_failure_is_not_the_end(lorasmith, hub):
    """CHK-15"""
    hub.rules["acme/small"] = Rules(failures=1)
    assert checked(lorasmith, "acme/small")["model_family"] == "language"


def test_a_hub_that_ignores_ranges_is_cut_off(lorasmith, hub):
    """CHK-1: no more than the first bytes of 16 GB are taken."""
    hub.rules["acme/big"] = Rules(ignores_ranges=True)
    assert checked(lorasmith, "acme/big")["parameters"]["total"] == 8_030_261_248
    assert hub.bytes_sent < 100_000_000


def test_the_token_opens_a_gated_model_and_is_never_shown(lorasmith, hub, monkeypatch, home):
    """CHK-15, SEC-5"""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.rules["acme/small"] = Rules(gated="manual", private=True)
    done = lorasmith("check", "acme/small")
    hub.rules["acme/small"] = Rules(failures=-1)
    failed = lorasmith("--debug", "check", "acme/small", "--refresh", code=1)
    kept = "".join(path.read_text() for path in (home / "logs").rglob("*") if path.is_file())
    assert TOKEN not in done.stdout + done.stderr + failed.stdout + failed.stderr + kept


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("nobody/nothing", 3, "Model not found on HuggingFace: 'nobody/nothing'"),
        ("", 2, "No model was named"),
        ("   ", 2, "No model was named"),
        ("a/../b", 3, "There is no model 'a/../b'"),
        ("owner/na me", 3, "There is no model"),
        ("owner/name/more", 3, "There is no model"),
        ("owner/na--me", 3, "cannot be a name on the Hub"),
        ("demoo", 3, "Did you mean 'demo'"),
    ],
)
def test_impossible_and_unknown_names(lorasmith, hub, name, code, said):
    """CHK-15"""
    assert said in lorasmith("check", name, code=code).stderr


def test_folders_that_hold_no_model(lorasmith, tmp_path):
    """CHK-15"""
    (tmp_path / "empty").mkdir()
    assert "No configuration files found" in lorasmith("check", tmp_path / "empty", code=3).stderr
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "my_config.json").write_text('{"api_key": "x", "model_type": "gpt", "hidden_size": 3}')
    assert "No configuration files found" in lorasmith("check", tmp_path / "service", code=3).stderr
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config.json").write_text('{"name": "my app"}')
    assert "Unsupported model architecture" in lorasmith("check", tmp_path / "app", code=2).stderr
    (tmp_path / "app" / "config.json").write_text("{broken")
    assert "no JSON" in lorasmith("check", tmp_path / "app", code=2).stderr


def test_a_damaged_weight_file_is_named(lorasmith, tmp_path):
    """CHK-15"""
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "'model.safetensors' is damaged" in lorasmith("check", folder, code=2).stderr


def test_an_8b_model_on_a_6_gb_card_trains_by_qlora_only(lorasmith, hub):
    """CHK-8, CHK-11, CHK-12: with rows of so many tokens, and a batch of so many of them."""
    report = checked(lorasmith, "acme/big", "--hardware", "rtx3060-6gb", "--length", "256")
    verdicts = {(v["method"], v["dtype"]): v for v in report["verdicts"]}
    assert report["hardware"]["gpus"][0]["memory_bytes"] == 6 * 2**30
    for other in (("", "bfloat16"), ("lora", "bfloat16"), ("full", "bfloat16")):
        assert verdicts[other]["fits_gpu"] is False
    qlora = verdicts["qlora", "bfloat16"]
    assert qlora["fits_gpu"]
    assert qlora["batch"] >= 2
    assert 1024 <= qlora["longest"] < 2048
    assert qlora["memory"] == sum(qlora["parts"].values()) - qlora["parts"]["loading"]


def test_a_check_says_what_this_machine_has_taught(lorasmith, home):
    """CHK-9: three runs that took a third more than was planned."""
    before = checked(lorasmith, "demo", "--length", "64")
    for _ in range(3):
        fields = {"work": "train", "device": "cpu", "family": "language", "model": "demo"}
        remember(Measurement(**fields, planned=300_000_000, measured=400_000_000))
    after = checked(lorasmith, "demo", "--length", "64", "--refresh")
    parts = [report["memory"]["training"]["lora float32"] for report in (before, after)]
    assert parts[0]["learned"] == 0
    assert parts[1]["learned"] == pytest.approx(sum(parts[0].values()) / 3, rel=0.01)
    assert "LoRA training corrected +33% by 3 runs measured on this machine" in lorasmith("check", "demo").stdout
    described = checked(lorasmith, "demo", "--length", "64", "--hardware", "ram=16")
    assert described["memory"]["training"]["lora float32"]["learned"] == 0


@pytest.mark.parametrize("text", ["nothing", "ram=lots", "rtx3060-x", "ram=16,disk"])
def test_hardware_that_nobody_can_read_is_refused(lorasmith, text):
    """CHK-11"""
    assert "describes no hardware" in lorasmith("check", "demo", "--hardware", text, code=2).stderr


def test_an_adapter_is_reported_with_its_base(lorasmith, tmp_path):
    """CHK-2"""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "demo", "peft_type": "LORA"})
    )
    report = checked(lorasmith, tmp_path / "mine")
    assert (report["adapter_of"], report["primary_library"], report["model_family"]) == ("demo", "peft", "language")


def test_an_adapter_from_the_hub_names_no_folder_of_this_machine(lorasmith, hub, hub_root):
    """CHK-2, SEC-1: its base is looked for on the Hub only."""
    folder = hub_root / "acme" / "adapter"
    folder.mkdir(exist_ok=True)
    for base, code in (("acme/small", 0), (str(MODEL_FOLDER), 3), ("demo", 3)):
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        lorasmith("check", "acme/adapter", "--refresh", code=code)


def test_pickles_alone_are_estimated_from_their_size(lorasmith, tmp_path):
    """CHK-10: 1 GB of 16-bit weights take 1.5 times that to answer, and the report says that it is an estimate."""
    (tmp_path / "config.json").write_text((MODEL_FOLDER / "config.json").read_text())
    sparse(tmp_path / "pytorch_model.bin", 10**9)
    report = checked(lorasmith, tmp_path)
    assert report["estimated"]
    assert report["weight_form"] == "pickle"
    assert report["memory"]["inference"]["bfloat16"]["weights"] == 1_500_000_000
    assert any("estimated" in warning for warning in report["warnings"])
    assert any("pickles" in warning for warning in report["warnings"])


def test_code_and_bad_names_of_a_repository_are_told_before_a_fetch(lorasmith, hub, hub_root):
    """CHK-16"""
    folder = hub_root / "acme" / "evil"
    folder.mkdir(exist_ok=True)
    config = json.loads((MODEL_FOLDER / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "payload.Evil"}, "text_config": {"trust_remote_code": True}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "payload.py").write_text("raise SystemExit('it ran')")
    hub.rules["acme/evil"] = Rules(
        extra_files={"../../etc/cron.d/x": 5, "a\\..\\b.json": 5, "/etc/passwd": 5, "x\u202egpj.exe": 5}
    )
    report = checked(lorasmith, "acme/evil")
    dangers = [finding["what"] for finding in report["safety"] if finding["level"] == "danger"]
    assert sum("file name" in danger for danger in dangers) == 4
    assert any("auto_map" in danger for danger in dangers)
    assert any("text_config.trust_remote_code" in danger for danger in dangers)
    assert report["requirements"]["custom_code"] == ["payload.py"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "it took more than"),
        ("{{ 'a' * 9999999999 }}", ""),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", ""),
        ("{% if %}", "TemplateSyntaxError"),
    ],
    ids=["endless", "huge", "escape", "broken"],
)
def test_a_hostile_template_harms_nobody(lorasmith, tmp_path, template, said):
    """CHK-5, SEC-2: CVE-2024-34359 and CVE-2026-115911."""
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    able = checked(lorasmith, folder)["capabilities"]
    assert (able["system_prompt"], able["tool_calls"]) == (False, False)
    assert said in able["template_trouble"]
