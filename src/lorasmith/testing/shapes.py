"""Repositories with the true shapes of published models and no weights: headers as published, the bytes behind them sparse.

For looking at models that no test machine could hold. A loaded tensor of such a file is all zeros.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from lorasmith.testing.hub import sparse

Tensors = dict[str, tuple[str, list[int]]]

# Configurations as their authors published them.
LLAMA_LIKE: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960,
        "tie_word_embeddings": True,
    },
    "llama-3.1-8b": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": False,
    },
    "llama-3.1-70b": {
        "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": False,
    },
}  # fmt: skip
_CLASSES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def llama_like_tensors(config: dict[str, Any], dtype: str = "BF16") -> Tensors:
    """Names, dtypes and shapes of a Llama's or a Qwen3's weights."""
    hidden, middle = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    tensors: Tensors = {"model.embed_tokens.weight": (dtype, [config["vocab_size"], hidden])}
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        shapes = {
            "self_attn.q_proj": [queries, hidden], "self_attn.k_proj": [keys, hidden], "self_attn.v_proj": [keys, hidden],
            "self_attn.o_proj": [hidden, queries], "mlp.gate_proj": [middle, hidden], "mlp.up_proj": [middle, hidden],
            "mlp.down_proj": [hidden, middle], "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
        }  # fmt: skip
        if config["model_type"] == "qwen3":
            shapes |= {"self_attn.q_norm": [head], "self_attn.k_norm": [head]}
        tensors |= {f"{layer}.{name}.weight": (dtype, shape) for name, shape in shapes.items()}
    tensors["model.norm.weight"] = (dtype, [hidden])
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = (dtype, [config["vocab_size"], hidden])
    return tensors


def write_safetensors(path: Path, tensors: Tensors) -> Path:
    """A safetensors file with these tensors, its data sparse."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = {"F32": 4, "BF16": 2, "F16": 2, "U8": 1}[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return sparse(path, 8 + len(text) + at, struct.pack("<Q", len(text)) + text)


def build(name: str, folder: Path, *, shards: int = 1) -> Path:
    """The repository of a published shape in `folder`, its weights in `shards` files. Raises KeyError for an unknown name."""
    config = LLAMA_LIKE[name] | {"torch_dtype": "bfloat16"}
    config["architectures"] = [_CLASSES[config["model_type"]]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tensors = list(llama_like_tensors(config).items())
    places: dict[str, str] = {}
    for number in range(shards):
        part = dict(tensors[number * len(tensors) // shards : (number + 1) * len(tensors) // shards])
        file = "model.safetensors" if shards == 1 else f"model-{number + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, part)
        places |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
