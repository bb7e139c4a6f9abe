"""What may be asked of a search, and what its worker is given."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.training.spec import TrainSpec, WorkerSpec

LEAST_TRIALS, MOST_TRIALS = 5, 100
COMBINED = "combined"


class TuneSpec(BaseModel):
    """A search as asked for. Command-line options and web forms are drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="'demo', a folder, an installed model, or owner/name on the Hub")
    data: str = Field(description="File of examples to learn from; a part is held out to be measured on")
    trials: int = Field(default=20, ge=LEAST_TRIALS, le=MOST_TRIALS, description="How many choices are tried")
    space: tuple[str, ...] = Field(
        default=(),
        description="What varies: NAME=RANGE, such as rank=8,16 or learning_rate=1e-4..1e-3; may be repeated",
    )
    finalists: int = Field(default=2, ge=1, le=20, description="Trials that are trained to their end and measured")
    timeout: float | None = Field(default=None, gt=0, description="Minutes after which nothing new is begun")
    metric: str = Field(default="auto", description="What decides [combined score; what suits the answers without it]")
    judge: str = Field(default="", description="Model that marks the answers: its id in the settings, or local:MODEL")
    no_judge: bool = Field(default=False, description="Ask no judge, though the settings name one")
    judge_rows: int = Field(default=50, ge=1, description="Rows that it is asked about, drawn by the seed")
    bertscore_model: str = Field(default="", description="Encoder of BERTScore: a folder, or owner/name [by language]")
    bertscore_layers: int | None = Field(
        default=None, ge=1, description="Its layers that are used [known or 0.72 of all]"
    )
    bertscore_weight: float = Field(default=0.4, ge=0, le=1, description="Of BERTScore in the combined score")
    judge_weight: float = Field(default=0.6, gt=0, le=1, description="Of the judge in the combined score")
    rows: int = Field(default=100, ge=2, description="Held-out rows that finalists answer, at most")
    storage: str = Field(default="", description="Database of the study, as SQLAlchemy writes its URL [SQLite in home]")
    name: str = Field(default="", description="Name of the study, for several that share it [<model>-<data>]")
    jobs: int = Field(
        default=1, ge=1, le=64, description="Trials at the same time, each in a process with a base of its own"
    )
    together: int = Field(default=1, ge=1, le=64, description="Trials at the same time over one base in one process")
    output: str | None = Field(default=None, description="Folder for trials, report and result [adapters/<name>-tuned]")
    method: Literal["lora", "qlora"] | None = Field(default=None, description="As in a training")
    max_length: int | None = Field(default=None, ge=8, description="Tokens a row, at most")
    precision: Literal["float32", "bfloat16", "float16"] | None = Field(default=None, description="Number format")
    memory: str | None = Field(default=None, description="Memory that may be used, such as 6GB [what is free]")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where to train")
    eval_fraction: float = Field(default=0.1, gt=0, lt=0.9, description="Share of the rows held out")
    template: str = Field(default="", description="Chat template: chatml, alpaca or a jinja file")
    columns: str = Field(default="", description="Your columns: prompt=NAME,completion=NAME")
    skip_bad_rows: bool = Field(default=False, description="Leave unusable rows out instead of stopping")
    tracker: tuple[str, ...] = Field(
        default=(),
        description="Who is told of the search besides TensorBoard: mlflow, wandb …, or none [settings]; may be repeated",
    )
    no_tensorboard: bool = Field(default=False, description="Write no TensorBoard files")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of everything random")

    def training(self) -> TrainSpec:
        """The training that would be made without a search."""
        common = {name: getattr(self, name) for name in TrainSpec.model_fields if name in TuneSpec.model_fields}
        return TrainSpec(**common)


class TuneJob(BaseModel):
    """What the search's worker is given: the automatic choice, whose base, rows and measures all trials share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: WorkerSpec
    seats: int = 1
    """How many trials it trains at the same time."""


class Trained(BaseModel):
    """What the worker tells of a trial when it pauses or ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_reason: str
    step: int
    losses: dict[int, float]
    """Validation loss in nats a token, by step."""
    seconds: float
    """Since the trial was begun, without its pauses."""
    resident_bytes: int
    """Of the worker, after the trial has been taken off the base."""


class Trouble(BaseModel):
    """Why a trial came to nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["diverged", "out_of_memory", "failed"]
    reason: str
    error: dict[str, Any] | None = None
