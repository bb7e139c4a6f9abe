"""Where the memory of a training goes: all weights, LoRA, QLoRA, each with and without activation checkpointing, for every profile.

    python benchmarks/lora_memory.py [--models donut-base,llama-3.1-8b] [--device cuda]

Prints one table. LoRA's layers are those of a training on a CPU: each one step (workers/joined.py), its dropout sparse. On a GPU, which
`--device cuda` asks for, and over a quantized base, layers with dropout are PEFT's own. Logits are made a few tokens at a time where the
head is frozen, at the last half of a text's tokens and at all of a page's (families/_head.py). The model's own code runs on tensors without contents (workers/trace.py), at the shapes of published models and
computing in bfloat16, so that any model fits any machine: activations are the most that lives beside weights and gradients. All weights are
trained with master copies, gradients and both moments of AdamW in fp32 (16 bytes a weight, ZeRO, arXiv 1910.02054, section 3.1); adapters
likewise, over a base in bfloat16 or in NF4 with double quantization, whose size is arithmetic (plan/memory.py) and whose largest weight is
unpacked once while it is used.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from typing import Any, NamedTuple

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode

from lorasmith import profiles
from lorasmith.core.errors import UsageProblem
from lorasmith.lora import apply_lora
from lorasmith.plan.memory import BYTES, nf4_bytes
from lorasmith.testing.shapes import LLAMA_LIKE
from lorasmith.workers.dropout import use_sparse_dropout
from lorasmith.workers.joined import join
from lorasmith.workers.quick import use_quick_parts
from lorasmith.workers.sample import loss_for
from lorasmith.workers.savings import apply_memory_optimizations
from lorasmith.workers.trace import as_when_it_runs, with_fake_tensors

SUPERVISED = 0.5
TRAINED_BYTES = {"weights": 4, "gradients": 4, "optimizer": 8}


class Shape(NamedTuple):
    """A published model, and one batch for it."""

    head: str
    config: dict[str, Any]
    rows: int
    tokens: int
    picture: tuple[int, int] | None
    profiles: tuple[str, ...]


def _reader(encoder: dict[str, Any], decoder: dict[str, Any]) -> dict[str, Any]:
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    crossed = {"is_decoder": True, "add_cross_attention": True}
    return {"model_type": "vision-encoder-decoder", "encoder": encoder, "decoder": {**decoder, **crossed, **ids}, **ids}


_LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 32, "vocab_size": 32016, "max_position_embeddings": 16384, "tie_word_embeddings": False,
}  # fmt: skip
_MISTRAL = {
    "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768, "sliding_window": None,
    "tie_word_embeddings": False,
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "donut-base": Shape(
        "VisionEncoderDecoderModel",
        _reader(
            {"model_type": "donut-swin", "image_size": [1280, 960], "depths": [2, 2, 14, 2], "embed_dim": 128,
             "num_heads": [4, 8, 16, 32], "window_size": 10},
            {"model_type": "mbart", "d_model": 1024, "decoder_layers": 4, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096,
             "vocab_size": 57525, "max_position_embeddings": 1536, "is_encoder_decoder": False, "scale_embedding": True},
        ),
        1, 256, (1280, 960), ("donut_lightweight", "donut_standard", "donut_high_precision"),
    ),
    "trocr-base": Shape(
        "VisionEncoderDecoderModel",
        _reader(
            {"model_type": "vit", "image_size": 384, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
            {"model_type": "trocr", "d_model": 1024, "decoder_layers": 12, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096,
             "vocab_size": 50265, "max_position_embeddings": 512, "cross_attention_hidden_size": 768},
        ),
        8, 64, (384, 384), ("trocr_safe", "trocr_extended"),
    ),
    "layoutlmv3-base": Shape(
        "LayoutLMv3ForTokenClassification", {"model_type": "layoutlmv3", "num_labels": 13, "input_size": 224}, 8, 512, (224, 224),
        ("layoutlm_standard",),
    ),
    "smollm2-135m": Shape("LlamaForCausalLM", LLAMA_LIKE["smollm2-135m"], 8, 1024, None, ("llama_standard", "universal")),
    "llama-3.1-8b": Shape("LlamaForCausalLM", LLAMA_LIKE["llama-3.1-8b"], 1, 2048, None, ("llama_standard", "llama_qlora", "universal")),
    "codellama-7b": Shape("LlamaForCausalLM", _LLAMA_7B, 1, 2048, None, ("codellama_coding",)),
    "mistral-7b": Shape("MistralForCausalLM", _MISTRAL, 1, 2048, None, ("mistral_efficient", "mistral_qlora")),
}  # fmt: skip


class Parts(NamedTuple):
    """Bytes by cause."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def peak(self) -> float:
        return sum(self)


def inputs_of(shape: Shape) -> dict[str, torch.Tensor]:
    """One batch, without contents."""
    ids = torch.ones((shape.rows, shape.tokens), dtype=torch.long)
    pixels = torch.zeros((shape.rows, 3, *shape.picture), dtype=torch.bfloat16) if shape.picture else None
    if shape.head == "VisionEncoderDecoderModel":
        return {"pixel_values": pixels, "decoder_input_ids": ids}  # type: ignore[dict-item]
    if pixels is not None:
        return {"input_ids": ids, "bbox": torch.zeros((*ids.shape, 4), dtype=torch.long), "pixel_values": pixels}
    return {"input_ids": ids}


class Way(NamedTuple):
    """How something is trained; without a profile all weights are."""

    name: str
    profile: str | None = None
    quantized: bool = False
    checkpointing: bool = False


def adapted(model: Any, way: Way, device: str) -> Any:
    """`model` with the adapters that a training would put on it (workers/learner.py)."""
    made = apply_lora(model.to(torch.bfloat16).requires_grad_(False), way.profile or "")
    if not way.quantized:  # a layer in 4 bit is not joined
        if device == "cpu":
            use_sparse_dropout(made)
        join(made)
    return made


def activations(shape: Shape, way: Way, device: str) -> tuple[int, int, int]:
    """The most bytes of a pass back and forth beside weights and gradients; trained and frozen numbers of weights."""
    config = transformers.AutoConfig.for_model(**shape.config)
    with torch.device("meta"):
        model: Any = getattr(transformers, shape.head)(config)
        if way.profile:
            model = adapted(model, way, device)
        if way.checkpointing:
            apply_memory_optimizations(model)
    if way.profile and not way.quantized and device == "cpu":
        use_quick_parts(model, ("gates",))
    model.train()
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = sum(weight.numel() for weight in model.parameters() if not weight.requires_grad)
    with FakeTensorMode(), as_when_it_runs():
        live = with_fake_tensors(model)
        held = live.live
        inputs = inputs_of(shape)
        with live, torch.autocast("cpu", torch.bfloat16):
            loss_for(model, inputs, SUPERVISED).backward()
        gradients = sum(
            weight.grad.numel() * weight.grad.element_size() for weight in model.parameters() if weight.grad is not None
        )
    return live.peak - held - gradients, trained, frozen


def parts(shape: Shape, way: Way, device: str) -> Parts:
    kept, trained, frozen = activations(shape, way, device)
    base = float(frozen * BYTES["bfloat16"])
    if way.quantized:
        config = transformers.AutoConfig.for_model(**shape.config)
        with torch.device("meta"):
            plain: Any = getattr(transformers, shape.head)(config)
        linear = [part.weight.numel() for part in plain.modules() if isinstance(part, torch.nn.Linear)]
        head = plain.get_output_embeddings() if hasattr(plain, "get_output_embeddings") else None
        packed = sum(linear) - (head.weight.numel() if head is not None else 0)
        base = nf4_bytes(packed) + BYTES["bfloat16"] * (frozen - packed)
        kept += round(BYTES["bfloat16"] * max(linear))
    each = [trained * size for size in TRAINED_BYTES.values()]
    return Parts(base + each[0], each[1], each[2], kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where LoRA would be trained")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    print("| model | rows × tokens | profile | way | weights | gradients | optimizer | activations | peak GB | saved |")
    print("|---|---|---|---|--:|--:|--:|--:|--:|--:|")
    for name in asked.models.split(","):
        shape = SHAPES[name]
        full = 0.0
        ways = [Way("all weights"), Way("all weights, checkpointing", checkpointing=True)]
        for profile in shape.profiles:
            is_quantized = profiles.get(profile).quantization == "4bit"
            ways += [Way(f"{kind}{', checkpointing' if twice else ''}", profile, kind == "QLoRA", twice)
                     for kind in (("QLoRA",) if is_quantized else ("LoRA", "QLoRA")) for twice in (False, True)]  # fmt: skip
        for way in ways:
            with contextlib.suppress(UsageProblem):  # LayoutLMv3 cannot compute its activations twice
                found = parts(shape, way, asked.device)
                full = full or found.peak
                figures = " | ".join(f"{value / 1e9:.2f}" for value in found)
                saved = "" if way == ways[0] else f"{1 - found.peak / full:.0%}".replace("-", "−")
                batch = f"{shape.rows} × {shape.tokens}"
                print(
                    f"| {name} | {batch} | {way.profile or ''} | {way.name} | {figures} | {found.peak / 1e9:.2f} | {saved} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
