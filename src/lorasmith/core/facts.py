"""What was observed: of a model folder, of a prepared dataset. Plain values that stages hand to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Objective = Literal["sft", "pretrain", "dpo", "kto", "orpo"]
PREFERENCES = ("dpo", "kto", "orpo")
"""Objectives that learn from liked and disliked answers."""

LOSS_TOKENS = 128
"""How many tokens' logits are computed at a time where something is learnt from them, in fp32; in smaller formats as many as take
as much room (families/_head.py)."""
_WRITERS = ("language", "state_space", "multimodal")


class CacheGroup(BaseModel):
    """`count` layers that keep the same: `per_token` elements for each of the last `window` tokens (0: all), and `state` ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    per_token: int
    window: int = 0
    state: int = 0


class Stack(BaseModel):
    """Transformer blocks of one shape: what one keeps for the backward pass follows from these (plan/activations.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int
    hidden: int
    middle: int
    queries: int
    """Width of all heads' queries together."""
    keys: int
    """Width of all heads' keys together; values are as wide."""
    heads: int
    tokens: int = 0
    """For each example: patches of an image, frames of sound; 0 where it is the length of the text."""
    pixels: tuple[int, int] | None = None
    """Height and width of the image that `tokens` are cut from."""
    window: int = 0
    """Tokens that attention stays among, where it does (Swin's); 0 for all."""
    beside: int = 0
    """Patches of a page that are read beside the text, as if they were words."""
    attention_copies: float = 0
    """Where attention runs step by step, for want of a fused one: how often it keeps its weights."""
    across: int | None = None
    """Tokens that a second attention looks across to, 0 for the length of the text; None without one."""
    gated: bool = False
    activation: str = "gelu"
    head_norms: bool = False
    """Whether queries and keys are normed, each head by itself."""
    hidden_dropout: bool = False
    attention_dropout: bool = False


class ModelFacts(BaseModel):
    """What a repository says of its model, read without loading it. Sizes are numbers of elements unless named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    revision: str = ""
    folder: Path | None = None
    """Where the model lies on this machine; None on the Hub."""
    family: str
    architecture_type: str = "decoder-only"
    task: str = ""
    primary_library: str = "transformers"
    recognised_by: str = ""
    model_type: str
    architecture: str
    """The first class that the configuration names."""
    hidden_size: int
    vocab_size: int
    max_positions: int
    num_parameters: int
    num_active_parameters: int = 0
    """Those that one token meets; fewer than all in a mixture of experts."""
    lookup_parameters: int = 0
    """Those of the input's embeddings where no head shares them: a token meets one row."""
    parameters_by_dtype: dict[str, int] = {}
    weight_bytes: int
    weight_form: str = "safetensors"
    weight_files: list[str] = []
    linear_shapes: list[tuple[int, int]]
    """(out, in) of every linear layer that LoRA would adapt."""
    linear_names: list[str] = []
    """Their names in the weight files, in the same order; a class may have renamed them since."""
    targets: list[str] = []
    """Names of the layers that LoRA goes on where nobody says which; empty: all linear ones."""
    text_linear: dict[str, tuple[int, int]] = {}
    """(out, in) by name of those layers of text encoders that LoRA goes on where it is asked to."""
    part_types: list[str] = []
    """model_type of the parts of a composed model: its encoder's, its decoder's."""
    stored_dtype: str
    stacks: list[Stack] = []
    """Its transformer blocks; empty where they are of a kind that is not known yet."""
    widest_maps: int = 0
    """Elements of the pictures that a diffusion pipeline holds at once for each that it draws."""
    kept_maps: int = 0
    """Elements of the pictures that its denoiser keeps for the backward pass of each."""
    cache: list[CacheGroup] = []
    """What each layer keeps while the model writes."""
    has_experts: bool = False
    """Whether it is a mixture of experts."""
    quantization: str = ""
    """How the stored weights are quantized: gptq, awq, bitsandbytes …"""

    @property
    def seldom_needed(self) -> tuple[str, ...]:
        """Of the packages that workers are kept from (`runners.local.SELDOM_NEEDED`) those that this model needs: its
        quantization's, and SciPy, which some of what hears, sees or compares is built on, and nothing that writes."""
        return (self.quantization, "" if self.family in _WRITERS else "scipy")

    @property
    def local_folder(self) -> Path:
        """The folder of a model that lies on this machine. Raises ValueError for one on the Hub."""
        if self.folder is None:
            raise ValueError(f"{self.id} has not been fetched")
        return self.folder


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
    largest_id: int = 0
    """The largest token id in it."""
    threshold: int
    """Rows whose key lies below it are for validation."""
    sha256: str
    """Of the rows' content, in order."""
