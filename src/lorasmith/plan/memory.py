"""How much memory a model takes to answer and to be trained, by cause, in bytes. Arithmetic on shapes; it measures nothing.

Where a figure is not arithmetic but measured, the constant says how.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lorasmith.core.facts import ModelFacts

Dtype = Literal["float32", "float16", "bfloat16", "int8", "nf4"]
Method = Literal["lora", "qlora", "full"]
BYTES: dict[str, float] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "nf4": 0.5}
# int8 of bitsandbytes keeps one fp32 scale a row; nf4 with double quantization one byte a block of 64 and one fp32 a
# block of 256 of
# those: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, section 3.
_NF4_SCALES = 1 / 64 + 4 / (64 * 256)
_INT8_ROW_BYTES = 4
# The worker with everything imported and nothing loaded: 0.40 GB resident, measured on Linux with torch 2.13,
# transformers 5.23 and
# peft 0.21, and a tenth more for what they allocate at their first step.
RUNTIME_CPU = 450 * 10**6
# A CUDA context with cuBLAS' workspace: 250 MiB (gguf-parser's figure) to 457 MiB (an Ollama log); the upper end.
RUNTIME_CUDA = 460 * 2**20
# What a dropout keeps beside its output, in elements of it: 64-bit places of 5 % (workers/dropout.py).
_DROPPED = 0.0513 * 2
_ADAPTER_BYTES = 16  # fp32 weight, gradient and two AdamW moments
_FULL_STATE_BYTES = {
    "float32": 16,
    "bfloat16": 16,
    "float16": 16,
}  # weight, gradient, moments; mixed precision keeps a master copy
# Where no shapes can be read: of the files' size, all causes together; for training, of what answering takes.
_FALLBACK = {"nf4": 1.2, "int8": 1.3, "bfloat16": 1.5, "float16": 1.5, "float32": 2.0}
_FALLBACK_TRAIN = {("lora", 2): 1.3, ("lora", 4): 1.5, ("full", 2): 4.0, ("full", 4): 5.0}


class InferenceNeed(NamedTuple):
    """Peak bytes while answering."""

    weights: int
    cache: int
    activations: int
    runtime: int

    @property
    def total(self) -> int:
        return sum(self)


class TrainingNeed(NamedTuple):
    """Peak bytes of a training."""

    weights: int
    adapter: int
    activations: int
    logits: int
    runtime: int

    @property
    def total(self) -> int:
        return sum(self)


def weight_bytes(model: ModelFacts, dtype: str) -> int:
    """The weights in memory as `dtype`. Quantization takes the linear layers; embeddings, norms and heads stay in 16 bit."""
    if dtype not in {"int8", "nf4"} or model.quantization:
        return round(model.num_parameters * BYTES[dtype]) if not model.quantization else model.weight_bytes
    linear = sum(out * into for out, into in model.linear_shapes)
    if not linear:  # no family rule yet: nine parameters in ten
        linear = model.num_parameters * 9 // 10
    rows = sum(out for out, _ in model.linear_shapes)
    packed = linear * (0.5 + _NF4_SCALES) if dtype == "nf4" else linear + rows * _INT8_ROW_BYTES
    return round(packed + 2 * (model.num_parameters - linear))


def cache_bytes(model: ModelFacts, context: int, batch: int = 1, *, value_bytes: float = 2) -> int:
    """Keys, values and states that `batch` conversations of `context` tokens keep."""
    elements = sum(
        group.count * (group.per_token * min(context, group.window or context) + group.state) for group in model.cache
    )
    return round(batch * elements * value_bytes)


def inference_bytes(
    model: ModelFacts, dtype: str, *, context: int, batch: int = 1, on_gpu: bool = False
) -> InferenceNeed:
    """Peak bytes while `batch` prompts of `context` tokens are read and answered."""
    if not model.num_parameters:
        return InferenceNeed(round(model.weight_bytes * _FALLBACK[dtype]), 0, 0, 0)
    width = 4 if dtype == "float32" else 2
    tokens = batch * context
    # One layer at a time: its input, its residual, two MLP halves and their product; logits of the last position in fp32.
    live = tokens * (4 * model.hidden_size + 3 * model.intermediate_size) * width + batch * model.vocab_size * 4
    return InferenceNeed(
        weights=weight_bytes(model, dtype),
        cache=cache_bytes(model, context, batch, value_bytes=width),
        activations=live,
        runtime=RUNTIME_CUDA if on_gpu else RUNTIME_CPU,
    )


class Training(NamedTuple):
    """One way of training: what is computed at a time, and how."""

    method: str
    """lora, qlora or full."""
    rows: int
    length: int
    """Tokens of a row."""
    dtype: str
    """What is computed in."""
    rank: int = 0
    on_gpu: bool = False
    checkpointing: bool = False
    dropout: bool = True
    supervised: float = 1.0
    """Share of the tokens that are learnt: the head runs at those only."""


def training_bytes(model: ModelFacts, how: Training) -> TrainingNeed:
    """Peak bytes of a training."""
    width, tokens = BYTES[how.dtype], how.rows * how.length
    is_full = how.method == "full"
    if not model.num_parameters:
        answering = model.weight_bytes * _FALLBACK["nf4" if how.method == "qlora" else how.dtype]
        factor = _FALLBACK_TRAIN["full" if is_full else "lora", round(width)]
        return TrainingNeed(round(answering * factor), 0, 0, 0, 0)
    layer = _saved_per_token(model, how)
    saved = layer * model.num_layers
    if how.checkpointing:  # of every layer its input; of one at a time the rest
        saved = width * model.hidden_size * model.num_layers + layer
    # While the last layer is walked back: gradients of both MLP halves, of their product, and of the residual stream.
    transient = width * (3 * model.intermediate_size + 2 * model.hidden_size)
    if is_full:
        weights, trained = model.num_parameters * _FULL_STATE_BYTES[how.dtype], 0
    else:
        weights = weight_bytes(model, "nf4" if how.method == "qlora" else how.dtype)
        trained = how.rank * sum(out + into for out, into in model.linear_shapes) * _ADAPTER_BYTES
    return TrainingNeed(
        weights=round(weights),
        adapter=trained,
        activations=round(tokens * (saved + transient)),
        # Their logarithms, the gradient of these and that of the logits, in fp32.
        logits=round(3 * tokens * how.supervised * model.vocab_size * 4),
        runtime=RUNTIME_CUDA if how.on_gpu else RUNTIME_CPU,
    )


def _saved_per_token(model: ModelFacts, how: Training) -> float:
    """Bytes that one decoder layer keeps of one token for the backward pass, as transformers' modules and PEFT keep them.

    Walked through by hand: both norms keep their input; each adapter keeps its (dropped) input and its product with A;
    attention keeps queries, keys and values for all heads and its output; a gated MLP keeps the gate, its activation and the
    other half. Frozen linear layers keep nothing.
    """
    width, rank = BYTES[how.dtype], 0 if how.method == "full" else how.rank
    layers = max(1, model.num_layers)
    hidden, middle = model.hidden_size, model.intermediate_size
    heads = model.num_heads * model.head_dim
    kept = 2 * hidden + 4 * heads
    up = sum(out for out, into in model.linear_shapes if into == hidden and out >= middle) / layers
    kept += 1.5 * up if up > 1.5 * middle else 1.0 * middle
    if rank and how.dropout:
        kept += sum((1 + _DROPPED) * into + rank for _, into in model.linear_shapes) / layers
    elif rank:
        kept += 2 * hidden + heads + middle + rank * len(model.linear_shapes) / layers
    upcast = 2 * 4 * hidden if width < 4 else 0  # norms compute in fp32
    return width * kept + upcast
