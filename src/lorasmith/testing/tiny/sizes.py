"""Small sizes that many architectures share. No architecture is named here."""

from __future__ import annotations

from typing import Any

from lorasmith.testing.tiny.tokenizers import VOCABULARY

LAYERS: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
IDS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 4}
"""Ids of the tokenizer `chat`."""
DECODER: dict[str, Any] = {**LAYERS, **IDS, "num_key_value_heads": 2, "max_position_embeddings": 256}
ENCODER: dict[str, Any] = {**LAYERS, "vocab_size": VOCABULARY, "max_position_embeddings": 130, "pad_token_id": 0}
PATCHES: dict[str, Any] = {**LAYERS, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}
SEQ2SEQ: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 256,
}  # fmt: skip


def labelled(*labels: str) -> dict[str, Any]:
    """What a configuration says of the labels of its head."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
