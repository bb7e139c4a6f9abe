"""Which parameters are tried next: Optuna's multivariate TPE on what is known of the trials, wherever they are in their rungs.

TPE: Bergstra et al., NeurIPS 2011; multivariate: Falkner et al., arXiv 1807.01774.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from lorasmith.tuning.rungs import RUNGS

STARTUP_TRIALS = 8
"""Drawn at random, besides those that are given, before TPE is asked: with fewer it knows too little to be better than chance."""


class LossSampler(BaseSampler):
    """Goes by each trial's validation loss at the first rung, which all trials come to.

    Optuna's own samplers learn from finished trials alone; here trials wait for one another, and what decides in the end is
    measured of finalists only.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int):
        self.space, self.seed = dict(space), seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self.space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters for `trial`: the same for the same seed, number and past."""
        known = [view for other in study.get_trials(deepcopy=False) if (view := _as_known(other, search_space))]
        tpe = TPESampler(multivariate=True, n_startup_trials=STARTUP_TRIALS, seed=self.seed + trial.number)
        past = optuna.create_study(direction="minimize", sampler=tpe)
        past.add_trials(known)
        return past.ask(search_space).params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise NotImplementedError(f"'{param_name}' is not in the space")


def _as_known(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    """The trial with its loss at the first rung as its value, as the worst where it came to nothing; None while it has none."""
    losses = [loss for units, loss in trial.intermediate_values.items() if units <= RUNGS[0]]
    if set(trial.params) != set(space) or (not losses and not trial.state.is_finished()):
        return None
    state = TrialState.COMPLETE if losses else TrialState.PRUNED
    return create_trial(
        state=state, value=min(losses) if losses else None, params=trial.params, distributions=dict(trial.distributions)
    )
