"""What a check says: the same object for the text, `--json`, the studio and Python."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.hub.capabilities import Capabilities
from lorasmith.hub.requirements import Requirements
from lorasmith.hub.safety import Finding
from lorasmith.plan.hardware import HardwareFacts

SCHEMA_VERSION = 1


class Disk(BaseModel):
    """What an installation takes, in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: int
    environment: int
    total: int
    free: int


class Verdict(BaseModel):
    """Where one way of running or training fits. `memory` is what must be free on that device, in bytes; `parts` has the
    causes of the peak, and `loading` among them the system can take back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["inference", "training"]
    method: str = ""
    dtype: str
    memory: int
    parts: dict[str, int]
    fits_gpu: bool
    fits_cpu: bool
    device: Literal["cuda", "cpu", "split", "none"]
    notes: str = ""
    batch: int | None = None
    """Training: the largest batch of rows of `length` tokens that fits."""
    length: int | None = None
    longest: int | None = None
    """Training: the longest row that fits, one at a time. Answering: the longest context."""

    @property
    def can_run(self) -> bool:
        return self.device != "none"


class Question(BaseModel):
    """What was asked: which revision, how much at a time. Lengths are in tokens; 0 is what fits the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: str = Field(default="", description="Branch, tag or commit on the Hub [main]")
    context: int = Field(default=0, ge=0, description="Tokens of a conversation [4096, or what the model reads]")
    batch: int = Field(default=1, ge=1, description="Conversations side by side")
    length: int = Field(default=0, ge=0, description="Tokens of a training row [1024, or what the model reads]")
    rank: int = Field(default=16, ge=1, le=1024, description="LoRA rank")
    profile: str = Field(default="", description="A profile, whose rank counts (lorasmith profiles list)")
    hardware: str = Field(default="", description="Another machine: rtx3060-6gb, or ram=16,vram=8 (GB)")


class CheckReport(BaseModel):
    """All that a check says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    checked_at: datetime
    question: Question
    model_id: str
    revision: str
    model_type: str
    model_family: str
    architecture_type: str
    architectures: list[str]
    task: str
    primary_library: str
    recognised_by: str
    adapter_of: str = ""
    parameters: dict[str, Any]
    weight_bytes: int
    weight_form: str
    files: dict[str, int]
    """Those that an installation would fetch, with sizes in bytes."""
    capabilities: Capabilities
    requirements: Requirements
    safety: list[Finding]
    disk: Disk
    memory: dict[str, Any]
    hardware: HardwareFacts
    verdicts: list[Verdict]
    estimated: bool
    """Whether shapes could not be read, so that figures follow from file sizes alone."""
    warnings: list[str]
    next_step: str
