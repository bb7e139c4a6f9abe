"""Libraries that only some metrics need, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from lorasmith.core.errors import EnvironmentProblem


def need(module: str) -> Any:
    """The module. Raises EnvironmentProblem with the cure where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"This metric needs the library {module.partition('.')[0]}, which is not installed",
            fix="pip install 'lorasmith[evaluate]'",
        ) from error
