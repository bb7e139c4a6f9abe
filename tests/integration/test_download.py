"""Files of a repository on this machine's disk: from a Hub that behaves and one that does not, from folders, onto small disks."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from lorasmith.core.errors import (
    DoesNotFitProblem,
    EnvironmentProblem,
    InterruptedRun,
    NotFoundProblem,
    UsageProblem,
)
from lorasmith.core.events import Event, Progress
from lorasmith.hub.download import Downloaded, _Meter, download
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.repository import LocalRepository, Repository, open_repository
from lorasmith.testing.hub import TOKEN, HubServer, Rules, sparse

BIG = "model-00001-of-00002.safetensors"
FILES = {
    BIG: 4_000_003,
    "model-00002-of-00002.safetensors": 2_500_000,
    "config.json": 700,
    "tokenizer.json": 300_001,
    "1_Pooling/config.json": 200,
    "empty.txt": 0,
}
TOTAL = sum(FILES.values())


def write_files(folder: Path, files: dict[str, int]) -> Path:
    noise = random.Random(7)
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(size))
    return folder


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Have the Hub's client of this process ask `url`: it reads HF_ENDPOINT only once."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture(scope="module")
def hub_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_files(root / "acme" / "model", FILES)
    write_files(root / "acme" / "one", {"model.safetensors": 4_000_000})
    write_files(root / "acme" / "small", {"config.json": 50_000})
    return root


@pytest.fixture
def hub(hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub.utils import close_session

    with HubServer(hub_root) as server:
        use_hub(monkeypatch, server.url)
        yield server
    close_session()


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "keep"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Small disks of their own: what only root can make."""
    mounted: list[Path] = []

    def mount(name: str, size: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip("no disk can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def opened(name: str) -> Repository:
    return open_repository(name, only_hub=True)


def fetch(repository: Repository, target: Path, keep: Path, **options) -> Downloaded:
    return download(repository, list(repository.files), target, keep=keep, **options)


def assert_equal_folders(found: Path, expected: Path) -> None:
    names = {path.relative_to(expected) for path in expected.rglob("*") if path.is_file()}
    assert {path.relative_to(found) for path in found.rglob("*") if not path.is_dir()} == names
    for name in names:
        assert not (found / name).is_symlink()
        assert (found / name).read_bytes() == (expected / name).read_bytes()


def kept_bytes(keep: Path) -> int:
    return sum(path.stat().st_size for path in keep.iterdir())


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("download-")]


def bodies(hub: HubServer) -> int:
    """Bytes of files that the server has sent."""
    return sum(asked.sent for asked in hub.asked if "/resolve/" in asked.path and asked.status in (200, 206))


# What arrives


def test_a_whole_repository_arrives_verified(hub, hub_root, target, keep):
    """INS-5: what was named, once over the network, and nothing is left behind."""
    repository = opened("acme/model")
    before = repository.moved_bytes
    done = fetch(repository, target, keep)
    assert_equal_folders(target, hub_root / "acme" / "model")
    assert done[:4] == (len(FILES), TOTAL, TOTAL, 0)
    assert (bodies(hub), repository.moved_bytes - before) == (TOTAL, TOTAL)
    assert kept_bytes(keep) == 0
    assert threads_left() == []


def test_only_the_named_files_are_fetched(hub, target, keep):
    """INS-5"""
    download(opened("acme/model"), ["config.json"], target, keep=keep)
    assert [path.name for path in target.rglob("*")] == ["config.json"]
    assert bodies(hub) == FILES["config.json"]
    with pytest.raises(NotFoundProblem, match=r"holds no file 'other\.json'"):
        download(opened("acme/model"), ["other.json"], target, keep=keep)


def test_equal_contents_are_fetched_once_and_arrive_twice(hub, hub_root, target, keep):
    """INS-5"""
    folder = write_files(hub_root / "acme" / "twins", {"a/model.safetensors": 1_000_000})
    (folder / "b").mkdir(exist_ok=True)
    shutil.copy(folder / "a" / "model.safetensors", folder / "b")
    done = fetch(opened("acme/twins"), target, keep)
    assert_equal_folders(target, folder)
    assert (done.bytes_total, done.bytes_fetched, bodies(hub)) == (2_000_000, 1_000_000, 1_000_000)
    assert (target / "a/model.safetensors").stat().st_ino != (target / "b/model.safetensors").stat().st_ino
    assert kept_bytes(keep) == 0


def test_files_are_fetched_side_by_side(hub, hub_root, tmp_path):
    """INS-5"""
    write_files(hub_root / "acme" / "four", {f"model-{i}.safetensors": 100_000 for i in range(4)})
    repository = opened("acme/four")
    hub.delay = 0.25
    seconds = {
        workers: fetch(repository, tmp_path / f"t{workers}", tmp_path / f"k{workers}", workers=workers).seconds
        for workers in (1, 4)
    }
    assert seconds[1] > 2.0
    assert seconds[4] < seconds[1] / 2


def test_progress_is_told_five_times_a_second_and_of_every_file(hub, target, keep):
    """INS-5, QLT-2: the last event alone says that all is done."""
    repository, events = opened("acme/model"), list[Event]()
    hub.rules["acme/model"] = Rules(pause=0.02)
    done = fetch(repository, target, keep, on_event=events.append)
    told = [event for event in events if isinstance(event, Progress)]
    assert len(told) <= 5 * done.seconds + len(FILES) + 1
    assert len(told) > 2 * done.seconds
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert [event.done == TOTAL for event in told].index(True) == len(told) - 1
    assert {(event.stage, event.unit, event.total) for event in told} == {("download", "bytes", TOTAL)}
    assert any(event.rate and event.seconds_left for event in told)
    for name in FILES:
        assert any(event.note.endswith(f"/{len(FILES)} {name}") for event in told)


def test_all_is_told_as_done_only_when_it_is():
    """QLT-2: bytes that are not yet verified can still turn out wrong."""
    events = list[Event]()
    meter = _Meter(10, 2, events.append)
    meter.count(10)
    for name in ("a", "b"):
        meter.tell_file(name)
    assert [event.done for event in events if isinstance(event, Progress)] == [9, 10]


def test_the_part_folder_may_be_on_another_disk(hub, hub_root, target, disk):
    """INS-5"""
    keep = disk("other", "20m")
    fetch(opened("acme/model"), target, keep)
    assert_equal_folders(target, hub_root / "acme" / "model")
    assert kept_bytes(keep) == 0


# What is damaged


@pytest.mark.parametrize(("name", "kind"), [("acme/one", "SHA-256"), ("acme/small", "git id")])
def test_a_file_with_another_hash_is_refused(hub, target, keep, name, kind):
    """SEC-1, INS-5: it is thrown away, and nothing stands under the target."""
    hub.rules[name] = Rules(false_hash=True)
    repository = opened(name)
    with pytest.raises(EnvironmentProblem, match=f"is damaged: its {kind} is not the Hub's") as caught:
        fetch(repository, target, keep)
    assert caught.value.why
    assert caught.value.fix
    assert not target.exists()
    assert kept_bytes(keep) == 0
    assert bodies(hub) == sum(repository.files.values())


def test_one_damaged_file_leaves_the_others_for_the_next_time(hub, hub_root, target, keep):
    """REL-2: what was verified or begun is kept, and nothing of it is under the target."""
    folder = write_files(hub_root / "acme" / "mixed", {f"{i}.safetensors": 1_000_000 for i in range(3)})
    repository = opened("acme/mixed")
    true_hash = repository.hashes["2.safetensors"]
    repository.hashes["2.safetensors"] = "0" * 64
    with pytest.raises(EnvironmentProblem, match="is damaged"):
        fetch(repository, target, keep, workers=1)
    assert not target.exists()
    assert kept_bytes(keep) == 2_000_000
    repository.hashes["2.safetensors"] = true_hash
    done = fetch(repository, target, keep)
    assert (done.bytes_fetched, done.bytes_resumed) == (1_000_000, 2_000_000)
    assert_equal_folders(target, folder)


def test_a_file_without_a_usable_hash_is_refused(hub, target, keep):
    """SEC-1: also where the hash would be a path."""
    repository = opened("acme/one")
    for digest in ("", "../../etc/x", "ABC"):
        repository.hashes["model.safetensors"] = digest
        with pytest.raises(EnvironmentProblem, match="cannot be verified"):
            fetch(repository, target, keep)
    assert bodies(hub) == 0


def test_a_sign_in_page_is_no_file(hub, target, keep):
    """REL-2"""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(html=True)
    with pytest.raises(EnvironmentProblem, match="its size is not the Hub's") as caught:
        fetch(repository, target, keep)
    assert "sign-in page" in caught.value.fix


# Lost connections


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_lost_connection_costs_no_byte_twice(hub, hub_root, target, keep, share, ignores_ranges):
    """REL-2: but from a Hub that ignores ranges, where what is there is skipped."""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(cut_at=share, cut_times=1, ignores_ranges=ignores_ranges)
    done = fetch(repository, target, keep)
    assert_equal_folders(target, hub_root / "acme" / "one")
    sent = 4_000_000 * (1 + (share if ignores_ranges else 0))
    assert bodies(hub) == pytest.approx(sent, rel=0.01)
    assert done.bytes_fetched == pytest.approx(sent, rel=0.01)


def test_a_line_that_breaks_again_and_again_brings_the_file_all_the_same(hub, hub_root, target, keep):
    """REL-2: as long as every connection brings something."""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(cut_after=600_000)
    assert fetch(repository, target, keep).bytes_fetched == 4_000_000
    assert_equal_folders(target, hub_root / "acme" / "one")


def test_what_came_before_a_hub_broke_down_is_gone_on_with(hub, hub_root, target, keep):
    """REL-2: the error names file and cause; the next call asks for the rest only."""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(cut_at=0.6)
    with pytest.raises(EnvironmentProblem, match=r"'model.safetensors' of 'acme/one' could not be fetched") as caught:
        fetch(repository, target, keep)
    assert "connection was lost" in caught.value.why
    assert "after 3 retries" in caught.value.why
    assert "2.4 MB of 4.0 MB" in caught.value.fix
    assert not target.exists()
    assert kept_bytes(keep) == 2_400_000
    hub.rules.clear()
    before = bodies(hub)
    done = fetch(repository, target, keep)
    assert bodies(hub) - before == 1_600_000
    assert (done.bytes_fetched, done.bytes_resumed) == (1_600_000, 2_400_000)
    assert_equal_folders(target, hub_root / "acme" / "one")
    assert kept_bytes(keep) == 0


@pytest.mark.parametrize("share", [0.3, 1.0, 1.2], ids=["part", "whole", "longer"])
def test_kept_bytes_that_were_altered_are_found_out(hub, hub_root, target, keep, share):
    """REL-2, SEC-1: and all is fetched anew."""
    repository = opened("acme/one")
    content = (hub_root / "acme" / "one" / "model.safetensors").read_bytes()
    keep.mkdir()
    part = keep / f"{repository.hashes['model.safetensors']}.part"
    part.write_bytes(b"not it" + (content * 2)[6 : int(4_000_000 * share)])
    done = fetch(repository, target, keep)
    assert_equal_folders(target, hub_root / "acme" / "one")
    assert done.bytes_fetched == 4_000_000 + (2_800_000 if share == 0.3 else 0)
    assert kept_bytes(keep) == 0


def test_kept_bytes_of_a_file_that_is_damaged_itself_end_in_an_error(hub, target, keep):
    """SEC-1: two times at most."""
    hub.rules["acme/one"] = Rules(false_hash=True)
    repository = opened("acme/one")
    keep.mkdir()
    (keep / f"{repository.hashes['model.safetensors']}.part").write_bytes(b"begun")
    with pytest.raises(EnvironmentProblem, match="is damaged"):
        fetch(repository, target, keep)
    assert bodies(hub) == 4_000_000 - 5 + 4_000_000
    assert kept_bytes(keep) == 0


def test_without_resuming_all_is_fetched(hub, hub_root, target, keep):
    """REL-2, INS-2: `resume_downloads: false`."""
    repository = opened("acme/one")
    keep.mkdir()
    content = (hub_root / "acme" / "one" / "model.safetensors").read_bytes()
    (keep / f"{repository.hashes['model.safetensors']}.part").write_bytes(content[:1_000_000])
    assert fetch(repository, target, keep, resume=False).bytes_fetched == 4_000_000


@pytest.mark.parametrize("status", [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR])
def test_a_hub_that_stumbles_is_asked_again(hub, hub_root, target, keep, status):
    """REL-2: after the pause that it asks for."""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(failures=2, fail_with=status, retry_after="2")
    done = fetch(repository, target, keep)
    assert_equal_folders(target, hub_root / "acme" / "one")
    assert done.seconds > 4.0


def test_a_hub_that_stays_down_is_told_with_its_answer(hub, target, keep):
    """REL-2"""
    repository = opened("acme/one")
    hub.rules["acme/one"] = Rules(failures=-1, fail_with=HTTPStatus.SERVICE_UNAVAILABLE)
    with pytest.raises(EnvironmentProblem, match="could not be fetched") as caught:
        fetch(repository, target, keep)
    assert "answered with 503" in caught.value.why
    assert len([asked for asked in hub.asked if "/resolve/" in asked.path]) == 4


# Doors that are closed


def test_what_needs_a_token_is_told_without_one(hub, target, keep):
    """CHK-15: at once, without retries."""
    repository = opened("acme/one")
    for rules, said in ((Rules(gated="manual"), "is gated"), (Rules(private=True), "Please set HF_TOKEN")):
        hub.rules["acme/one"] = rules
        with pytest.raises(NotFoundProblem) as caught:
            fetch(repository, target, keep)
        assert said in str(caught.value)
    assert len([asked for asked in hub.asked if asked.status == 401]) == 2


def test_the_token_reaches_the_hub_alone_and_no_message(hub, hub_root, target, keep, monkeypatch):
    """SEC-5: large files come from another host, which gets none."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer(hub_root) as other:
        hub.rules["acme/one"] = Rules(gated="manual", cdn=other.url)
        repository = opened("acme/one")
        other.rules["acme/one"] = Rules(failures=-1)
        with pytest.raises(EnvironmentProblem) as caught:
            fetch(repository, target, keep)
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        other.rules.clear()
        fetch(repository, target, keep)
        assert {asked.token for asked in other.asked} == {False}
    assert {asked.token for asked in hub.asked} == {True}
    assert_equal_folders(target, hub_root / "acme" / "one")


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/../../x", "/etc/x", "C:/x", "a\\b", "..\\x", "a//b", "./x", "a/", "", "a\nb", "a\0b", "a\x7fb", "a\u202eb",
        "\ud800", "ä" * 128, "x/" + "a" * 256,
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(hub, target, keep, name):
    """SEC-1: before anything is asked for or written."""
    repository = opened("acme/model")
    repository.files[name] = 5
    asked = len(hub.asked)
    with pytest.raises(UsageProblem, match="is refused") as caught:
        fetch(repository, target, keep)
    assert ascii(name)[:120] in caught.value.what
    assert len(hub.asked) == asked
    assert not target.exists()
    assert not keep.exists()


@pytest.mark.parametrize(
    "names", [("a.json", "A.json"), ("\u00e9", "e\u0301"), ("x/Stra\u00dfe", "X/STRASSE"), ("a", "A/b")]
)
def test_names_that_mean_one_place_are_refused(hub, target, keep, names):
    """SEC-1: on disks that know neither case nor forms of Unicode."""
    repository = opened("acme/model")
    repository.files |= dict.fromkeys(names, 5)
    with pytest.raises(UsageProblem, match="is refused"):
        fetch(repository, target, keep)


def test_a_hostile_listing_is_refused_as_it_comes_from_the_hub(hub, target, keep):
    """SEC-1"""
    hub.rules["acme/model"] = Rules(extra_files={"../../evil.py": 5})
    with pytest.raises(UsageProblem, match=r"evil\.py"):
        fetch(opened("acme/model"), target, keep)


def test_a_link_under_the_target_is_not_followed(hub, tmp_path, target, keep):
    """SEC-1"""
    (tmp_path / "outside").mkdir()
    target.mkdir()
    (target / "1_Pooling").symlink_to(tmp_path / "outside")
    with pytest.raises(UsageProblem, match="1_Pooling' is a link"):
        fetch(opened("acme/model"), target, keep)
    assert list((tmp_path / "outside").iterdir()) == []
    assert bodies(hub) == 0


def test_a_link_in_a_files_place_is_replaced(hub, tmp_path, target, keep):
    """SEC-1"""
    (tmp_path / "precious").write_text("mine")
    target.mkdir()
    (target / "config.json").symlink_to(tmp_path / "precious")
    download(opened("acme/model"), ["config.json"], target, keep=keep)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (target / "config.json").is_symlink()


# Stopping


@pytest.mark.parametrize(
    "rules", [Rules(pause=0.05), Rules(pause=30), Rules(delay=30)], ids=["slow", "stalled", "no answer"]
)
def test_a_download_can_be_stopped_at_once(hub, target, keep, rules):
    """REL-2: also while the Hub says nothing; what has come is kept."""
    repository, stop, stopped = opened("acme/model"), threading.Event(), list[float]()
    hub.rules["acme/model"] = rules

    def stop_in_the_middle(event: Event) -> None:
        if isinstance(event, Progress) and (event.done or rules.delay) and not stopped:
            stopped.append(time.monotonic())
            stop.set()

    with pytest.raises(InterruptedRun):
        fetch(repository, target, keep, stop=stop, on_event=stop_in_the_middle)
    assert time.monotonic() - stopped[0] < 1.2
    assert threads_left() == []
    assert not target.exists()
    if not rules.delay:
        kept = kept_bytes(keep)
        assert kept > 0
        hub.rules.clear()
        assert fetch(repository, target, keep).bytes_resumed == kept


def test_an_interrupt_ends_the_threads(hub, target, keep):
    """REL-2: Ctrl-C reaches the thread that watches."""
    repository = opened("acme/model")
    hub.rules["acme/model"] = Rules(pause=30)

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(repository, target, keep, on_event=interrupt)
    assert threads_left() == []
    assert not target.exists()


def test_one_download_at_a_time_uses_the_part_folder(hub, target, keep):
    """REL-2: two would write into one file."""
    keep.mkdir()
    descriptor = os.open(keep, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UsageProblem, match="is running already"):
        fetch(opened("acme/small"), target, keep)
    os.close(descriptor)
    fetch(opened("acme/small"), target, keep)
    assert list(keep.iterdir()) == []


# Disks


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(hub, target, disk, keep):
    """INS-5, REL-2: with the missing bytes; wherever it is."""
    small, repository = disk("small", "2m"), opened("acme/one")
    for places in ({"target": small / "model", "keep": keep}, {"target": target, "keep": small / "keep"}):
        with pytest.raises(DoesNotFitProblem, match=r"too small: 1\.9 MB more are needed"):
            fetch(repository, **places)
    assert bodies(hub) == 0


def test_a_disk_that_fills_up_meanwhile_keeps_what_has_come(hub, hub_root, target, disk):
    """REL-2"""
    small, repository = disk("small", "5m"), opened("acme/one")
    hub.rules["acme/one"] = Rules(pause=0.05)

    def fill(_: Event) -> None:
        if not (small / "filler").exists():
            (small / "filler").write_bytes(b"x" * 3_000_000)

    with pytest.raises(DoesNotFitProblem, match="is full") as caught:
        fetch(repository, target, small / "keep", on_event=fill)
    assert "Free some space" in caught.value.fix
    (small / "filler").unlink()
    hub.rules.clear()
    assert fetch(repository, target, small / "keep").bytes_resumed > 1_000_000
    assert_equal_folders(target, hub_root / "acme" / "one")


@pytest.mark.parametrize("which", ["target", "keep"])
def test_a_disk_that_cannot_be_written_is_told_before_anything_is_fetched(hub, target, keep, disk, which):
    """REL-2"""
    sealed = disk("sealed", "20m")
    subprocess.run(["mount", "-o", "remount,ro", sealed], check=True)
    places = {"target": target, "keep": keep} | {which: sealed / "model"}
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        fetch(opened("acme/one"), **places)
    assert bodies(hub) == 0


# Folders of this machine


@pytest.fixture
def local(tmp_path: Path) -> LocalRepository:
    """As the Hub's cache lays files out: names that are links to contents elsewhere."""
    plain = write_files(tmp_path / "plain", FILES)
    snapshot = tmp_path / "cache" / "snapshots" / "abc"
    for number, name in enumerate(FILES):
        blob = tmp_path / "cache" / "blobs" / str(number)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(plain / name, blob)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    return LocalRepository(ModelPlace(snapshot, "mine"))


def test_a_folder_is_copied_as_real_files(local, tmp_path, target, keep):
    """INS-5: behind links, and without a folder for parts."""
    events = list[Event]()
    done = fetch(local, target, keep, on_event=events.append)
    assert_equal_folders(target, tmp_path / "plain")
    assert done[:4] == (len(FILES), TOTAL, 0, 0)
    assert (target / BIG).stat().st_nlink == 1
    assert not keep.exists()
    assert isinstance(events[-1], Progress)
    assert events[-1].done == events[-1].total == TOTAL


def test_a_folder_is_linked(local, tmp_path, target, keep):
    """INS-5: a second name of the same bytes; once more changes nothing."""
    for _ in range(2):
        fetch(local, target, keep, link=True)
        assert_equal_folders(target, tmp_path / "plain")
        assert (target / BIG).samefile(tmp_path / "cache" / "blobs" / "0")


@pytest.mark.parametrize("link", [False, True])
def test_a_link_in_a_copys_place_is_replaced(local, tmp_path, target, keep, link):
    """SEC-1"""
    (tmp_path / "precious").write_text("mine")
    target.mkdir()
    (target / "config.json").symlink_to(tmp_path / "precious")
    fetch(local, target, keep, link=link)
    assert (tmp_path / "precious").read_text() == "mine"
    assert_equal_folders(target, tmp_path / "plain")


def test_linking_onto_itself_loses_nothing(tmp_path, keep):
    """INS-5"""
    folder = write_files(tmp_path / "model", FILES)
    for link in (True, False):
        fetch(LocalRepository(ModelPlace(folder, "mine")), folder, keep, link=link)
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == TOTAL


def test_linking_onto_another_disk_copies(local, tmp_path, disk, keep):
    """INS-5"""
    other = disk("other", "20m")
    fetch(local, other / "model", keep, link=True)
    assert_equal_folders(other / "model", tmp_path / "plain")


def test_copying_onto_a_disk_that_is_too_small(local, disk, keep):
    """INS-5"""
    with pytest.raises(DoesNotFitProblem, match="more are needed"):
        fetch(local, disk("small", "2m") / "model", keep)


def test_copying_a_huge_file_can_be_stopped(tmp_path, target, keep):
    """REL-2: between two pieces, and no half file is left."""
    sparse(tmp_path / "huge" / "model.safetensors", 2**30)
    stop = threading.Event()
    with pytest.raises(InterruptedRun):
        fetch(
            LocalRepository(ModelPlace(tmp_path / "huge", "mine")), target, keep, stop=stop,
            on_event=lambda _: stop.set(),
        )  # fmt: skip
    assert list(target.rglob("*")) == []


def test_a_listeners_trouble_is_not_the_disks(local, target, keep):
    """REL-2: a terminal that went away is no disk that cannot be written."""

    def broken(event: Event) -> None:
        if isinstance(event, Progress) and event.done:
            raise BrokenPipeError(errno.EPIPE, "gone")
        time.sleep(0.25)  # so that the first piece is told of

    with pytest.raises(BrokenPipeError):
        fetch(local, target, keep, on_event=broken)
    assert list(target.rglob("*")) == []
