"""A search as it stands, for those who look on: from its report where it is over, else from its study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.store.database import url_of
from lorasmith.tuning.report import REPORT_FILE, TrialRow, TuneReport


class Standing(NamedTuple):
    """How far a search is. `best` is the trial that leads, by what decides or, while nothing is measured, by its loss."""

    figure: str
    higher_is_better: bool
    trials: list[TrialRow]
    best: int | None
    best_params: dict[str, Any]
    best_options: dict[str, Any]
    """The same, as a training is asked for them."""
    importances: dict[str, float]
    verdict: str


def standing(folder: Path, name: str, storage: str = "") -> Standing | None:
    """Of the search `name` in `folder`; None before it has written down its trials. Raises EnvironmentProblem where its
    database cannot be reached."""
    report = _report(folder)
    if report:
        return Standing(
            report.kind.title, report.kind.higher_is_better, report.trials, report.best, report.best_params,
            options_of(folder, report.best_params), report.importances, report.verdict,
        )  # fmt: skip
    from lorasmith.tuning.launch import STUDIES_FILE, row_of
    from lorasmith.tuning.ledger import entries_of

    entries = entries_of(url_of(storage, STUDIES_FILE), name)
    if entries is None:
        return None
    rows = [row_of(entry) for entry in entries]
    known = [row for row in rows if row.losses]
    # Those that are as far as the furthest; a loss after a sixteenth says nothing beside one after the whole.
    furthest = max((max(row.losses) for row in known), default=0)
    leader = min((row for row in known if furthest in row.losses), key=lambda row: row.losses[furthest], default=None)
    return Standing(
        "validation loss", False, rows, leader.number if leader else None, leader.params if leader else {}, {}, {}, ""
    )


def options_of(folder: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that the search in `folder` has found, as a training is asked for them; nothing where it left no plan."""
    from lorasmith.training.spec import WorkerSpec
    from lorasmith.tuning.launch import START_FILE
    from lorasmith.tuning.space import as_given

    try:
        start = WorkerSpec.model_validate_json((folder / START_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    found = as_given(params, start.plan)
    targets = found["target_modules"]
    return found | {"target_modules": targets if isinstance(targets, str) else ",".join(targets)}


def _report(folder: Path) -> TuneReport | None:
    try:
        return TuneReport(**json.loads((folder / REPORT_FILE).read_text(encoding="utf-8")), folder=str(folder))
    except (OSError, ValueError, TypeError):
        return None
