"""What was observed: of a model folder, of a prepared dataset. Plain values that stages hand to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Objective = Literal["sft", "pretrain"]


class ModelFacts(BaseModel):
    """What a model folder says of its model, read without loading it. Sizes are numbers of elements unless named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    revision: str = ""
    folder: Path
    family: str
    model_type: str
    architecture: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    max_positions: int
    num_parameters: int
    weight_bytes: int
    linear_shapes: list[tuple[int, int]]
    """(out, in) of every linear layer that LoRA would adapt."""
    stored_dtype: str
    has_experts: bool = False
    """Whether it is a mixture of experts."""


class DataFacts(BaseModel):
    """What was observed in a prepared dataset. Lengths are in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    objective: Objective
    num_rows: int
    num_train: int
    num_validation: int
    num_bad_rows: int
    num_tokens: int
    num_supervised_tokens: int
    length_p50: int
    length_p995: int
    length_max: int
    max_answer_tokens: int
    threshold: int
    """Rows whose key lies below it are for validation."""
    sha256: str
    """Of the rows' content, in order."""
