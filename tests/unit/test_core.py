"""Errors, events, registry, settings, paths: what every stage stands on."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from lorasmith.core import errors, events, paths, progress, settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import Registry, nearest
from lorasmith.trackers._base import Tracker


def test_every_error_class_keeps_its_exit_code_across_a_process():
    """QLT-1"""
    codes = {"usage": 2, "not_found": 3, "does_not_fit": 4, "environment": 5, "data": 6, "interrupted": 130}
    for kind, code in codes.items():
        again = errors.from_dict(errors.KINDS[kind]("what", why="why", fix="fix", line=17).as_dict())
        assert (again.exit_code, again.what, again.why, again.fix) == (code, "what", "why", "fix")
        assert again.details == {"line": 17}


def test_events_survive_the_file_and_half_lines_are_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    sent = [events.Progress(stage="train", done=1, total=2), events.Metric(step=1, values={"loss": 0.5})]
    with events.Writer(path) as writer:
        for event in sent:
            writer.send(event)
    with path.open("ab") as file:
        file.write(b'{"type": "result", "val')  # the writer was killed here
    assert list(events.follow(path, lambda: False)) == sent


def test_events_written_after_a_late_start_are_not_lost(tmp_path):
    path = tmp_path / "events.jsonl"
    alive = threading.Event()
    alive.set()

    def write():
        with events.Writer(path) as writer:
            for step in range(200):
                writer.send(events.Metric(step=step, values={}))
        alive.clear()

    thread = threading.Thread(target=write)
    thread.start()
    steps = [event.step for event in events.follow(path, alive.is_set, poll_seconds=0.001)]
    thread.join()
    assert steps == list(range(200))


def test_an_event_with_unknown_fields_is_refused():
    with pytest.raises(ValueError, match="not an event"):
        events.parse('{"type": "metric", "step": 1, "values": {}, "surprise": 1}')


def _plugin_package(folder: Path, name: str, source: str) -> str:
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text(source)
    return name


PLUGIN = """
from lorasmith.trackers._base import Tracker
class One(Tracker):
    name = "one"
    def start(self, run_folder, first_step): pass
    def log(self, step, values): pass
    def close(self): pass
plugin = One()
"""


def test_a_file_in_the_folder_is_a_plugin_and_unknown_names_suggest_the_nearest(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("trackers", _plugin_package(tmp_path, "plugins_good", PLUGIN), Tracker)
    assert registry.get("one").name == "one"
    with pytest.raises(NotFoundProblem, match="Did you mean 'one'"):
        registry.get("onne")


def test_an_entry_point_of_another_package_is_a_plugin(tmp_path, monkeypatch):
    (tmp_path / "elsewhere.py").write_text(PLUGIN)
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lorasmith.sorts]\none = elsewhere:plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    empty = tmp_path / "plugins_empty"
    empty.mkdir()
    (empty / "__init__.py").write_text("")
    assert Registry("sorts", "plugins_empty", Tracker).names() == ["one"]


def test_a_broken_plugin_raises_its_own_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("trackers", _plugin_package(tmp_path, "plugins_bad", "import no_such_library"), Tracker)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        registry.names()


def test_nearest_lists_all_known_names():
    assert nearest("lora_rr", ["lora_r", "seed"]) == "Did you mean 'lora_r'? Known: lora_r, seed."


def test_settings_rise_from_file_to_environment_to_flags(home, monkeypatch):
    """INS-2"""
    home.mkdir()
    (home / "config.yaml").write_text("log_level: warning\nmax_download_workers: 2\nmodels_dir: $LORASMITH_HOME/m\n")
    assert settings.load().log_level == "warning"
    assert settings.load().models_dir == home / "m"
    monkeypatch.setenv("LORASMITH_MAX_DOWNLOAD_WORKERS", "7")
    assert settings.load().max_download_workers == 7
    assert settings.load({"max_download_workers": 9}).max_download_workers == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log_level: warning\nlog_levle: info\n", ["log_levle", "line 2", "log_level"]),
        ("log_level: loud\n", ["log_level", "line 1"]),
        ("- a\n- b\n", ["key: value"]),
        ("a: [\n", ["no YAML"]),
    ],
)
def test_wrong_settings_name_key_and_line(home, text, said):
    """INS-2"""
    home.mkdir()
    (home / "config.yaml").write_text(text)
    with pytest.raises(UsageProblem) as caught:
        settings.load()
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_a_stored_setting_is_private_and_a_wrong_one_changes_nothing(home):
    """INS-2, SEC-5"""
    settings.store("huggingface_token", "hf_secret")
    path = settings.config_path()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    with pytest.raises(UsageProblem):
        settings.store("log_level", "loud")
    assert path.read_text() == before
    assert "hf_secret" not in settings.load().model_dump_json()


def test_a_folder_that_fails_half_way_leaves_the_old_one_whole(tmp_path):
    """REL-3"""
    folder = tmp_path / "lora"
    paths.write_folder(folder, lambda new: (new / "a").write_text("old"))

    def broken(new: Path) -> None:
        (new / "a").write_text("new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        paths.write_folder(folder, broken)
    assert (folder / "a").read_text() == "old"
    paths.write_folder(folder, lambda new: (new / "a").write_text("new"))
    assert (folder / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\0b", "..", "C:\\x", "owner/name"])
def test_names_cannot_leave_their_folder(name):
    """SEC-1"""
    try:
        safe = paths.safe_name(name)
    except UsageProblem:
        return
    assert Path(safe).name == safe
    assert safe not in ("", ".", "..")
    assert "\0" not in safe


def test_durations_and_sizes_read_as_people_say_them():
    """QLT-2"""
    assert [progress.duration(s) for s in (8.2, 200, 3700)] == ["8 s", "3 min 20 s", "1 h 1 min"]
    assert [progress.amount(b) for b in (900, 6_900_000, 24_200_000_000)] == ["900 B", "6.9 MB", "24.2 GB"]


@pytest.mark.parametrize("text", ["0" * 5000, "a\0b", "~nobody-is-called-so/adapter", "a/" * 3000])
def test_what_cannot_be_a_path_is_the_users_mistake(text: str) -> None:
    """STU-11, SEC-1"""
    with pytest.raises(UsageProblem, match="is out of reach") as told:
        paths.named(text)
    assert len(str(told.value.what)) < 200
    assert paths.named("nowhere/at/all").is_absolute()
