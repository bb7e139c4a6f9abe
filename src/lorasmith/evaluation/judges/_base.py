"""What a judge is: a model that is asked to mark answers, and the kind of provider that it is reached through.

Nothing here knows the network, nor what a judge is asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field

from lorasmith.core.errors import LorasmithError
from lorasmith.core.settings import JudgeEntry


@dataclass(frozen=True, slots=True)
class Question:
    """One answer to be marked. Whose answer it is stands nowhere, so that no judge can learn it."""

    prompt: str
    wanted: str
    """The reference answer."""
    answer: str


class Judgement(BaseModel):
    """A judge's marks for one answer, each 0–100."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    correctness: float = Field(ge=0, le=100, allow_inf_nan=False)
    completeness: float = Field(ge=0, le=100, allow_inf_nan=False)
    style: float = Field(ge=0, le=100, allow_inf_nan=False)
    reason: str

    @computed_field
    @property
    def score(self) -> float:
        """The mean of the three marks. The judge is asked for no total: one that disagrees with its marks would be a fourth."""
        return (self.correctness + self.completeness + self.style) / 3


class Message(TypedDict):
    """One turn of the conversation with a judge. The first may be the system's."""

    role: Literal["system", "user", "assistant"]
    content: str


class Reply(NamedTuple):
    """What a judge wrote, and the tokens that its provider counted; None where it counted none."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class JudgeTrouble(LorasmithError):
    """A judge gave no answer.

    `is_passing`: trying again may help, after `retry_after` seconds where the provider said so. `is_final`: no other question
    would fare better (a wrong key, an unknown model).
    """

    exit_code = 5
    http_status = 503
    kind = "environment"

    def __init__(
        self, what: str, *, is_passing: bool = False, is_final: bool = False, retry_after: float | None = None
    ):
        super().__init__(what)
        self.is_passing, self.is_final, self.retry_after = is_passing, is_final, retry_after


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may cost, and how patient it is. None: no limit. Prices are for a million tokens."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    concurrency: int = 4
    answer_seconds: float = 60.0
    total_seconds: float = 1800.0
    tries: int = 6
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0

    @classmethod
    def of(cls, entry: JudgeEntry, *, answer_seconds: float = 60.0) -> Limits:
        """As registered in the settings; `answer_seconds` where nothing is said there."""
        return cls(
            calls=entry.max_calls, tokens=entry.max_tokens, cost=entry.max_cost, price_in=entry.price_in or 0.0,
            price_out=entry.price_out or 0.0, concurrency=entry.concurrency,
            answer_seconds=entry.answer_seconds or answer_seconds, total_seconds=entry.max_seconds, tries=entry.tries,
        )  # fmt: skip


class NoOptions(BaseModel):
    """The options of a provider that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """A judge as registered, with what its kind filled in. The key is shown nowhere."""

    id: str
    base_url: str
    model: str
    key: SecretStr
    limits: Limits = field(default_factory=Limits)
    options: BaseModel = field(default_factory=NoOptions)


class Judge(ABC):
    """A model that marks answers. Used as an asynchronous context: `async with judge` opens what `ask` needs, and ends it."""

    kind: str

    def __init__(self, spec: JudgeSpec):
        self.spec = spec

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def model(self) -> str:
        return self.spec.model

    @property
    def identity(self) -> tuple[str, ...]:
        """What its answers depend on beside the question: judgements are kept under it."""
        return (self.kind, self.spec.base_url, self.model)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    @abstractmethod
    async def ask(self, messages: Sequence[Message], schema: dict[str, Any]) -> Reply:
        """The answer to one request, which should be JSON of that schema: one request, no tries. Raises JudgeTrouble."""


class JudgeKind(ABC):
    """A provider of judges. A plug-in module in `judges/` holds one as `plugin`.

    `base_url`, `model` and `key_variable` are what is taken where the settings name nothing; empty where they must.
    """

    name: str
    title: str
    base_url: str = ""
    model: str = ""
    key_variable: str = ""
    answer_seconds: float = 60.0
    """Patience with one request, where the settings say nothing."""
    options: ClassVar[type[BaseModel]] = NoOptions

    @abstractmethod
    def make(self, spec: JudgeSpec) -> Judge:
        """A judge that has not been opened yet. No network. Raises LorasmithError where it could never answer."""
