"""How much memory a LoRA training takes, by cause. A simple estimate from shapes; it measures nothing."""

from __future__ import annotations

from typing import NamedTuple

from lorasmith.core.facts import ModelFacts

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# The training worker with everything imported and nothing loaded: 0.40 GB resident, measured on Linux with torch 2.13,
# transformers 5.23 and peft 0.21, and a tenth more for what they allocate at their first step.
_RUNTIME_BYTES = 450 * 10**6
# Bytes of activations kept for the backward pass, per token, layer and hidden unit, in 16 bit without recomputation:
# Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198, equation 2 less its dropout masks; fused attention drops
# the quadratic term.
_ACTIVATION_BYTES_16 = 32
_ADAPTER_BYTES = 16  # fp32 weight, gradient and two AdamW moments


class MemoryNeed(NamedTuple):
    """Peak memory of a training in bytes, by cause."""

    weights: int
    adapter: int
    activations: int
    logits: int
    runtime: int

    @property
    def total(self) -> int:
        return sum(self)


def lora_training_bytes(
    model: ModelFacts, *, rank: int, micro_batch: int, max_length: int, dtype: str, on_gpu: bool
) -> MemoryNeed:
    """Peak bytes of a LoRA training of `micro_batch` rows of `max_length` tokens at rank `rank`."""
    tokens = micro_batch * max_length
    adapter = rank * sum(out + into for out, into in model.linear_shapes)
    widening = max(1.0, (model.intermediate_size / max(1, model.hidden_size)) / 4)
    activations = _ACTIVATION_BYTES_16 * BYTES[dtype] / 2 * tokens * model.hidden_size * model.num_layers * widening
    # Each adapter keeps its own input (dropout makes a copy) and the product with A, in fp32, for its gradients.
    activations += 4 * tokens * sum(into + rank for _, into in model.linear_shapes)
    return MemoryNeed(
        weights=model.num_parameters * BYTES[dtype],
        adapter=adapter * _ADAPTER_BYTES,
        activations=round(activations),
        logits=3 * tokens * model.vocab_size * 4,  # logits, their gradient and the loss's own copy, in fp32
        runtime=0 if on_gpu else _RUNTIME_BYTES,
    )
