"""MLflow's tracking server, by its own client (`mlflow-skinny`, which is imported only when it is used)."""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorasmith.core import settings
from lorasmith.trackers._base import (
    Begin,
    Destination,
    Link,
    Numbers,
    Refused,
    RemoteTracker,
    Status,
    Unreachable,
)

_ADDRESS, _EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
_KEY = "lorasmith.run"
"""The tag by which a run is found again."""
_AT_ONCE = 900
"""Metrics in one request; the server takes 1,000."""
_LONGEST = 500
"""Signs of a parameter, as the oldest servers take them."""
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_LATER = {401, 403, 408, 409, 425, 429, 499}
"""HTTP answers that may be others once somebody has signed in, or waited."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Whoever sends tries again by itself, and says so itself."""


class Mlflow(RemoteTracker):
    name = "mlflow"
    title = "MLflow"
    package = "mlflow"
    extra = "mlflow"

    def destination(self) -> Destination:
        known = settings.load()
        address = os.environ.get(_ADDRESS) or known.mlflow_tracking_uri
        return Destination(address, os.environ.get(_EXPERIMENT) or known.mlflow_experiment_name)

    def connect(self, destination: Destination) -> Link:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        return _Link(MlflowClient(destination.address), destination.experiment)


class _Link(Link):
    def __init__(self, client: Any, experiment: str):
        self._client, self._name = client, experiment
        self._experiment = ""

    def begin(self, record: Begin, parent: str) -> str:
        with _understood():
            known = self._find(record.run)
            if not known:
                tags = {
                    **record.tags,
                    _KEY: record.run,
                    "mlflow.user": getpass.getuser(),
                    "mlflow.source.name": "lorasmith",
                }
                if parent:
                    tags["mlflow.parentRunId"] = parent
                made = self._client.create_run(
                    self._experiment_id(), start_time=round(record.time * 1000), run_name=record.name, tags=tags
                ).info.run_id
                known = self._find(record.run) or made  # others may have made the same run in the meantime
                if known != made:
                    self._client.delete_run(made)
            self._params(known, record.params)
            return str(known)

    def known(self, key: str) -> str:
        with _understood():
            return self._find(key)

    def numbers(self, run: str, records: Sequence[Numbers]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, round(record.time * 1000), record.step)
            for record in records
            for name, value in record.values.items()
        ]
        with _understood():
            for start in range(0, len(metrics), _AT_ONCE):
                self._client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])

    def tags(self, run: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with _understood():
            self._client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])

    def artifact(self, run: str, path: Path, place: str) -> None:
        with _understood():
            send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            send(run, str(path), place or None)

    def end(self, run: str, status: Status, at: float) -> None:
        with _understood():
            self._client.set_terminated(run, _STATUS[status], round(at * 1000))

    def answers(self) -> None:
        with _understood():
            self._client.search_experiments(max_results=1)

    def _params(self, run: str, params: Mapping[str, str]) -> None:
        """A run's parameters are never changed: a run that goes on keeps those that it began with."""
        from mlflow.entities import Param

        there = self._client.get_run(run).data.params
        new = [Param(name, value[:_LONGEST]) for name, value in params.items() if name not in there]
        if new:
            self._client.log_batch(run, params=new)

    def _find(self, key: str) -> str:
        """The run with that key that began first, or nothing."""
        found = self._client.search_runs(
            [self._experiment_id()], filter_string=f"tags.`{_KEY}` = '{key}'", max_results=10
        )
        runs = sorted((run.info.start_time, run.info.run_id) for run in found)
        return str(runs[0][1]) if runs else ""

    def _experiment_id(self) -> str:
        if not self._experiment:
            known = self._client.get_experiment_by_name(self._name)
            self._experiment = known.experiment_id if known else self._client.create_experiment(self._name)
        return self._experiment


@contextlib.contextmanager
def _understood() -> Generator[None]:
    """The client's errors, as those who send take them."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise Refused(str(error)) from None
    except (MlflowException, RequestException, OSError) as error:
        if _is_final(error):
            raise Refused(_said(error)) from None
        raise Unreachable(_root(error) or _said(error)) from None


def _said(error: Exception) -> str:
    text = str(getattr(error, "message", "") or error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def _root(error: BaseException) -> str:
    """What the system says of the connection, at the bottom of what three libraries make of it."""
    found = ""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            found = cause.strerror
        elif isinstance(cause, TimeoutError):
            found = "no answer in time"
        args = [one for one in cause.args if isinstance(one, BaseException)]
        reason = getattr(cause, "reason", None)
        cause = (
            cause.__cause__
            or cause.__context__
            or next(iter(args), None)
            or (reason if isinstance(reason, BaseException) else None)
        )
    return found


def _is_final(error: Exception) -> bool:
    """Whether the server itself has said that it will not take this."""
    from mlflow.exceptions import RestException

    if not isinstance(error, RestException):
        return False
    code = error.get_http_status_code()
    return 400 <= code < 500 and code not in _LATER


plugin = Mlflow()
