"""A search's study, the same in SQLite, PostgreSQL and MariaDB (TUN-4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from lorasmith.core.errors import UsageProblem
from lorasmith.store.database import url_of
from lorasmith.tuning import ledger

Opened = Callable[..., ledger.Ledger]


@pytest.fixture
def opened(database: str) -> Iterator[Opened]:
    """Opens the study, as often as it is called."""
    made: list[ledger.Ledger] = []

    def open_one(**changes: Any) -> ledger.Ledger:
        made.append(
            ledger.Ledger.open(
                url_of(database, "x.db"), "s", {"model": "one", "data": "d"} | changes, {"rank": CategoricalDistribution([8, 16])},
                trials=6, first=[{"rank": 16}, {"rank": 8}], maximize=True, seed=0,
            )
        )  # fmt: skip
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def test_the_ledger_holds_exactly_what_was_asked_for(opened: Opened) -> None:
    """TUN-4: however often it is opened; each trial can be claimed once; trial 0 is the automatic choice."""
    one, two = opened(), opened()
    entries = one.entries()
    assert [entry.number for entry in two.entries()] == list(range(6))
    assert [entry.is_automatic for entry in entries] == [True] + [False] * 5
    assert one.claim(entries[0])
    assert not two.claim(entries[0])
    assert one.params(entries[0]) == {"rank": 16}
    assert two.claim(entries[1])
    assert two.params(entries[1]) == {"rank": 8}
    assert two.params(two.entries()[1]) == {"rank": 8}
    assert one.key == two.key


def test_losses_reasons_and_values_are_kept(opened: Opened) -> None:
    """TUN-4, TUN-5: also text in any script and numbers to their last digit."""
    one = opened()
    entries = one.entries()
    for entry in entries[:3]:
        assert one.claim(entry)
        one.params(entry)
    one.report(entries[0], {1: 1.0 / 3, 4: 2e-308}, seconds=0.1, resident_bytes=2**40)
    one.end(entries[0], TrialState.COMPLETE, value=0.1 + 0.2, figures={"exact_match": 2 / 3})
    one.end(entries[1], TrialState.FAIL, reason="Ошибка: 内存不足 " + "x" * 1000)
    one.end(entries[2], TrialState.PRUNED, reason="diverged")
    found = opened().entries()
    assert found[0].losses == {1: 1.0 / 3, 4: 2e-308}
    assert found[0].value == 0.1 + 0.2
    assert found[0].notes["figures"] == {"exact_match": 2 / 3}
    assert found[0].notes["resident_bytes"] == 2**40
    assert found[1].notes["reason"] == "Ошибка: 内存不足 " + "x" * 1000
    assert [entry.state for entry in found[:3]] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED]


def test_a_study_of_another_model_is_refused_by_name(opened: Opened) -> None:
    """TUN-4"""
    opened()
    with pytest.raises(UsageProblem) as told:
        opened(model="another")
    assert "its model is another" in told.value.what
    assert "--name" in told.value.fix


def test_a_trial_of_a_machine_that_is_gone_is_tried_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """TUN-4: it is no trial of its own in the count."""
    monkeypatch.setattr(ledger, "BEAT_SECONDS", 1)
    monkeypatch.setattr(ledger, "_GRACE_SECONDS", 1)
    one = opened()
    for entry in one.entries()[:2]:
        assert one.claim(entry)
        one.params(entry)
    kept_one = one.entries()[1]
    time.sleep(2.5)
    one.beat([kept_one])
    found = {entry.number: entry for entry in one.entries()}
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert found[6].is_automatic
    assert one.claim(found[6])
    assert one.params(found[6]) == {"rank": 16}
    opened()
    assert len(one.entries()) == 6
