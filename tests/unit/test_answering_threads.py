"""The number of threads of a pass, by what passes have taken; the clock is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from lorasmith.workers.answering.threads import Threads


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """Runs passes that take what `seconds` says for a number of threads; counts what was chosen."""

    def __init__(self, seconds: Callable[[int], float], most: int = 2):
        self.seconds = seconds
        self._now = 0.0
        self._threads = Threads(most, clock=lambda: self._now)

    def run(self, passes: int, tokens: int = 1) -> dict[int, int]:
        counts = {1: 0, 2: 0}
        for _ in range(passes):
            with self._threads.chosen(tokens) as count:
                counts[count] += 1
                assert torch.get_num_threads() == count
                self._now += self.seconds(count)
        return counts


def test_all_threads_where_they_are_quicker() -> None:
    """SRV-13: a trial costs few passes, and fewer the longer it changes nothing."""
    machine = Machine(lambda count: 1.0 if count == 2 else 1.5)
    assert machine.run(1000)[1] < 20
    assert machine.run(1000)[1] < 5


def test_one_thread_where_another_process_wants_the_core_and_back() -> None:
    """SRV-13: the choice follows what else the machine does."""
    machine = Machine(lambda count: 1.0 if count == 2 else 1.5)
    machine.run(50)
    machine.seconds = lambda count: 8.0 if count == 2 else 1.5
    machine.run(200)
    assert machine.run(100)[2] <= 10
    machine.seconds = lambda count: 1.0 if count == 2 else 1.5
    machine.run(500)
    assert machine.run(100)[1] <= 10


def test_one_disturbed_pass_changes_nothing() -> None:
    """SRV-13: neither in use nor in a trial."""
    slow = iter([1.0] * 7 + [30.0] + [1.0] * 10_000)
    machine = Machine(lambda count: next(slow) * (1.0 if count == 2 else 1.5))
    machine.run(60)
    assert machine.run(100)[1] <= 10


def test_each_size_of_pass_for_itself() -> None:
    """SRV-13: what is best for one token is not so for a prompt."""
    machine = Machine(lambda count: 1.0 if count == 1 else 2.0)
    machine.run(100)
    machine.seconds = lambda count: 100.0 if count == 2 else 190.0
    machine.run(100, tokens=512)
    assert machine.run(50, tokens=512)[1] <= 5
    machine.seconds = lambda count: 1.0 if count == 1 else 2.0
    assert machine.run(50)[2] <= 5


def test_one_core_has_nothing_to_choose() -> None:
    """SRV-13: then nothing is measured or set."""
    threads = Threads(1, clock=lambda: pytest.fail("asked"))
    with threads.chosen(5) as count:
        assert count == 1
