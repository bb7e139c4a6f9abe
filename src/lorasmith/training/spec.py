"""What a user may ask of a training. Command-line options, the configuration file and web forms are drawn from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.core.samples import ModelChanges
from lorasmith.plan.choose import TrainPlan
from lorasmith.profiles import VARIANTS

SPEC_FILE = "spec.json"
BASE_FILE = "base.json"  # what the untouched base made of the held-out rows
REFERENCE_FILE = "reference.npz"  # how likely it finds the answers that were judged, for preferences
DATA_FILE = "data.arrow"
LOCK_FILE = ".lock"  # held in a run's folder by the worker that trains there
HISTORY_FILE = "training_history.json"  # beside the runs: a line for each


_SIZE = re.compile(r"\d{2,5}x\d{2,5}")


class TrainSpec(BaseModel):
    """A training as asked for. Whatever is None is chosen by `plan.choose`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="'demo', a folder, an installed model, or owner/name on the Hub")
    data: str = Field(description="File of examples: JSONL, JSON, CSV, TSV, Parquet or text, also .gz and .zst")
    output: str | None = Field(
        default=None, description="Folder for adapter, logs and report [adapters/<model>-<data>]"
    )
    objective: Literal["auto", "sft", "pretrain", "dpo", "kto", "orpo"] = Field(
        default="auto",
        description="Learn answers (sft), whole texts (pretrain) or preferences (dpo, kto, orpo); auto goes by the data",
    )
    method: Literal["lora", "qlora", "full"] | None = Field(
        default=None,
        description="Adapters (lora), adapters over a base in 4 bit (qlora), all weights (full) [lora; qlora if only that fits]",
    )
    variant: str | None = Field(
        default=None,
        description="Kind of adapter: lora, dora, rslora, pissa … [lora]; all of them: lorasmith profiles variants",
    )
    profile: str | None = Field(
        default=None, description="A profile's values in place of the rules (lorasmith profiles list)"
    )
    rules: Literal["auto", "classic"] = Field(default="auto", description="Which rules choose what is not given")
    epochs: float | None = Field(default=None, gt=0, le=1000, description="Passes over the data, at most")
    max_steps: int | None = Field(default=None, ge=1, description="Optimizer steps, at most")
    batch_size: int | None = Field(default=None, ge=1, le=4096, description="Rows computed at a time")
    gradient_accumulation: int | None = Field(default=None, ge=1, le=4096, description="Such batches to a step")
    learning_rate: float | None = Field(default=None, gt=0, description="Peak learning rate")
    beta: float | None = Field(
        default=None, gt=0, le=100, description="For preferences: how closely to stay with the untouched model [0.1]"
    )
    lora_r: int | None = Field(default=None, ge=1, le=1024, description="Rank of the adapter")
    lora_alpha: float | None = Field(default=None, gt=0, description="Scaling of the adapter")
    lora_dropout: float | None = Field(default=None, ge=0, lt=1, description="Dropout before the adapter")
    target_modules: str | None = Field(
        default=None, description="Layers to adapt: all-linear, attention, or names with commas"
    )
    max_length: int | None = Field(default=None, ge=8, description="Tokens a row, at most")
    warmup_steps: int | None = Field(default=None, ge=0, description="Steps over which the rate rises")
    schedule: Literal["cosine", "linear", "constant"] | None = Field(default=None, description="How the rate falls")
    precision: Literal["float32", "bfloat16", "float16"] | None = Field(default=None, description="Number format")
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "lion_8bit", "adafactor"] | None = Field(
        default=None, description="Optimizer [adamw]"
    )
    checkpointing: bool = Field(
        default=False, description="Compute activations twice to save memory [only if it must be]"
    )
    no_packing: bool = Field(default=False, description="Pad rows to one length instead of joining them")
    memory: str | None = Field(default=None, description="Memory that may be used, such as 6GB [what is free]")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where to train")
    patience: int = Field(default=3, ge=1, description="Evaluations without gain before it stops")
    overfitting_threshold: float = Field(default=0.1, gt=0, description="Gap between losses that counts as overfitting")
    min_evaluations: int = Field(default=5, ge=1, description="Evaluations before it may stop early")
    time_limit: float | None = Field(default=None, gt=0, description="Minutes after which it stops and keeps the best")
    circular: bool = Field(
        default=False, description="For few rows: go round in reshuffled passes until three of them gain nothing"
    )
    eval_fraction: float = Field(default=0.1, ge=0, lt=0.9, description="Share of the rows held out")
    loss_on: Literal["answers", "all"] = Field(default="answers", description="Which tokens are learnt")
    instance_prompt: str = Field(
        default="", max_length=1000, description="For pictures without texts (DreamBooth): the caption of all of them"
    )
    prior_data: str = Field(
        default="", description="DreamBooth: pictures of other things of the class, so that it can still be drawn"
    )
    prior_prompt: str = Field(default="", max_length=1000, description="DreamBooth: the caption of these pictures")
    train_text_encoder: bool = Field(default=False, description="Models that draw: adapt the text encoder, too (CLIP)")
    image_size: str = Field(
        default="", description="Pages or pictures are brought to HEIGHTxWIDTH, such as 1280x960 [the model's own]"
    )
    augment: bool = Field(
        default=False, description="Donut, TrOCR: vary pages at random; each field counts alike (EnhancedDonut)"
    )
    template: str = Field(default="", description="Chat template: chatml, alpaca or a jinja file")
    columns: str = Field(default="", description="Your columns: prompt=NAME,completion=NAME")
    skip_bad_rows: bool = Field(default=False, description="Leave unusable rows out instead of stopping")
    allow_truncation: bool = Field(default=False, description="Go on though many answers are cut off")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of everything random")
    tracker: tuple[str, ...] = Field(
        default=(),
        description="Who is told of the run besides TensorBoard: mlflow, wandb …, or none [settings]; may be repeated",
    )
    no_tensorboard: bool = Field(default=False, description="Write no TensorBoard files, and show none")
    tensorboard_port: int | None = Field(
        default=None, ge=1, le=65535, description="Show the curves in TensorBoard at this port while it trains"
    )

    @field_validator("image_size")
    @classmethod
    def _is_size(cls, value: str) -> str:
        if value and not _SIZE.fullmatch(value):
            raise ValueError("a size is HEIGHTxWIDTH in pixels, such as 1280x960")
        return value

    @property
    def image_sides(self) -> tuple[int, int]:
        """Height and width of `image_size`, where it is given."""
        height, width = self.image_size.split("x")
        return int(height), int(width)

    @field_validator("variant")
    @classmethod
    def _is_variant(cls, value: str | None) -> str | None:
        if value is not None and value not in VARIANTS:
            raise ValueError(nearest(value, VARIANTS))
        return value


class DecisionMade(BaseModel):
    """Something decided along the way, with its reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    name: str
    reason: str


class TrialCourse(BaseModel):
    """How far a trial of a search goes, this time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pause_at: int
    """The step after which it waits, with a checkpoint, until it is known whether it is worth going on."""
    stop_above: dict[int, float] = {}
    """By step, what its lowest validation loss must not be above."""
    stops_itself: bool = True
    """Whether its own curve may end it, as it ends a training."""


class WorkerSpec(BaseModel):
    """What the training worker is given: only plain values, so that it can be started anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: TrainSpec
    plan: TrainPlan
    model_id: str
    model_revision: str
    model_fingerprint: str = ""
    """Of the base's weights (hub/bases.py)."""
    model_quantization: str = ""
    """How the base's weights are stored, where they are not whole."""
    model_folder: Path
    family: str
    template: str
    """The chat template in force, as source; it is saved with the adapter."""
    data_facts: dict[str, Any]
    lesson: str = ""
    """For models that learn from more than tokens: the format of the data, which says what they are taught."""
    changes: ModelChanges = ModelChanges()
    """What is changed about the model before it learns."""
    run_folder: Path
    resume_from: Path | None = None
    can_quantize: bool = False
    """Whether the model's environment can hold a base in 4 bit."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Those that write into the run's folder."""
    integrations: tuple[str, ...] = ()
    """Those that transformers tells."""
    made: list[DecisionMade] = []
    """What was decided on the way here: smaller plans, lower rates."""
    watch_parent: bool = True
    """Stop with a checkpoint when the process that started it is gone."""
    trial: TrialCourse | None = None
    """For a training that is one of a search's trials."""


def result_folder(method: str) -> str:
    """The folder of a run, beside its report, in which what was trained lies."""
    return "model" if method == "full" else "lora"


def checkpoint_step(checkpoint: Path) -> int:
    """The number of steps after which it was made."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def spec_of(folder: Path) -> WorkerSpec:
    """What the run in `folder` was given, as it stands now: a run that stepped down has written its smaller plan there."""
    return WorkerSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))


def read_config_file(path: Path) -> dict[str, Any]:
    """The keys of a YAML file for `--config`. Raises UsageProblem for unknown keys, with the nearest known one."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageProblem(f"The configuration file '{path}' cannot be read", why=f"{error}.") from error
    if not isinstance(values, dict):
        raise UsageProblem(f"The configuration file '{path}' must hold 'key: value' lines")
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    for key in values:
        if key not in TrainSpec.model_fields:
            raise UsageProblem(f"Unknown key '{key}' in '{path}'", fix=nearest(key, TrainSpec.model_fields))
    return values
