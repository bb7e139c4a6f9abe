"""The studio's tables, the same in SQLite, PostgreSQL and MariaDB (STU-8)."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.store.database import Database, url_of
from lorasmith.store.tables import Base, Dataset, Task, now
from lorasmith.studio.tasks import Tasks

PARAMS = {"model": "demo", "data": "rows.jsonl"}


@pytest.fixture
def store(database: str) -> Iterator[Database]:
    one = Database(url_of(database, "x.db"))
    yield one
    one.close()


@pytest.fixture
def tasks(store: Database) -> Tasks:
    return Tasks(store)


def test_the_steps_lead_to_the_tables(store: Database) -> None:
    """STU-8: what the migrations make is what the code believes, and opening it again changes nothing."""
    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert not found
    Database(store.url).close()


def test_a_dataset_may_be_larger_than_two_gigabytes(store: Database) -> None:
    """STU-8, STU-10"""
    with store.session() as session:
        session.add(Dataset(name="a", file="a.jsonl", num_bytes=10 * 2**30))
    with store.session() as session:
        assert session.scalars(select(Dataset.num_bytes)).one() == 10 * 2**30


def _open(url: str) -> None:
    Database(url).close()


def test_servers_that_start_at_once_make_the_tables_once(database: str) -> None:
    """STU-8, STU-9"""
    url = url_of(database, "x.db")
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_open, args=(url,)) for _ in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0] * 4


def test_a_task_is_kept_as_it_is(tasks: Tasks) -> None:
    """STU-8: names in any script, long texts, nested parameters, times with their zone, two decimals of progress."""
    made = tasks.create("train", "Счета 发票 🧾", PARAMS | {"lora_r": 8})
    moment = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=3)))
    with tasks.database.session() as session:
        task = session.get_one(Task, made.id)
        task.started_at, task.progress, task.message = moment, 33.33, "x" * 100_000
        task.error = {"what": "Ошибка", "deep": [{"a": None, "b": [1.5, True]}]}
    found = tasks.get(made.id)
    assert found.task_name == "Счета 发票 🧾"
    assert found.started_at == moment
    assert found.started_at is not None
    assert found.started_at.tzinfo is UTC
    assert found.progress == 33.33
    assert found.message == "x" * 100_000
    assert found.error == {"what": "Ошибка", "deep": [{"a": None, "b": [1.5, True]}]}
    assert found.training_params == PARAMS | {"lora_r": 8}
    assert found.status == "pending"
    assert abs(now() - found.created_at) < timedelta(seconds=30)


def test_what_no_verb_takes_is_refused(tasks: Tasks) -> None:
    """STU-9: before it is a task."""
    with pytest.raises(UsageProblem, match="lora_rank"):
        tasks.create("train", "a", PARAMS | {"lora_rank": 8})
    with pytest.raises(UsageProblem, match="no kind of task 'dance'"):
        tasks.create("dance", "a", PARAMS)
    with pytest.raises(NotFoundProblem, match="no task 7"):
        tasks.get(7)
    assert tasks.page() == ([], 0)


def test_a_list_is_paged_filtered_and_searched(tasks: Tasks) -> None:
    """STU-1: from the newest on; what is searched for is text and no pattern."""
    numbers = [tasks.create("train", f"run {number} 100%_done", PARAMS).id for number in range(7)]
    tasks.create("tune", "a search", PARAMS)
    first, total = tasks.page(kind="train", limit=3)
    assert total == 7
    assert [task.id for task in first] == numbers[:3:-1]
    rest, total = tasks.page(kind="train", limit=10, before=first[-1].id)
    assert [task.id for task in rest] == numbers[3::-1]
    assert total == 7
    assert tasks.page(text="100%_")[1] == 7
    assert tasks.page(text="100x")[1] == 0
    assert tasks.page(text="SEARCH")[1] == 1
    assert tasks.page(status="running,failed")[1] == 0
    assert tasks.page(status="pending")[1] == 8


def test_of_many_that_ask_one_takes_a_task(store: Database) -> None:
    """STU-9: two servers on one database never start one task twice."""
    tasks = Tasks(store)
    number = tasks.create("train", "a", PARAMS).id
    others = [Database(store.url) for _ in range(4)]
    barrier, taken = threading.Barrier(8), list[bool]()

    def take(at: Database) -> None:
        barrier.wait()
        taken.append(Tasks(at).take(number))

    threads = [threading.Thread(target=take, args=(other,)) for other in (*others, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(taken) == [False] * 7 + [True]


def test_the_life_of_a_task(tasks: Tasks) -> None:
    """STU-8, STU-9: taken, begun by one process, heard of, taken for dead and heard of again, told to stop, ended, resumed."""
    number = tasks.create("train", "a", PARAMS).id
    assert tasks.take(number)
    assert tasks.begin(number, 100, "/out") is not None
    assert tasks.begin(number, 101, "/other") is None
    assert not tasks.give_back(number)
    assert not tasks.beat(number, 100, progress=12.5)
    task = tasks.get(number)
    assert (task.status, task.progress, task.process, task.output_path) == ("running", 12.5, 100, "/out")
    assert not tasks.interrupted(number, 100, task.heartbeat - timedelta(seconds=1) if task.heartbeat else None)
    assert tasks.interrupted(number, 100, task.heartbeat)
    assert tasks.get(number).status == "interrupted"
    tasks.beat(number, 100)
    assert tasks.get(number).status == "running"
    assert tasks.stop(number).wanted == "stop"
    assert tasks.beat(number, 100)
    tasks.end(number, 100, "stopped")
    tasks.end(number, 999, "completed")
    assert tasks.get(number).status == "stopped"
    resumed = tasks.resume(number)
    assert (resumed.status, resumed.process, resumed.output_path) == ("pending", None, "/out")
    with pytest.raises(UsageProblem, match="cannot go on"):
        tasks.resume(number)
    assert tasks.stop(number).status == "stopped"


def test_a_task_that_was_taken_and_never_begun_waits_again(tasks: Tasks) -> None:
    """STU-9: the server died between taking and starting."""
    number = tasks.create("train", "a", PARAMS).id
    assert tasks.take(number)
    assert tasks.give_back(number)
    assert tasks.get(number).status == "pending"
    assert [task.id for task in tasks.waiting()] == [number]


def test_order_is_kept_and_priority_goes_first(tasks: Tasks) -> None:
    """STU-9"""
    first = tasks.create("train", "a", PARAMS).id
    second = tasks.create("train", "b", PARAMS).id
    urgent = tasks.create("train", "c", PARAMS, priority=5).id
    assert [task.id for task in tasks.waiting()] == [urgent, first, second]


def test_references_are_kept(tasks: Tasks) -> None:
    """STU-8: a task that another was cloned from may go; the clone stays."""
    parent = tasks.create("train", "a", PARAMS).id
    clone = tasks.create("train", "b", PARAMS, parent=parent).id
    with tasks.database.session() as session:
        session.delete(session.get_one(Task, parent))
    with tasks.database.session() as session:
        assert session.scalars(select(Task.id)).all() == [clone]
    assert tasks.get(clone).parent is None


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    """STU-8, SEC-5"""
    with pytest.raises(EnvironmentProblem) as told:
        Database("postgresql+pg8000://me:secret-word@127.0.0.1:1/x")
    assert "secret-word" not in str(told.value)
    assert "127.0.0.1" in str(told.value)
