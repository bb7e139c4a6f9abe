"""Errors that a user can act on: what happened, why, what to do. Each class carries its exit code and HTTP status.

Nothing here prints: the command line and the servers render these, workers send them as events.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LorasmithError(Exception):
    """A problem told in three parts. `what` is one sentence; `why` and `fix` may be empty."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"

    def __init__(self, what: str, *, why: str = "", fix: str = "", **details: Any):
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.fix) if part)

    def as_dict(self) -> dict[str, Any]:
        """The form that crosses a process or HTTP boundary; `from_dict` is its inverse."""
        return {"kind": self.kind, "what": self.what, "why": self.why, "fix": self.fix, "details": self.details}


class UsageProblem(LorasmithError):
    """The command, the option or the setting is wrong."""

    exit_code = 2
    http_status = 400
    kind = "usage"


class NotFoundProblem(LorasmithError):
    """A model, adapter, dataset or file that was named is not there."""

    exit_code = 3
    http_status = 404
    kind = "not_found"


class DoesNotFitProblem(LorasmithError):
    """Memory or disk is too small for what was asked."""

    exit_code = 4
    http_status = 409
    kind = "does_not_fit"


class EnvironmentProblem(LorasmithError):
    """Libraries, rights or the network stand in the way."""

    exit_code = 5
    http_status = 503
    kind = "environment"


class DataProblem(LorasmithError):
    """The examples cannot be used as they are."""

    exit_code = 6
    http_status = 422
    kind = "data"


class InterruptedRun(LorasmithError):
    """The user stopped it; what was reached has been kept."""

    exit_code = 130
    http_status = 409
    kind = "interrupted"


class WorkerCrash(LorasmithError):
    """A worker ended without saying why: a defect of ours or a kill from outside."""

    kind = "worker_crash"


KINDS: dict[str, type[LorasmithError]] = {
    error.kind: error
    for error in (
        LorasmithError,
        UsageProblem,
        NotFoundProblem,
        DoesNotFitProblem,
        EnvironmentProblem,
        DataProblem,
        InterruptedRun,
        WorkerCrash,
    )
}


def from_dict(fields: dict[str, Any]) -> LorasmithError:
    """The error that `as_dict` described; an unknown kind becomes the base class."""
    error = KINDS.get(fields.get("kind", ""), LorasmithError)
    return error(fields["what"], why=fields.get("why", ""), fix=fields.get("fix", ""), **fields.get("details", {}))
