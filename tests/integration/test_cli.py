"""The command line as a user meets it: exit codes, messages, no traceback (QLT-1), every option there and working."""

from __future__ import annotations

import pytest

from lorasmith.training.spec import TrainSpec


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["trian"], 2, "Did you mean 'train'"),
        (["train"], 2, "needs a model and data"),
        (["train", "demo", "--data", "nowhere.jsonl"], 3, "no data file"),
        (["train", "demoo", "--data", "x"], 3, "Did you mean 'demo'"),
        (["train", "demo", "--data", "x", "--lora-r", "many"], 2, "not a valid integer"),
        (["train", "--resume-from", "nowhere"], 3, "no training in"),
        (["train", "demo", "--data", "x", "--resume"], 3, "no unfinished training"),
        (["evaluate", "demo", "--data", "x", "--adapter", "nobody"], 3, "no adapter 'nobody'"),
        (["data", "inspect", "nowhere"], 3, "no data file"),
        (["config", "get", "log_levle"], 2, "log_level"),
        (["config", "set", "log_level", "loud"], 2, "log_level"),
    ],
)
def test_mistakes_end_in_a_short_message_and_their_exit_code(lorasmith, arguments, code, said):
    """QLT-1"""
    done = lorasmith(*arguments, code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(lorasmith):
    """QLT-1"""
    done = lorasmith("--debug", "data", "inspect", "nowhere", code=1)
    assert "Traceback" in done.stderr
    assert "NotFoundProblem" in done.stderr


def test_a_model_on_a_hub_that_cannot_be_reached(lorasmith, monkeypatch, sums):
    """QLT-1: loopback, a port where nobody listens."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = lorasmith("train", "nobody/nothing", "--data", sums, code=5)
    assert "The Hub cannot be reached for 'nobody/nothing'" in done.stderr


def test_missing_training_libraries_are_named_with_the_cure(lorasmith, monkeypatch, tmp_path, sums):
    """QLT-1"""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nold = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else old(name, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = lorasmith("train", "demo", "--data", sums, code=5)
    assert "not installed here: torch" in done.stderr
    assert "pip install 'lorasmith[train]'" in done.stderr


def test_every_field_of_the_spec_is_an_option(lorasmith):
    """TRN-1"""
    text = lorasmith("train", "--help").stdout
    missing = [name for name in TrainSpec.model_fields if name != "model" and f"--{name.replace('_', '-')}" not in text]
    assert missing == []


def test_settings_are_stored_and_shown_without_secrets(lorasmith):
    """INS-2, SEC-5"""
    lorasmith("config", "set", "huggingface_token", "hf_secret")
    lorasmith("config", "set", "log_level", "debug")
    shown = lorasmith("config", "show").stdout
    assert "hf_secret" not in shown
    assert 'log_level: "debug"' in shown
    assert lorasmith("config", "get", "log_level").stdout == "debug\n"


def test_inspection_in_a_terminal_shows_the_row_as_the_model_sees_it(lorasmith, tiny_llama, sums):
    """DAT-2"""
    done = lorasmith("data", "inspect", sums, "--model", tiny_llama)
    assert "question-answer · 40 rows · fields: question, answer" in done.stdout
    assert "<|im_start|>user\n0 and 0?<|im_end|>\n<|im_start|>assistant\n⟦0<|im_end|>⟧" in done.stdout


def test_a_dataset_that_would_spoil_a_training_ends_inspection_with_its_code(lorasmith, tiny_llama, tmp_path):
    """DAT-2"""
    file = tmp_path / "long.jsonl"
    file.write_text('{"question": "q", "answer": "' + "long " * 200 + '"}\n')
    assert "Fatal:" in lorasmith("data", "inspect", file, "--model", tiny_llama, code=6).stdout


def test_what_a_dataset_says_cannot_steer_the_terminal(lorasmith, tmp_path):
    """SEC-6: escape sequences and markup in data come out as text."""
    file = tmp_path / "evil.jsonl"
    file.write_text('{"question": "\\u001b[2J[red]x[/red]", "answer": "[bold]y"}\n')
    shown = lorasmith("data", "inspect", file).stdout
    assert "\x1b" not in shown
    assert "[red]x[/red]" in shown
    assert "[bold]y" in shown
