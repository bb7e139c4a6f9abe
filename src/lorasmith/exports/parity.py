"""Whether an exported model is the one that was trained: the same prompts go through both (EXP-4).

Pure: it is given what they said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, computed_field

EXACT = "exact"
# The largest distance of distributions that passes, by what the numbers are stored as. Small models' ones are
# flatter than large ones', and move more.
LIMITS = {
    EXACT: 1e-3, "float32": 1e-3, "f32": 1e-3, "float16": 0.02, "f16": 0.02, "bfloat16": 0.1, "bf16": 0.1, "q8_0": 0.1,
    "q6_k": 0.15, "q5_1": 0.25, "q5_0": 0.25, "q5_k_m": 0.2, "q5_k_s": 0.2,
}  # fmt: skip
_LEFT = 0.4
"""For 4 bit and less."""
_TIE = 1e-5
"""Probabilities that are nearer to each other than this may change places by rounding alone."""
_ROUNDING = 0.02
"""What programs that keep earlier tokens in fp16 move distributions by, whatever the weights are stored as."""
_SUREST = 0.8
_SAME = ("exact", "float32", "f32")
"""Formats whose greedy answers have to be equal, too."""


class Said(NamedTuple):
    """What a model made of one prompt."""

    ids: Sequence[int]
    """The rendered prompt."""
    answer: Sequence[int]
    """Greedy, to its end or to the limit."""
    chances: Sequence[Mapping[int, float]]
    """For each token of the answer the probabilities of the likeliest, by id."""
    prompt: str = ""
    pieces: Sequence[str] = ()
    """The prompt's tokens as text."""
    text: str = ""
    """The answer as text."""


class ParityRow(BaseModel):
    """One prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    same_ids: bool
    same_answer: bool
    distance: float
    """Total variation, 0 to 1, of the distributions of the answer's tokens: the mean up to where the answers part."""
    difference: str = ""
    """The first token that differs."""


class TextRow(BaseModel):
    """One prompt whose answer is known as text alone, from a program that tells no tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    trained: str
    """As far as the trained model was sure of it."""
    is_whole: bool
    """Whether that is all of its answer, to the end."""
    exported: str

    @property
    def is_same(self) -> bool:
        own, other = self.trained.strip(), self.exported.strip()
        return other == own if self.is_whole else other.startswith(own)


class ScoreRow(BaseModel):
    """A figure of the task's own, for both models. The interval is the exported one's: 95 %, bootstrap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    trained: float
    exported: float
    low: float
    high: float
    is_share: bool


class ParityReport(BaseModel):
    """What a comparison came to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    limit: float
    reader: str
    """What read the exported model."""
    rows: list[ParityRow]
    texts: list[TextRow] = []
    """Answers of a program that tells words alone."""
    scores: list[ScoreRow] = []
    """Where a file of examples was named, whose right answers are known."""

    @property
    def same_ids(self) -> int:
        return sum(row.same_ids for row in self.rows)

    @property
    def same_answers(self) -> int:
        return sum(row.same_answer for row in self.rows)

    @property
    def same_texts(self) -> int:
        return sum(row.is_same for row in self.texts)

    @property
    def largest_distance(self) -> float:
        return max((row.distance for row in self.rows), default=0.0)

    @property
    def needs_same_answers(self) -> bool:
        return self.form in _SAME

    @computed_field
    @property
    def is_equal(self) -> bool:
        """Whether the export passes: every prompt has the same tokens, and the answers are near enough for how it is stored."""
        answers = not self.needs_same_answers or self.same_answers == len(self.rows)
        is_near = answers and self.largest_distance <= self.limit
        return self.same_ids == len(self.rows) and is_near and self.same_texts == len(self.texts)

    @property
    def trouble(self) -> str:
        """What differs, with the first prompt where it does; empty where it passes."""
        if self.is_equal:
            return ""
        row = next((row for row in self.rows if not row.same_ids), None)
        if row is not None:
            return f"{len(self.rows) - self.same_ids} of {len(self.rows)} prompts become other tokens: {row.difference}"
        far = max(self.rows, key=lambda row: row.distance, default=None)
        if far and far.distance > self.limit:
            return (
                f"The answer to '…{far.prompt[-60:]}' is taken from other distributions: {far.distance:.3f} apart, "
                f"and {self.limit:g} is the limit for {self.form}."
            )
        row = next((row for row in self.rows if not row.same_answer), None)
        if row is None or not self.needs_same_answers:
            return self._other_texts()
        return f"{len(self.rows) - self.same_answers} of {len(self.rows)} answers differ: {row.difference}"

    def _other_texts(self) -> str:
        row = next(row for row in self.texts if not row.is_same)
        return (
            f"{len(self.texts) - self.same_texts} of {len(self.texts)} answers are worded otherwise: to '…{row.prompt[-60:]}' "
            f"'{row.trained[:100]}' as trained, and '{row.exported[:100]}' as exported."
        )


def limit_of(form: str) -> float:
    return LIMITS.get(form, _LEFT)


def num_sure(said: Said, form: str) -> int:
    """How many tokens of an answer, its end among them, were likelier than any other by more than `form` and rounding can turn.

    So many have to be the same in whatever program reads the exported weights.
    """
    margin = min(_SUREST, 2 * max(_ROUNDING, limit_of(form)))
    for place, chances in enumerate(said.chances):
        best, second = sorted([*chances.values(), 0.0, 0.0], reverse=True)[:2]
        if best - second <= margin:
            return place
    return len(said.chances)


def compare(trained: Sequence[Said], exported: Sequence[Said], *, form: str, reader: str) -> ParityReport:
    """The report on what both made of the same prompts. `form` is how the exported weights are stored."""
    rows = [_row(one, other) for one, other in zip(trained, exported, strict=True)]
    return ParityReport(form=form, limit=limit_of(form), reader=reader, rows=rows)


def _row(trained: Said, exported: Said) -> ParityRow:
    same_ids = list(trained.ids) == list(exported.ids)
    part = _parting(trained.answer, exported.answer)
    same_answer = part is None or _is_tie(trained, exported, part)
    difference = ""
    if not same_ids:
        difference = _first(trained.ids, exported.ids, trained.pieces, "of the prompt")
    elif not same_answer:
        difference = _first(trained.answer, exported.answer, (), "of the answer")
    return ParityRow(
        prompt=trained.prompt, same_ids=same_ids, same_answer=same_answer, difference=difference,
        distance=_mean_distance(trained, exported, part),
    )  # fmt: skip


def _parting(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The first place where two rows of tokens differ; None where they are equal."""
    if list(one) == list(other):
        return None
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _is_tie(trained: Said, exported: Said, place: int) -> bool:
    """Whether both tokens were as likely as each other, to the last digits that a sum in another order changes."""
    if place >= min(len(trained.answer), len(exported.answer), len(trained.chances)):
        return False
    chances = trained.chances[place]
    one, other = (chances.get(said.answer[place]) for said in (trained, exported))
    return one is not None and other is not None and abs(one - other) <= _TIE


def _first(one: Sequence[int], other: Sequence[int], pieces: Sequence[str], where: str) -> str:
    """Where two rows of tokens part."""
    place = _parting(one, other) or 0
    told = [str(row[place]) if place < len(row) else "nothing" for row in (one, other)]
    piece = f" ('{pieces[place]}')" if place < len(pieces) else ""
    return f"token {place + 1} {where} is {told[0]}{piece} as trained, and {told[1]} as exported"


def _mean_distance(trained: Said, exported: Said, part: int | None) -> float:
    """Up to the first token where the answers part; what comes behind it has another past."""
    both = list(zip(trained.chances, exported.chances, strict=False))[: None if part is None else part + 1]
    apart = [_distance(one, other) for one, other in both if one and other]
    return sum(apart) / len(apart) if apart else 0.0


def _distance(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Half the sum of differences over the tokens that both name; what one leaves out is unlikely, and not known."""
    both = set(one) & set(other)
    if not both:
        return 1.0
    return 0.5 * sum(abs(one[token] - other[token]) for token in both)
