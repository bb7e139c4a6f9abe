"""What remote trackers are still to be told lies on disk until they have it (TRK-1); the server is played by what it would have got."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.core.events import Event, Metric, Step, Warn
from lorasmith.trackers import INTEGRATIONS, TRACKERS
from lorasmith.trackers._base import (
    Begin,
    Destination,
    End,
    Link,
    Numbers,
    Refused,
    RemoteTracker,
    Status,
    Tags,
    Unreachable,
)
from lorasmith.tracking import sender
from lorasmith.tracking.outbox import Outbox, waiting
from lorasmith.tracking.sender import shown
from lorasmith.tracking.track import Track, Trackers, choose_trackers, tracking

WHERE = Destination("http://somewhere", "mine")


class Server(RemoteTracker):
    """A tracker whose server is a list."""

    name, title, package, extra = "list", "List", "json", "list"

    def __init__(self) -> None:
        self.got: list[tuple[Any, ...]] = []
        self.ids: dict[str, str] = {}
        self.is_down = False
        self.fails_at: set[str] = set()
        self.refuses: set[str] = set()
        self.has_answered = threading.Event()

    def destination(self) -> Destination:
        return WHERE

    def connect(self, destination: Destination) -> Link:
        assert destination == WHERE
        return _Way(self)


class _Way(Link):
    def __init__(self, server: Server):
        self.server = server

    def _take(self, what: str, *words: Any) -> None:
        if self.server.is_down or what in self.server.fails_at:
            raise Unreachable("it is down")
        if what in self.server.refuses:
            raise Refused("it does not like it")
        self.server.got.append((what, *words))

    def begin(self, record: Begin, parent: str) -> str:
        self._take("begin", record.run, parent)
        return self.server.ids.setdefault(record.run, f"#{len(self.server.ids)}")

    def known(self, key: str) -> str:
        self._take("known", key)
        return self.server.ids.get(key, "")

    def numbers(self, run: str, records: Sequence[Numbers]) -> None:
        self._take("numbers", run, [one.step for one in records])

    def tags(self, run: str, tags: Mapping[str, str]) -> None:
        self._take("tags", run, dict(tags))

    def artifact(self, run: str, path: Path, place: str) -> None:
        self._take("artifact", run, path.name, place)

    def end(self, run: str, status: Status, at: float) -> None:
        assert at > 0
        self._take("end", run, status)

    def answers(self) -> None:
        if self.server.is_down:
            raise Unreachable("it is down")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(sender, "_AGAIN_SECONDS", 0.01)


def only(server: Server) -> Trackers:
    return Trackers((), (server,), ())


def metric(step: int) -> Metric:
    return Metric(step=step, values={"loss": 1.0 / step})


def whole(track: Track, key: str = "k") -> None:
    track.begin(key, "a run", tags={}, params={"rank": 8})
    for step in (1, 2, 3):
        track.metric(key, metric(step))
    track.tags(key, outcome="fine")
    track.end(key, "finished")


WHOLE = [
    ("begin", "k", ""), ("numbers", "#0", [1, 2, 3]), ("tags", "#0", {"outcome": "fine"}), ("end", "#0", "finished"),
]  # fmt: skip


def test_everything_is_sent_in_its_order_and_numbers_together(home: Path, quick: None) -> None:
    """TRK-1"""
    server, heard = Server(), list[Event]()
    server.is_down = True
    with tracking("a", only(server), heard.append) as track:
        whole(track)
        server.is_down = False
    assert server.got == WHOLE
    assert not list((home / "outbox").iterdir())


def test_down_and_back_is_said_once_each(home: Path, quick: None) -> None:
    """TRK-1"""
    server, heard = Server(), list[Event]()
    server.is_down = True
    with tracking("a", only(server), heard.append) as track:
        whole(track)
        while not heard:
            pass
        server.is_down = False
        while len(heard) < 2:
            pass
    assert server.got == WHOLE
    down, back = heard
    assert isinstance(down, Warn)
    assert "it is down" in down.message
    assert isinstance(back, Step)
    assert "is back" in back.note


def test_what_is_missed_is_sent_with_the_next_run_and_only_there(home: Path, quick: None) -> None:
    """TRK-1: in its own order, before the new one; what belongs to another server stays."""
    server, heard = Server(), list[Event]()
    other = Outbox.made("other", "list", Destination("http://elsewhere", "mine"))
    other.write(Tags(run="x", tags={}))
    server.is_down = True
    with tracking("a", only(server), heard.append) as track:
        whole(track)
    assert [type(event) for event in heard] == [Warn, Warn]
    assert "kept" in heard[1].message  # type: ignore[union-attr]
    server.is_down = False
    with tracking("b", only(server), heard.append) as track:
        track.begin("l", "next", parent="k", tags={}, params={})
    assert server.got == [*WHOLE, ("begin", "l", "#0")]
    assert [box.folder for box in waiting()] == [other.folder]


def test_a_run_that_another_process_began_is_asked_for(home: Path, quick: None) -> None:
    """TRK-1: its numbers are sent to the run that is there; where it has gone, they are left out."""
    server, heard = Server(), list[Event]()
    server.ids["k"] = "#7"
    with tracking("a", only(server), heard.append) as track:
        track.metric("k", metric(1))
        track.metric("gone", metric(1))
    assert [one for one in server.got if one[0] == "numbers"] == [("numbers", "#7", [1])]
    assert "has gone" in heard[0].message  # type: ignore[union-attr]


def test_what_is_refused_or_breaks_the_server_does_not_hold_up_the_rest(home: Path, quick: None) -> None:
    """TRK-1: tags are refused and the server fails at numbers for ever: the run still ends there."""
    server, heard = Server(), list[Event]()
    server.refuses, server.fails_at = {"tags"}, {"numbers"}
    with tracking("a", only(server), heard.append) as track:
        whole(track)
        while len(server.got) < 2:
            pass
    assert server.got == [WHOLE[0], WHOLE[3]]
    assert not list((home / "outbox").iterdir())
    said = [event.message for event in heard if isinstance(event, Warn)]
    assert len([one for one in said if "does not take everything" in one]) == 1


def test_a_line_that_was_cut_off_is_no_record(home: Path, quick: None) -> None:
    """TRK-1: kill -9 in the middle of writing."""
    box = Outbox.made("a", "list", WHERE)
    box.write(Begin(run="k", name="a"))
    with (box.folder / "records.jsonl").open("ab") as file:
        file.write(b'{"run":"k","do":"num\n')
        file.write(End(run="k", status="failed").model_dump_json().encode() + b"\n")
        file.write(b'{"run":"k","do":"en')
    server = Server()
    with tracking("b", only(server), lambda _: None):
        pass
    assert [one[0] for one in server.got] == ["begin", "end"]
    assert not waiting()


def test_an_outbox_that_is_being_sent_is_left_to_whoever_sends_it(home: Path, quick: None) -> None:
    """TRK-1: two trainings at a time do not send the same twice."""
    box = Outbox.made("a", "list", WHERE)
    box.write(Begin(run="k", name="a"))
    holding = (
        "import sys; from pathlib import Path; from lorasmith.tracking.outbox import Outbox\n"
        f"with Outbox(Path({str(box.folder)!r})).held() as ours:\n    print(ours, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        server = Server()
        with tracking("b", only(server), lambda _: None):
            pass
        assert not server.got
    with tracking("b", only(server), lambda _: None):
        pass
    assert [one[0] for one in server.got] == ["begin"]


def test_passwords_are_kept_to_the_owner_and_not_shown(home: Path, quick: None) -> None:
    """TRK-1, SEC-4"""
    where = Destination("https://me:secret@host:5000/x", "mine")
    box = Outbox.made("a", "list", where)
    assert box.destination == where
    assert (box.folder / "where.json").stat().st_mode & 0o077 == 0
    assert shown(where.address) == "https://host:5000/x"


def test_who_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRK-1, TUN-6: given above the environment above the settings; TensorBoard always."""
    home.mkdir()

    def names(*given: str) -> tuple[list[str], tuple[str, ...]]:
        found = choose_trackers(given)
        assert found.local == ("tensorboard",)
        return [one.name for one in found.remote], found.integrations

    assert names() == ([], ())
    (home / "config.yaml").write_text("trackers: [wandb, mlflow]\n")
    assert names() == (["mlflow"], ("wandb",))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    assert names() == ([], ("wandb",))
    assert names("mlflow") == (["mlflow"], ())
    monkeypatch.setenv("MLFLOW_ENABLED", "True")
    assert names("none") == ([], ())
    assert names("wandb") == ([], ("wandb",))
    (home / "config.yaml").unlink()
    assert names() == (["mlflow"], ())
    monkeypatch.setenv("MLFLOW_ENABLED", "perhaps")
    with pytest.raises(UsageProblem, match="MLFLOW_ENABLED"):
        choose_trackers(())
    with pytest.raises(NotFoundProblem, match="mlfow") as problem:
        choose_trackers(("mlfow",))
    assert "Did you mean 'mlflow'" in problem.value.fix


def test_a_library_that_is_missing_is_named_with_its_cure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRK-1"""
    mlflow = TRACKERS.get("mlflow")
    monkeypatch.setattr(mlflow, "package", "no_such_library")
    with pytest.raises(EnvironmentProblem, match="library is missing") as problem:
        choose_trackers(("mlflow",))
    assert "lorasmith[mlflow]" in problem.value.fix


def test_where_mlflow_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TUN-6: the environment above the settings above the defaults."""
    home.mkdir()
    mlflow = TRACKERS.get("mlflow")
    assert isinstance(mlflow, RemoteTracker)
    assert mlflow.destination() == ("http://127.0.0.1:5000", "LoRA_Fine_Tuning")
    (home / "config.yaml").write_text("mlflow_tracking_uri: http://a\nmlflow_experiment_name: b\n")
    assert mlflow.destination() == ("http://a", "b")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://c")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "d")
    assert mlflow.destination() == ("http://c", "d")


def test_all_of_the_librarys_own_are_known() -> None:
    """TRK-1: what transformers can tell, but those that have a tracker here."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(INTEGRATIONS) == set(INTEGRATION_TO_CALLBACK) - set(TRACKERS.names())
