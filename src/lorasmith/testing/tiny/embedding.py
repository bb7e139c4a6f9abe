"""Encoders that give vectors, and the same encoders with a head for labels. Data only."""

from __future__ import annotations

from typing import Any

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import ENCODER, LAYERS, PATCHES, SQUARE, labelled
from lorasmith.testing.tiny.tokenizers import VOCABULARY

_BERT = Part("bert")
_ROBERTA = Part("roberta", {"kind": "RobertaTokenizer"})
_ROBERTA_IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_CLIP_IDS = {"vocab_size": 514, "pad_token_id": 513, "bos_token_id": 512, "eos_token_id": 513}
CLIP_TEXT: Fields = {**LAYERS, **_CLIP_IDS, "max_position_embeddings": 77, "projection_dim": 32}
# As sentence-transformers 6 saves them.
_SENTENCES: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
    ],
    "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True},
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    },
    "config_sentence_transformers.json": {
        "__version__": {"sentence_transformers": "6.2.0"}, "model_type": "SentenceTransformer", "prompts": {"query": "", "document": ""}, "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    },
}  # fmt: skip
MODELS: dict[str, Recipe] = {
    "bert": Recipe("bert", "BertModel", ENCODER, _BERT),
    "roberta": Recipe("roberta", "RobertaModel", {**ENCODER, **_ROBERTA_IDS}, _ROBERTA),
    "sentence_transformers": Recipe("bert", "BertModel", ENCODER, _BERT, documents=_SENTENCES),
    "clip": Recipe(
        "clip",
        "CLIPModel",
        {"text_config": CLIP_TEXT, "vision_config": {**PATCHES, "projection_dim": 32}, "projection_dim": 32},
        Part("clip"),
        image_processor=Part("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": SQUARE}),
        processor=Part("CLIPProcessor"),
    ),
    "siglip": Recipe(
        "siglip",
        "SiglipModel",
        {
            "text_config": {**LAYERS, "vocab_size": VOCABULARY, "max_position_embeddings": 64, "pad_token_id": 0},
            "vision_config": PATCHES,
        },
        Part("chat", {"template": ""}),
        image_processor=Part("SiglipImageProcessor", {"size": SQUARE}),
        processor=Part("SiglipProcessor"),
    ),
}
CLASSIFIERS: dict[str, Recipe] = {
    "bert_sequence": Recipe(
        "bert", "BertForSequenceClassification", {**ENCODER, **labelled("negative", "neutral", "positive")}, _BERT
    ),
    "bert_tokens": Recipe(
        "bert", "BertForTokenClassification", {**ENCODER, **labelled("O", "B-PER", "I-PER", "B-LOC", "I-LOC")}, _BERT
    ),
}
