"""What is asked of an installation, and what its worker is given."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.env.records import Dtype, Quantization


class InstallSpec(BaseModel):
    """An installation as asked for. Command-line options and web forms are drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="owner/name on the Hub, or a folder")
    quantization: Quantization = Field(default="none", description="Load its weights in 8 or 4 bit (bitsandbytes)")
    dtype: Dtype = Field(default="auto", description="What it computes in; auto goes by the machine")
    revision: str = Field(default="", description="Branch, tag or commit on the Hub")
    trust_remote_code: bool = Field(default=False, description="Let code from the repository run: read it first")
    no_test: bool = Field(default=False, description="Do without the load test")
    link: bool = Field(default=False, description="Of a folder: hard links in place of copies")


class LoadTestSpec(BaseModel):
    """One load test: which model, of which family, and how it is to be loaded (INS-8)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_folder: Path
    family: str
    dtype: Dtype = "auto"
    """auto: half precision on a GPU, as it has it, and float32 on a CPU, where half precision takes longer."""
    device: Literal["cpu", "cuda"] = "cpu"
    quantization: Quantization = "none"
    """By bitsandbytes while the model is loaded; what its files are quantized with already is none of this."""
    trust_remote_code: bool = False
    """Whether Python files of the model's own may run. Only after the user has said so."""
    events_path: Path
