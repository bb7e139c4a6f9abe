"""What may be asked of an evaluation: a file of examples to be measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.samples import ModelChanges


class EvaluateSpec(BaseModel):
    """An evaluation as asked for. Command-line options are drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="'demo', a folder, an installed model, or owner/name on the Hub")
    data: str = Field(description="File of examples with the right answers")
    adapter: tuple[str, ...] = Field(default=(), description="Adapter to compare with the base; may be repeated")
    metrics: str = Field(default="auto", description="What is measured, with commas [what suits the right answers]")
    bertscore_model: str = Field(default="", description="Encoder of BERTScore: a folder, or owner/name [by language]")
    bertscore_layers: int | None = Field(
        default=None, ge=1, description="Its layers that are used [known or 0.72 of all]"
    )
    clip_model: str = Field(default="", description="Judges drawn pictures (CLIP score): a folder, or owner/name")
    steps: int = Field(default=25, ge=1, le=1000, description="Steps of each drawn picture")
    judge: str = Field(default="", description="Model that marks the answers: its id in the settings, or local:MODEL")
    judge_rows: int = Field(default=50, ge=1, description="Rows that it is asked about, drawn by the seed")
    bertscore_weight: float = Field(default=0.4, ge=0, le=1, description="Of BERTScore in the combined score")
    judge_weight: float = Field(default=0.6, gt=0, le=1, description="Of the judge in the combined score")
    no_probe: bool = Field(default=False, description="Ask no general questions, which show what was forgotten")
    sample: int | None = Field(default=None, ge=1, description="Only so many rows, drawn by the seed [all]")
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="Tokens an answer, at most [longest right answer + 32]"
    )
    output: str | None = Field(default=None, description="Folder for the report [beside the last adapter, or logs]")
    template: str = Field(default="", description="Chat template: chatml, alpaca or a jinja file")
    columns: str = Field(default="", description="Your columns: prompt=NAME,completion=NAME")
    skip_bad_rows: bool = Field(default=False, description="Leave unusable rows out instead of stopping")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where to run")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the sample and of the intervals")


class EvaluateJob(BaseModel):
    """What the evaluation worker is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: EvaluateSpec
    model_folder: Path
    model_id: str
    family: str
    precision: Literal["float32", "bfloat16", "float16"]
    device: str
    adapters: dict[str, Path]
    template: str
    lesson: str = ""
    """For models that learn from more than tokens: the format of the data."""
    changes: ModelChanges = ModelChanges()
    """What the adapters need to be changed about the model."""
    data_path: Path
    probe_path: Path | None = None
    """General questions, prepared like the data."""
    max_length: int
    max_new_tokens: int
    events: Path
    answers_path: Path
