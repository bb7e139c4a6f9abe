"""What came out of a run with a judge, and how far it is to be trusted."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.evaluation.judges._base import Judgement

TRUSTED_FAILURES = 0.2
"""Up to this share of what was asked for may fail (EVA-3)."""


class Failure(NamedTuple):
    """A question that the judge gave no judgement on."""

    row: int
    reason: str


class Judgements(BaseModel):
    """Judgements by row. A row that failed or was not asked has none, and counts in no mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[Judgement | None, ...]
    failures: tuple[Failure, ...] = ()
    not_asked: tuple[int, ...] = Field(default=(), description="Rows beyond a limit, left out")
    limit: str = Field(default="", description="The limit that was reached: '100 calls'")
    calls: int = Field(default=0, description="Requests that were sent, repeated ones included")
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = Field(default=0.0, description="In the currency of the prices in the settings; 0 without prices")
    cached: int = Field(default=0, description="Rows judged without a request: known before, or equal to another")

    @property
    def scores(self) -> list[float]:
        """Of the rows that were judged."""
        return [row.score for row in self.rows if row is not None]

    @property
    def mean(self) -> float | None:
        """Over the rows that were judged; None without any."""
        scores = self.scores
        return sum(scores) / len(scores) if scores else None

    @property
    def is_trusted(self) -> bool:
        """Whether something was judged, and at most a fifth of what was asked for failed."""
        num_judged = len(self.scores)
        return num_judged > 0 and len(self.failures) <= TRUSTED_FAILURES * (num_judged + len(self.failures))

    def describe(self) -> str:
        """The line for a log."""
        mean = self.mean
        if mean is None:
            return "LLM judge: no judgement"
        return f"LLM judge mean {mean:.2f} (on {len(self.scores)} example{'s' if len(self.scores) != 1 else ''})"

    def remarks(self) -> list[str]:
        """What a reader of the mean has to know, in sentences; nothing where all went well."""
        said: list[str] = []
        num_asked = len(self.scores) + len(self.failures)
        if self.failures:
            reason, times = Counter(failure.reason for failure in self.failures).most_common(1)[0]
            share = 100 * len(self.failures) / num_asked
            said.append(
                f"{len(self.failures)} of {num_asked} judgements failed ({share:.0f} %) and are left out;"
                f" {times} × {reason.rstrip('.')}."
            )
        if self.not_asked:
            said.append(
                f"{len(self.not_asked)} of {len(self.rows)} rows were not asked: the limit of {self.limit} was reached."
            )
        if not self.is_trusted:
            why = f"more than {TRUSTED_FAILURES:.0%} of its judgements failed" if self.scores else "there is none"
            said.append(f"The judge's score is not to be trusted: {why}.".replace("%", " %"))
        return said

    def part(self, start: int, stop: int) -> Judgements:
        """Those of rows `start` to `stop`, renumbered from 0. Calls, tokens and money stay those of the whole run."""
        return self.model_copy(
            update={
                "rows": self.rows[start:stop],
                "failures": tuple(Failure(row - start, why) for row, why in self.failures if start <= row < stop),
                "not_asked": tuple(row - start for row in self.not_asked if start <= row < stop),
            }
        )
