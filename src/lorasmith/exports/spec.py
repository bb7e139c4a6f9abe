"""What may be asked of an export, what its worker is given, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorasmith.core.samples import ModelChanges
from lorasmith.exports.parity import ParityReport

PROMPTS = 20
"""So many are asked of both models, unless another number is given."""


class ExportSpec(BaseModel):
    """An export as asked for. Command-line options are drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="'demo', a folder, an installed model, or owner/name on the Hub")
    adapter: str = Field(default="", description="The adapter: its name in home, or a folder [the base alone]")
    to: str = Field(default="merged", description="Target: merged, adapter, gguf, ollama or hub")
    quantize: str = Field(
        default="", description="GGUF: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0; others by llama-quantize [q8_0]"
    )
    adapter_only: bool = Field(default=False, description="GGUF: the adapter alone, for a base that is served as GGUF")
    out: str | None = Field(default=None, description="Folder for it [home's exports]")
    name: str = Field(default="", description="What it is called, in Ollama too [the adapter's name]")
    data: str = Field(
        default="", description="File of examples whose prompts are asked of both models [general questions]"
    )
    prompts: int = Field(default=PROMPTS, ge=1, le=1000, description="So many prompts are asked of both models")
    allow_mismatch: bool = Field(default=False, description="Keep it though it answers otherwise than what was trained")
    template: str = Field(
        default="", description="Chat template: chatml, alpaca or a jinja file [the adapter's, or the model's]"
    )
    system: str = Field(default="", description="Ollama: what the model is told before every conversation")
    dequantize: bool = Field(
        default=False,
        description="Merge into weights that are stored quantized; what quantization cost them stays lost",
    )
    repo: str = Field(default="", max_length=200, description="Hub: owner/name to push to [your name, and its own]")
    merged: bool = Field(default=False, description="Hub: the merged model, not the adapter alone")
    public: bool = Field(default=False, description="Hub: for everybody to see; otherwise only you can")
    dry_run: bool = Field(default=False, description="Hub: make the files and show them, and push nothing")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the comparison runs")


class ExportJob(BaseModel):
    """What the export worker is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["merged", "gguf", "gguf_adapter", "adapter"]
    model_folder: Path
    model_id: str
    family: str
    weight_files: list[str]
    beside: list[str]
    """Files that a model needs besides its weights."""
    stored_dtype: str
    adapter: Path | None
    changes: ModelChanges = ModelChanges()
    template: str = ""
    """A built-in name or a file."""
    quantize: str = ""
    dequantize: bool = False
    """Whether the base's weights are stored quantized, and are widened."""
    name: str
    target: Path
    """Folder or file to be written."""
    conversations: list[list[dict[str, Any]]]
    reads_back: bool = False
    """Whether weights are compared where no prompt can be."""
    precision: Literal["float32", "bfloat16", "float16"]
    device: str
    max_new_tokens: int
    events: Path
    answers: Path
    """Where the answers of both models are left."""


class ExportReport(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    model: str
    adapter: str
    place: str
    """The folder or file, or the model's name in Ollama."""
    files: dict[str, int]
    """Bytes by name."""
    bytes_before: int
    """Of what was exported: the adapter, with the base's weights where they are in it."""
    seconds: float
    """Of the writing, without the comparison."""
    parity: ParityReport | None
    """None where nothing was compared: `notes` say why."""
    notes: list[str] = []

    @property
    def num_bytes(self) -> int:
        return sum(self.files.values())
