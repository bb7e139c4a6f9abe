"""What may be asked of adapters, and what their worker is given."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.samples import ModelChanges

Method = Literal[
    "cat", "linear", "svd", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd",
    "magnitude_prune", "magnitude_prune_svd",
]  # fmt: skip
SUMS = ("ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd")
"""Methods that thin the adapters out before they add them: each counts in full unless weights are given."""


class CombineSpec(BaseModel):
    """Several adapters of one base made one. Command-line options are drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapters: tuple[str, ...] = Field(min_length=2, description="The adapters: names in home, or folders")
    name: str = Field(min_length=1, description="What the new adapter is called")
    method: Method = Field(
        default="cat", description="How: cat is the exact sum at the sum of the ranks, svd the nearest of a lower rank"
    )
    weights: str = Field(
        default="", description="A weight for each, with commas [their mean; ties and dare: 1 for each]"
    )
    density: float = Field(
        default=0.5, gt=0, le=1, description="Share of the values that ties, dare and magnitude_prune keep"
    )
    rank: int | None = Field(default=None, ge=1, description="Rank of an svd [the largest of theirs]")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Of what dare drops")


class ResizeSpec(BaseModel):
    """An adapter of a lower rank that changes the base as nearly as that rank can."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: str = Field(description="The adapter: its name in home, or a folder")
    name: str = Field(default="", description="What the smaller one is called [NAME-rN]")
    rank: int | None = Field(default=None, ge=1, description="The rank of every layer")
    energy: float | None = Field(
        default=None, gt=0, le=1, description="Instead: the least share of each layer's energy to keep, such as 0.95"
    )


class Resized(BaseModel):
    """What came of it. Energy is the sum of squared singular values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: Path
    rank_before: int
    rank_after: int
    """The largest of the layers' ranks."""
    energy: float
    """The share of the change's energy that is kept."""
    bytes_before: int
    bytes_after: int


class AdapterJob(BaseModel):
    """What the worker is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    combine: CombineSpec | None = None
    resize: ResizeSpec | None = None
    sources: dict[str, Path]
    """Folders by name; for what is taken in, one folder or file."""
    target: Path
    """The folder for the adapter's files."""
    model_folder: Path | None = None
    """The base, for what is taken in: it is put on it once."""
    model_id: str = ""
    family: str = ""
    changes: ModelChanges = ModelChanges()
    events: Path
