"""When TensorBoard is shown beside a training, and at which port (TRN-8)."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_training_page import report_of, spec_of

from lorasmith import flow
from lorasmith.cli import train as verb
from lorasmith.core.events import Event, Step, Warn
from lorasmith.runners import tensorboard
from lorasmith.training import launch


@pytest.mark.parametrize(
    ("is_terminal", "options", "port"),
    [
        (True, [], 6006),
        (False, [], None),
        (True, ["--tensorboard-port", "7000"], 7000),
        (False, ["--tensorboard-port", "7000"], 7000),
    ],
)
@pytest.mark.parametrize("how", [["demo", "--data", "x.jsonl"], ["--resume-from", "run"]])
def test_a_terminal_has_curves_by_itself_and_a_pipe_where_they_are_asked_for(
    monkeypatch, is_terminal, options, port, how
):
    """TRN-8: a resumed run, too; the port is no part of what is trained."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(flow, "train", lambda *_, **given: seen.update(given), raising=False)
    monkeypatch.setattr(verb, "train_summary", lambda *_: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    verb.command.main([*how, *options], standalone_mode=False)
    assert seen["curves_port"] == port
    assert "tensorboard_port" not in seen


@pytest.mark.parametrize(
    ("asked", "curves_port", "port"),
    [
        ({}, None, None),
        ({}, 6006, 6006),
        ({"tensorboard_port": 7000}, None, 7000),
        ({"no_tensorboard": True, "tensorboard_port": 7000}, 6006, None),
    ],
)
def test_python_is_quiet_unless_asked_and_no_tensorboard_is_never(monkeypatch, tmp_path, asked, curves_port, port):
    """TRN-8"""
    shown: list[int | None] = []

    def curves_shown(_: Path, port: int | None, *__: Any) -> Any:
        shown.append(port)
        return contextlib.nullcontext()

    monkeypatch.setattr(launch, "curves_shown", curves_shown)
    monkeypatch.setattr(launch, "_worked", lambda *_: report_of())
    monkeypatch.setattr(launch, "_remember", lambda *_: None)
    spec = spec_of(**asked).model_copy(update={"run_folder": tmp_path, "model_folder": tmp_path})
    launch._run_training(spec, lambda _: None, curves_port)
    assert shown == [port]


def test_a_port_that_is_taken_gives_way_to_the_next_and_its_address_is_told_once(monkeypatch, tmp_path):
    """TRN-8: and it ends with the training; where no port is free the training goes on without."""
    told: list[Event] = []
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 60\n")
    idle.chmod(0o755)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with tensorboard.curves_shown(tmp_path, port, idle, told.append):
            pass
        (step,) = told
        assert isinstance(step, Step)
        assert int(step.note.rsplit(":", 1)[1]) > port
        monkeypatch.setattr(tensorboard, "_PORTS_TRIED", 1)
        with tensorboard.curves_shown(tmp_path, port, idle, told.append):
            pass
    assert isinstance(told[1], Warn)
