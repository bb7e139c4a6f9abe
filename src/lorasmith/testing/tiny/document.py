"""Document AI: page to text, line to text, labelled words with boxes. Data only."""

from __future__ import annotations

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import ENCODER, PATCHES, SEQ2SEQ, SQUARE, labelled
from lorasmith.testing.tiny.tokenizers import VOCABULARY

_CHAT = Part("chat", {"template": ""})
_BOXES: Fields = {
    **ENCODER,
    **labelled("O", "B-total", "I-total", "B-date", "I-date"),
    "max_2d_position_embeddings": 1024,
}
_WORDS_IN_BOXES = Part("roberta", {"kind": "LayoutLMv3Tokenizer"})


def _reader(encoder: Fields, decoder: Fields) -> Fields:
    """An image encoder with a text decoder."""
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 4, "decoder_start_token_id": 1}
    crossed = {"is_decoder": True, "add_cross_attention": True, "vocab_size": VOCABULARY}
    return {"encoder": encoder, "decoder": {**decoder, **ids, **crossed}, **ids, "tie_word_embeddings": False}


def _line_reader(encoder: str, image_processor: Part) -> Recipe:
    decoder = {
        "model_type": "trocr", "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64,
        "max_position_embeddings": 256, "cross_attention_hidden_size": 32,
    }  # fmt: skip
    return Recipe(
        "vision-encoder-decoder",
        "VisionEncoderDecoderModel",
        _reader({"model_type": encoder, **PATCHES}, decoder),
        _CHAT,
        image_processor=image_processor,
        processor=Part("TrOCRProcessor"),
    )


MODELS: dict[str, Recipe] = {
    "donut": Recipe(
        "vision-encoder-decoder",
        "VisionEncoderDecoderModel",
        _reader(
            {
                "model_type": "donut-swin", "image_size": [64, 48], "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4],
                "window_size": 4,
            },
            {"model_type": "mbart", **SEQ2SEQ, "is_encoder_decoder": False, "scale_embedding": True},
        ),
        _CHAT,
        image_processor=Part("DonutImageProcessor", {"size": {"height": 64, "width": 48}}),
        processor=Part("DonutProcessor"),
    ),
    "trocr": _line_reader("vit", Part("ViTImageProcessor", {"size": SQUARE})),
    "trocr_deit": _line_reader("deit", Part("DeiTImageProcessor", {"size": SQUARE, "crop_size": SQUARE})),
    "layoutlm": Recipe(
        "layoutlm", "LayoutLMForTokenClassification", _BOXES, Part("bert", {"kind": "LayoutLMTokenizer"})
    ),
    "layoutlmv3": Recipe(
        "layoutlmv3",
        "LayoutLMv3ForTokenClassification",
        {
            **_BOXES, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "coordinate_size": 6, "shape_size": 4,
            "input_size": 32, "patch_size": 8,
        },
        _WORDS_IN_BOXES,
        image_processor=Part("LayoutLMv3ImageProcessor", {"size": SQUARE, "apply_ocr": False}),
        processor=Part("LayoutLMv3Processor"),
    ),
    "lilt": Recipe(
        "lilt", "LiltForTokenClassification", {**_BOXES, "hidden_size": 48, "pad_token_id": 1}, _WORDS_IN_BOXES
    ),
}  # fmt: skip
