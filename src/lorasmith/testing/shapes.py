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
# Models whose tensors are asked of their class: (class of transformers, model type, configuration as published), stored in fp32.
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert-base": ("BertModel", "bert", {"vocab_size": 30522}),
    "vit-base": ("ViTForImageClassification", "vit", {"image_size": 224, "patch_size": 16, "num_labels": 1000}),
    "whisper-base": (
        "WhisperForConditionalGeneration", "whisper",
        {
            "vocab_size": 51865, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
            "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "num_mel_bins": 80,
            "max_source_positions": 1500, "max_target_positions": 448, "dropout": 0.0,
        },
    ),
}  # fmt: skip
NAMES = (*LLAMA_LIKE, *OTHERS)
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
    folder.mkdir(parents=True, exist_ok=True)
    config, tensors = _asked(name) if name in OTHERS else _llama_like(name)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    _write_weights(folder, tensors, shards)
    return folder


def _llama_like(name: str) -> tuple[dict[str, Any], Tensors]:
    config = LLAMA_LIKE[name] | {"torch_dtype": "bfloat16"}
    config["architectures"] = [_CLASSES[config["model_type"]]]
    return config, llama_like_tensors(config)


def _asked(name: str) -> tuple[dict[str, Any], Tensors]:
    """Configuration and tensors of a class of transformers, made without contents. This imports torch."""
    import torch
    import transformers

    kind, model_type, fields = OTHERS[name]
    config: Any = transformers.AutoConfig.for_model(model_type, **fields)
    with torch.device("meta"):
        model: Any = getattr(transformers, kind)(config)
    config.architectures, config.dtype = [kind], "float32"
    tied = model.all_tied_weights_keys
    tensors = {key: ("F32", list(value.shape)) for key, value in model.state_dict().items() if key not in tied}
    return config.to_dict(), tensors


def _write_weights(folder: Path, every: Tensors, shards: int) -> None:
    tensors = list(every.items())
    places: dict[str, str] = {}
    for number in range(shards):
        part = dict(tensors[number * len(tensors) // shards : (number + 1) * len(tensors) // shards])
        file = "model.safetensors" if shards == 1 else f"model-{number + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, part)
        places |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
