"""The search's own decisions: ranges, rungs, what is drawn, what is told."""

from __future__ import annotations

import math
import random
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.specs import make_spec
from lorasmith.evaluation.report import Figure, FigureKind
from lorasmith.store.database import url_of
from lorasmith.tuning import ledger, space, variables
from lorasmith.tuning.page import page
from lorasmith.tuning.report import TrialRow, TuneReport
from lorasmith.tuning.rungs import RUNGS, UNITS, Far, Standing, kept, medians, units_left, verdict
from lorasmith.tuning.sample import LossSampler
from lorasmith.tuning.spec import TuneSpec

AUTOMATIC = {
    "rank": 16, "lora_alpha": 32.0, "lora_dropout": 0.05, "learning_rate": 5e-4, "target_modules": "all-linear", "epochs": 3.0,
    "batch_size": 16, "warmup": 0.05, "variant": "lora",
}  # fmt: skip


def test_the_space_is_what_is_promised_around_the_automatic_choice() -> None:
    """TUN-1: nine dimensions; the rate between 1e-4 and 1e-3 by its logarithm; every range holds the automatic choice."""
    found = {name: one.around(AUTOMATIC[name]) for name, one in space.ranges().items()}
    assert set(found) == set(AUTOMATIC)
    rate, _ = found["learning_rate"]
    assert isinstance(rate, FloatDistribution)
    assert (rate.low, rate.high, rate.log) == (1e-4, 1e-3, True)
    for name, (distribution, automatic) in found.items():
        assert automatic == AUTOMATIC[name]
        assert distribution._contains(distribution.to_internal_repr(automatic))
    assert found["batch_size"][0] == CategoricalDistribution([8, 16, 32])
    assert found["epochs"][0] == CategoricalDistribution([1.5, 3.0])


def test_a_default_range_moves_to_an_automatic_choice_outside_it() -> None:
    """TUN-1: a decade around it, where it lies elsewhere."""
    rate, automatic = space.ranges()["learning_rate"].around(3e-3)
    assert isinstance(rate, FloatDistribution)
    assert automatic == 3e-3
    assert rate.high / rate.low == pytest.approx(10)
    assert math.sqrt(rate.high * rate.low) == pytest.approx(3e-3)


@pytest.mark.parametrize(
    ("text", "automatic", "wanted", "first"),
    [
        ("rank=8,32", 16, [8, 32], 8),
        ("rank=64", 16, [64], 64),
        ("epochs=1,2x", 3.0, [1.0, 6.0], 1.0),
        ("batch_size=0.25x,1x", 16, [4, 16], 16),
        ("variant=dora,lora+", "lora", ["dora", "lora+"], "dora"),
        ("target_modules=q_proj+v_proj,attention", "all-linear", ["q_proj+v_proj", "attention"], "q_proj+v_proj"),
    ],
)
def test_what_the_user_says_holds_for_the_automatic_choice_too(
    text: str, automatic: Any, wanted: list[Any], first: Any
) -> None:
    """TUN-1: each range is a setting."""
    name = text.split("=", maxsplit=1)[0]
    distribution, chosen = space.ranges(space.given_ranges([text]))[name].around(automatic)
    assert isinstance(distribution, CategoricalDistribution)
    assert list(distribution.choices) == wanted
    assert chosen == first


def test_the_command_line_wins_over_the_environment_and_that_over_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """TUN-6"""
    for name, value in {"LORA_NUM_EPOCHS": "3", "LORA_BATCH_SIZE": "4", "LORA_LEARNING_RATE": "0.0001"}.items():
        monkeypatch.setenv(name, value)
    found = space.ranges({"epochs": "9", "rank": "8"}, variables.ranges(), space.given_ranges(["batch_size=2"]))
    assert (found["epochs"].values, found["rank"].values, found["batch_size"].values) == ((3.0,), (8,), (2,))
    assert found["learning_rate"].values == (1e-4,)


def test_the_environment_names_the_model_and_the_number_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """TUN-6"""
    monkeypatch.delenv("LORA_MODEL_NAME", raising=False)
    assert variables.model() == "Qwen/Qwen3-0.6B"
    monkeypatch.setenv("LORA_MODEL_NAME", "demo")
    monkeypatch.setenv("LORA_N_TRIALS", "7")
    assert (variables.model(), variables.trials()) == ("demo", 7)
    monkeypatch.setenv("LORA_N_TRIALS", "many")
    with pytest.raises(UsageProblem, match="LORA_N_TRIALS"):
        variables.trials()


@pytest.mark.parametrize(
    "text",
    [
        "rank", "rank=", "rank=a", "rank=0", "rank=1.5", "rank=8..64", "rank=-3x", "learning_rate=1e-3..1e-4", "learning_rate=nan",
        "learning_rate=1..2..3", "variant=lorra", "variant=pissa", "variant=,", "ranc=8", "lora_dropout=0.95", "epochs=inf",
    ],
)  # fmt: skip
def test_a_wrong_range_is_refused_by_name(text: str) -> None:
    """TUN-1"""
    with pytest.raises(UsageProblem) as told:
        space.ranges(space.given_ranges([text]))
    assert text.split("=", maxsplit=1)[0] in str(told.value)
    assert told.value.fix


@pytest.mark.parametrize("trials", [0, 4, 101, -1])
def test_too_few_and_too_many_trials_are_refused(trials: int) -> None:
    """TUN-1: 5 to 100."""
    with pytest.raises(UsageProblem, match="--trials"):
        make_spec(TuneSpec, model="demo", data="x", trials=trials)


def standings(*losses: float) -> list[Standing]:
    return [Standing(number, {RUNGS[0]: loss}) for number, loss in enumerate(losses)]


def test_the_best_quarter_goes_on_from_the_first_rung() -> None:
    """TUN-2: of 20 trials five, then the finalists; fewer trials never leave fewer than those."""
    losses = random.Random(1).sample(range(100), 20)
    all_of_them = standings(*map(float, losses))
    places = kept(20, 0, 2)
    going = [
        one.number
        for one in all_of_them
        if verdict(one, [other for other in all_of_them if other is not one], 0, places) == "on"
    ]
    assert sorted(losses[number] for number in going) == sorted(losses)[:5]
    assert (places, kept(20, 1, 2), kept(5, 0, 3)) == (5, 2, 3)


def test_nobody_is_judged_before_it_is_certain() -> None:
    """TUN-2: with others still on their way, only what no result of theirs could change is decided."""
    waiting = Standing(9, {})
    low, middle, high = standings(0.1, 0.2, 0.3)
    assert verdict(low, [middle, high, waiting], 0, 2) == "on"
    assert verdict(middle, [low, high, waiting], 0, 2) == "wait"
    assert verdict(high, [low, middle, waiting], 0, 2) == "out"
    assert verdict(middle, [low, high, Standing(9, {}, "out")], 0, 2) == "on"


def test_equal_losses_are_decided_by_number_and_no_number_never_goes_on() -> None:
    """TUN-2"""
    first, second = standings(0.5, 0.5)
    assert (verdict(first, [second], 0, 1), verdict(second, [first], 0, 1)) == ("on", "out")
    assert verdict(Standing(0, {1: math.inf}), [], 0, 5) == "out"


def test_what_ended_by_itself_stands_with_what_it_had() -> None:
    """TUN-2: a trial with fewer epochs is compared by its lowest loss; one that was out is behind all."""
    short, out = Standing(1, {1: 0.9, 2: 0.4}, "done"), Standing(2, {1: 0.3}, "out")
    assert short.at(4) == 0.4
    assert short.at(1) == 0.9
    assert (out.at(1), out.at(4)) == (0.3, math.inf)
    assert Standing(3, {1: 0.3}).at(4) is None


def test_the_median_needs_two_others() -> None:
    """TUN-2"""
    curves = [Standing(number, dict.fromkeys(range(1, UNITS), float(number))) for number in (1, 2, 6)]
    assert medians(curves)[RUNGS[-1] + 1] == 2
    assert min(medians(curves)) > RUNGS[-1]
    assert medians(curves[:1]) == {}


def test_the_median_is_of_what_others_had_on_average() -> None:
    """TUN-2: of their losses up to there, not of the last one: a rate that is right in the end is high in the middle."""
    curves = [Standing(number, {unit: 1.0 / unit for unit in range(1, UNITS)}) for number in (1, 2)]
    assert medians(curves)[5] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5)


def simulated(number: int, units: int) -> float:
    """The loss of a made-up trial: worse starts may end better, as rates do."""
    rng = random.Random(number)
    floor, start = rng.uniform(0.1, 1), rng.uniform(2, 4)
    return floor + (start - floor) * math.exp(-units / 3)


def test_twenty_trials_cost_less_than_five() -> None:
    """TUN-2: what the rungs train of 20 trials, with the automatic choice to its end, is a fifth of all or little more."""
    spent = UNITS + 19 * RUNGS[0]
    goes_on = sorted(range(1, 20), key=lambda number: simulated(number, RUNGS[0]))[: kept(20, 0, 2)]
    spent += len(goes_on) * (RUNGS[1] - RUNGS[0]) + 2 * (UNITS - RUNGS[1])
    assert spent / UNITS < 4.7


def test_what_is_left_never_grows() -> None:
    """QLT-2: progress tells the truth: what is done and what is left make the same sum from the first trial to the last."""
    far, sums = dict.fromkeys(range(1, 20), (0.0, False)), list[float]()

    def look() -> None:
        drawn = [Far(*one) for one in far.values()]
        sums.append(sum(one.units for one in drawn) + units_left(drawn, 20, 2))

    for number in far:
        for units in (0.5, 1.0):
            far[number] = (units, False)
            look()
    for number in range(1, 20):
        if number > 5:
            far[number] = (1.0, True)
    for number in range(1, 6):
        for units in (2.0, 4.0):
            far[number] = (units, False)
            look()
    for number in (3, 4, 5):
        far[number] = (4.0, True)
    for units in (7.0, 16.0):
        far[1] = (units, units == 16)
        look()
    far[2] = (8.0, True)  # outdone on the way
    look()
    assert max(sums) == sums[0]
    assert sums == sorted(sums, reverse=True)
    assert sums[-2] == sums[0] == 19 + 5 * 3 + 2 * 12


def test_the_sampler_draws_the_same_for_the_same_past_and_learns_from_trials_that_wait() -> None:
    """TUN-1, TUN-2: with a past that says "high rates", it draws high ones; without, from everywhere."""
    distribution = {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True), "rank": CategoricalDistribution([8, 16])}
    study = optuna.create_study(sampler=LossSampler(distribution, seed=3))
    rng = random.Random(2)
    for _ in range(30):
        rate = 10 ** rng.uniform(-4, -2)
        study.enqueue_trial({"learning_rate": rate, "rank": 8})
        study.ask(distribution).report(abs(math.log(rate / 8e-3)), 1)  # it stays open, as paused trials do
    drawn = [study.ask(distribution).params["learning_rate"] for _ in range(10)]
    assert sum(rate > 3e-3 for rate in drawn) >= 8
    trial = study.ask()
    assert study.sampler.sample_relative(study, study.trials[trial.number], distribution) == (
        study.sampler.sample_relative(study, study.trials[trial.number], distribution)
    )


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("nonsense", UsageProblem, "no database URL"),
        ("postgresql://me:secret-word@127.0.0.1:1/x", EnvironmentProblem, "cannot be used"),
        ("sqlite:////no/such/folder/x.db", EnvironmentProblem, "cannot be used"),
        ("oracle://me@h/x", EnvironmentProblem, "driver"),
        ("nodb://me@h/x", UsageProblem, "no database URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(url: str, kind: type, words: str) -> None:
    """TUN-4, SEC-5"""
    with pytest.raises(kind) as told:
        ledger.Ledger.open(url_of(url, "x.db"), "s", {}, {}, trials=5, first=[], maximize=True, seed=0)
    assert words in str(told.value)
    assert "secret-word" not in str(told.value)


def report(gain: Figure | None, best: int = 3) -> TuneReport:
    kind = FigureKind(title="Exact match", higher_is_better=True, is_share=True)
    rows = [
        TrialRow(number=number, is_automatic=not number, outcome="measured", params={"rank": 8 * (number + 1)}, losses={1: 0.5, 4: 0.1})
        for number in range(4)
    ]  # fmt: skip
    figure = Figure(value=0.5, low=0.4, high=0.6)
    return TuneReport(
        study="s", model_id="<b>m</b>", data="d", figure="exact_match", kind=kind, best=best, best_params=rows[best].params,
        base=figure, scores={0: figure, 3: figure}, gain=gain, rows=20, trials=rows, importances={"rank": 0.7}, seconds=1,
        folder="f",
    )  # fmt: skip


def test_the_verdict_says_plainly_whether_it_was_worth_it() -> None:
    """TUN-5"""
    assert report(Figure(value=0.1, low=0.02, high=0.2)).verdict.startswith(
        "Trial 3 is better than the automatic choice"
    )
    unclear = report(Figure(value=0.1, low=-0.02, high=0.2))
    assert unclear.verdict.startswith("Not clearly better than the automatic choice")
    assert not unclear.is_better
    assert report(None, best=0).verdict == "Nothing was better than the automatic choice."


def test_the_page_holds_every_trial_and_no_code_of_others() -> None:
    """TUN-5: table, history, importance."""
    text = page(report(Figure(value=0.1, low=0.02, high=0.2)))
    assert text.count("<tr") == 5
    assert "Importance of each parameter" in text
    assert "Trials in their order" in text
    assert "<b>m</b>" not in text
