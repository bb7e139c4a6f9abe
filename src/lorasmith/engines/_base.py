"""What an engine is to the server: a model that has been loaded and answers many requests at once. No engine is named here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges


class EngineSpec(BaseModel):
    """A model to be loaded for answering. Paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelFacts
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    quantization: Literal["none", "8bit", "4bit"] = "none"
    trust_remote_code: bool = False
    adapters: dict[str, Path] = {}
    changes: ModelChanges = ModelChanges()
    """What the adapters need to be changed about the model."""
    max_context: int = 0
    """Tokens of prompt and answer together, at most; 0: as many as the model reads."""
    max_rows: int = 32
    """Answers that are written at the same time, at most."""
    log_path: Path
    stop_ids: list[int] = []
    """Tokens after which any answer is over."""
    cache_dtype: Literal["float16", "float32"] = "float16"
    """What llama.cpp keeps of earlier tokens in."""


class GenerateRequest(BaseModel):
    """One text to be continued, in tokens. What is None is as the model's own generation_config.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_ids: list[int]
    adapter: str = ""
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float = 0
    presence_penalty: float = 0
    seed: int | None = None
    logprobs: int | None = None
    logit_bias: dict[int, float] = {}
    json_schema: dict[str, Any] | None = None
    """The answer is JSON of this schema."""
    thinking_budget: dict[str, Any] | None = None
    """For models that think: `start_ids` and `end_ids` around thoughts, `is_open` where the prompt ends inside one, and `max`,
    the tokens of a thought after which `end_ids` are written."""
    ignore_stop: bool = False
    """Go on behind the tokens that end answers: for measurements."""


class EngineFacts(BaseModel):
    """What a loaded engine says of itself."""

    model_config = ConfigDict(extra="forbid")

    context_tokens: int = 0
    load_seconds: float = 0
    memory_bytes: int = 0
    batches: bool = False
    """Whether requests share the model step by step."""
    can: dict[str, bool] = {}
    """Of what this family's calls may ask: what only the loaded model tells."""
    notes: list[str] = []
    generation: dict[str, Any] = {}
    """The model's own sampling parameters."""
    details: dict[str, Any] = {}


class Event(NamedTuple):
    """What an engine tells of one request. `kind` is tokens, progress or done; the last is done."""

    kind: Literal["tokens", "progress", "done"]
    header: dict[str, Any]
    blobs: Sequence[bytes] = ()


OnProgress = Callable[[dict[str, Any]], None]
"""Hears of loading: stage, done, total, unit."""


class Engine(ABC):
    """A loaded model. All methods belong to one event loop; what goes wrong is raised as a LorasmithError."""

    facts: EngineFacts
    pid: int = 0
    """Of the process that holds the model, where it is one of ours."""

    @abstractmethod
    def generate(self, request: GenerateRequest) -> AsyncIterator[Event]:
        """Tokens as they are made: `{"ids": […], "logprobs": […]}`, then done with `{"finish_reason": …}`. Closing it cancels."""

    def call(self, call: dict[str, Any], media: Sequence[bytes]) -> AsyncIterator[Event]:
        """A family's own call: progress, then done with `{"value": …}` and blobs. Closing it cancels."""
        raise NotImplementedError

    async def project(self, vectors: list[list[float]], method: str) -> list[list[float]]:
        """A point of a plane for each vector, by pca, tsne or umap."""
        raise NotImplementedError

    @abstractmethod
    async def load_adapter(self, name: str, folder: Path) -> dict[str, Any]:
        """Make an adapter answer to `name`; what is known of it. Requests that run are not disturbed."""

    @abstractmethod
    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter, when the requests that use it have come to their end."""

    @abstractmethod
    async def stop(self) -> None:
        """End it, whatever it is at."""

    @abstractmethod
    async def died(self) -> Exception:
        """Returns when the engine has come to an end by itself, with the reason."""


class EngineKind(ABC):
    """How engines of one kind are had. A plug-in module in `engines/` holds one as `plugin`."""

    name: str
    title: str

    @abstractmethod
    def lacks(self, model: ModelFacts) -> str:
        """Why it cannot answer for this model on this machine, with the cure; empty where it can."""

    @abstractmethod
    async def start(self, spec: EngineSpec, on_progress: OnProgress) -> Engine:
        """Load the model. Raises LorasmithError."""
