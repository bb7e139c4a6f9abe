"""What a search may vary, and between which values (TUN-1). Text in, Optuna's distributions out.

A range is written as `8,16,32` (one of these), `1e-4..1e-3` (anything between; by its logarithm where both ends are above zero)
or `32` (always this). `2x` is twice what would be chosen automatically; layers that belong together are joined by `+`.

Where the user says nothing, a range holds the automatic choice; what the user says holds for that choice, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.profiles import ALL_LINEAR, ATTENTION, VARIANTS

if TYPE_CHECKING:  # a third of a second, and checks of a range need none of it
    from optuna.distributions import BaseDistribution

    from lorasmith.plan.choose import TrainPlan

_CHANGE_THE_BASE = ("pissa", "olora", "qlora")


class Dimension(NamedTuple):
    """One thing that varies."""

    values: str
    """Where it may lie, unless the user says otherwise."""
    least: float
    most: float
    is_whole: bool
    says: str


DIMENSIONS = {
    "rank": Dimension("8,16,32,64", 1, 1024, is_whole=True, says="Rank of the adapter"),
    "lora_alpha": Dimension("16,32,64", 1e-3, 4096, is_whole=False, says="Scaling of the adapter"),
    "lora_dropout": Dimension("0,0.05,0.1", 0, 0.9, is_whole=False, says="Dropout before the adapter"),
    "learning_rate": Dimension("1e-4..1e-3", 1e-8, 1, is_whole=False, says="Peak learning rate"),
    "target_modules": Dimension("all-linear,attention", 0, 0, is_whole=False, says="Layers that are adapted"),
    "epochs": Dimension("0.5x,1x", 0.01, 1000, is_whole=False, says="Passes over the rows"),
    "batch_size": Dimension("0.5x,1x,2x", 1, 4096, is_whole=True, says="Rows to an optimizer step"),
    "warmup": Dimension("0.03,0.1", 0, 0.9, is_whole=False, says="Share of the steps over which the rate rises"),
    "variant": Dimension("lora,rslora", 0, 0, is_whole=False, says="Kind of adapter"),
}
_NAMES = {"target_modules", "variant"}
"""What has names and no numbers for values."""


class Range(NamedTuple):
    """Where one parameter may lie: any of `values`, or between `low` and `high`."""

    name: str
    values: tuple[Any, ...] = ()
    factors: tuple[float, ...] = ()
    """Values that are written as so many times the automatic choice."""
    low: float = 0.0
    high: float = 0.0
    is_given: bool = False

    def around(self, automatic: Any) -> tuple[BaseDistribution, Any]:
        """As Optuna has it, and the automatic choice within it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        if not self.values and not self.factors:
            low, high = self.low, self.high
            if not self.is_given and not low <= automatic <= high:
                reach = math.sqrt(high / low)
                low, high = automatic / reach, automatic * reach
            return FloatDistribution(low, high, log=low > 0), min(max(automatic, low), high)
        scaled = tuple(self._rounded(factor * automatic) for factor in self.factors)
        found = dict.fromkeys((*self.values, *scaled))
        if not self.is_given:
            found |= {automatic: None}
        if self.name in _NAMES:
            return CategoricalDistribution(list(found)), automatic if automatic in found else next(iter(found))
        return CategoricalDistribution(sorted(found)), min(found, key=lambda value: abs(value - automatic))

    def _rounded(self, value: float) -> float:
        if DIMENSIONS[self.name].is_whole:
            return max(1, round(value))
        return float(f"{value:.4g}")


def ranges(*sources: Mapping[str, str]) -> dict[str, Range]:
    """Every dimension's range; the later of `sources` (the settings, then the command line) win.

    Raises UsageProblem that names the range that is wrong.
    """
    found = {name: parse(name, one.values) for name, one in DIMENSIONS.items()}
    for source in sources:
        for name, text in source.items():
            if name not in DIMENSIONS:
                raise UsageProblem(f"A search does not know '{name}'", fix=nearest(name, DIMENSIONS))
            found[name] = parse(name, text)._replace(is_given=True)
    return found


def given_ranges(given: Iterable[str]) -> dict[str, str]:
    """`NAME=RANGE` by name. Raises UsageProblem."""
    found: dict[str, str] = {}
    for text in given:
        name, is_there, values = text.partition("=")
        if not is_there or not values.strip():
            raise UsageProblem(f"--space {text!r} is wrong", fix="Write NAME=RANGE, such as rank=8,16 or rank=16.")
        found[name.strip()] = values.strip()
    return found


def parse(name: str, text: str) -> Range:
    """The range that `text` says. Raises UsageProblem."""
    if name in _NAMES:
        values = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if not values:
            raise _wrong(name, text, "It names nothing.")
        _check_names(name, values)
        return Range(name, values)
    if ".." in text:
        low, high = (_number(name, text, part) for part in text.split("..", 1))
        if DIMENSIONS[name].is_whole or not low < high:
            why = "Only what is no whole number can lie between." if low < high else "The first is not the smaller."
            raise _wrong(name, text, why)
        return Range(name, low=low, high=high)
    parts = [part.strip().lower() for part in text.split(",")]
    factors = tuple(_number(name, text, part[:-1], is_factor=True) for part in parts if part.endswith("x"))
    values = tuple(_number(name, text, part) for part in parts if not part.endswith("x"))
    return Range(name, values, factors)


def _number(name: str, text: str, part: str, *, is_factor: bool = False) -> float:
    dimension = DIMENSIONS[name]
    try:
        number = float(part)
    except ValueError:
        raise _wrong(name, text, f"'{part.strip()}' is no number.") from None
    least, most = (1e-2, 100.0) if is_factor else (dimension.least, dimension.most)
    if not least <= number <= most:
        raise _wrong(name, text, f"{part.strip()} does not lie between {least:g} and {most:g}.")
    if dimension.is_whole and not is_factor:
        if number != int(number):
            raise _wrong(name, text, f"{part.strip()} is no whole number.")
        return int(number)
    return number


def _check_names(name: str, values: tuple[str, ...]) -> None:
    if name != "variant":
        return
    for value in values:
        if value not in VARIANTS:
            raise _wrong(name, value, nearest(value, VARIANTS))
        if value in _CHANGE_THE_BASE:
            why = "It changes the base as it starts, and all trials share one."
            raise _wrong(
                name, value, why if value != "qlora" else "Say --method qlora: it is the same base for all trials."
            )


def _wrong(name: str, text: str, why: str) -> UsageProblem:
    return UsageProblem(
        f"The range of {name}, '{text}', is wrong", why=why, fix=f"Such as {name}={DIMENSIONS[name].values}"
    )


def automatic(plan: TrainPlan) -> dict[str, Any]:
    """What would be chosen without a search, in the search's own terms."""
    targets = plan.target_modules
    return {
        "rank": plan.rank,
        "lora_alpha": float(plan.alpha),
        "lora_dropout": float(plan.dropout),
        "learning_rate": plan.learning_rate,
        "target_modules": targets if isinstance(targets, str) else "+".join(targets),
        "epochs": plan.epochs,
        "batch_size": plan.effective_batch,
        "warmup": float(f"{plan.warmup_steps / plan.steps:.4g}"),
        "variant": plan.variant,
    }


def as_given(params: Mapping[str, Any], plan: TrainPlan) -> dict[str, Any]:
    """The parameters of a trial as options of a training whose automatic choice is `plan`; but for `warmup`, which asks for the
    number of steps first. Rows that the automatic choice computes at a time are not exceeded."""
    batch = params["batch_size"]
    micro = max(rows for rows in range(1, min(batch, plan.micro_batch) + 1) if batch % rows == 0)
    targets = params["target_modules"]
    return {
        "lora_r": params["rank"],
        "lora_alpha": params["lora_alpha"],
        "lora_dropout": params["lora_dropout"],
        "learning_rate": params["learning_rate"],
        "target_modules": targets if targets in (ALL_LINEAR, ATTENTION) else targets.split("+"),
        "epochs": params["epochs"],
        "batch_size": micro,
        "gradient_accumulation": batch // micro,
        "variant": params["variant"],
    }
