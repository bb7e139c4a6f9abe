"""Models that write about images: an image encoder before a language model. Data only."""

from __future__ import annotations

from typing import Any

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import DECODER, PATCHES, SQUARE
from lorasmith.testing.tiny.tokenizers import VOCABULARY

_TURNS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_FIRST = 5  # id of the first of the tokenizer's added tokens; the others follow
_SIGLIP = {"model_type": "siglip_vision_model", **PATCHES, "vision_use_head": False}
_GEMMA = {"head_dim": 8, "sliding_window": 64, "query_pre_attn_scalar": 8}
_POSITIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
_NUM_LOCATIONS = 1024 + 128  # <loc…> and <seg…>, which PaliGemma's processor adds to every tokenizer


def _chat(image: str, **tokens: str) -> Part:
    """A tokenizer with `tokens`, whose turns hold `image` where a message has one."""
    return Part("chat", {"template": _TURNS.replace("IMAGE", image), **tokens})


def _text(model_type: str, **differences: Any) -> Fields:
    return {"model_type": model_type, **DECODER, **differences}


def _qwen(version: str, kind: str, text: Fields, vision: Fields) -> Recipe:
    """Qwen-VL: images of any size, four patches to a token, positions in time, height and width."""
    tokens = {
        "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    }  # fmt: skip
    pixels = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}  # of the whole image, whatever the words say
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2, "size": pixels}
    fields = {
        "text_config": _text(f"{version}_text", **text),
        "vision_config": {"depth": 2, "num_heads": 4, "patch_size": 4, "spatial_merge_size": 2, **vision},
        "image_token_id": _FIRST, "video_token_id": _FIRST + 1, "vision_start_token_id": _FIRST + 2,
        "vision_end_token_id": _FIRST + 3,
    }  # fmt: skip
    video = "Qwen3VLVideoProcessor" if version == "qwen3_vl" else "Qwen2VLVideoProcessor"
    return Recipe(
        version,
        f"{kind}ForConditionalGeneration",
        fields,
        _chat("<|vision_start|><|image_pad|><|vision_end|>", **tokens),
        image_processor=Part("Qwen2VLImageProcessor", sizes),
        video_processor=Part(video, sizes),
        processor=Part(f"{kind}Processor"),
        is_composed=True,
    )


def _idefics(model_type: str, kind: str) -> Recipe:
    """Idefics 3 and SmolVLM: an image in tiles, four patches to a token."""
    tokens = {
        "image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
        **{f"row_{row}_col_{column}_token": f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)},
    }  # fmt: skip
    tiles = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    takes_videos = model_type == "smolvlm"
    return Recipe(
        model_type,
        f"{kind}ForConditionalGeneration",
        {"text_config": _text("llama"), "vision_config": PATCHES, "scale_factor": 2, "image_token_id": _FIRST},
        _chat("<image>", **tokens),
        image_processor=Part(f"{kind}ImageProcessor", tiles),
        video_processor=Part(f"{kind}VideoProcessor", tiles) if takes_videos else None,
        processor=Part(f"{kind}Processor", {"image_seq_len": 4}),
        is_composed=takes_videos,
    )


MODELS: dict[str, Recipe] = {
    "llava": Recipe(
        "llava",
        "LlavaForConditionalGeneration",
        {
            "vision_config": {"model_type": "clip_vision_model", **PATCHES}, "text_config": _text("llama"),
            "image_token_index": _FIRST, "image_seq_length": 16,
        },
        _chat("<image>", image_token="<image>"),
        image_processor=Part("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": SQUARE}),
        processor=Part(
            "LlavaProcessor",
            {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        ),
    ),
    "qwen2_vl": _qwen(
        "qwen2_vl",
        "Qwen2VL",
        {"rope_parameters": _POSITIONS},
        {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2},
    ),
    "qwen2_5_vl": _qwen(
        "qwen2_5_vl",
        "Qwen2_5_VL",
        {"rope_parameters": _POSITIONS},
        {
            "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "window_size": 16,
            "fullatt_block_indexes": [1],
        },
    ),
    "qwen3_vl": _qwen(
        "qwen3_vl",
        "Qwen3VL",
        {"head_dim": 8, "rope_parameters": _POSITIONS},
        {
            "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
    ),
    "smolvlm": _idefics("smolvlm", "SmolVLM"),
    "idefics3": _idefics("idefics3", "Idefics3"),
    "paligemma": Recipe(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        {
            "vision_config": {**_SIGLIP, "projection_dim": 32},
            "text_config": _text("gemma", head_dim=8, vocab_size=VOCABULARY + _NUM_LOCATIONS),
            "image_token_index": _FIRST, "projection_dim": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 4,
        },
        _chat("<image>", image_token="<image>"),
        image_processor=Part("SiglipImageProcessor", {"size": SQUARE, "image_seq_length": 16}),
        processor=Part("PaliGemmaProcessor"),
    ),
    "internvl": Recipe(
        "internvl",
        "InternVLForConditionalGeneration",
        {
            "vision_config": {**PATCHES, "image_size": [32, 32], "patch_size": [8, 8]}, "text_config": _text("qwen2"),
            "image_token_id": _FIRST + 2, "image_seq_length": 4,
        },
        _chat(
            "<IMG_CONTEXT>\n", start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>",
            video_token="<video>",
        ),
        image_processor=Part("GotOcr2ImageProcessor", {"size": SQUARE}),
        video_processor=Part("InternVLVideoProcessor", {"size": SQUARE}),
        processor=Part("InternVLProcessor", {"image_seq_length": 4}),
        is_composed=True,
    ),
    "gemma3_vision": Recipe(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        {
            "vision_config": _SIGLIP, "text_config": _text("gemma3_text", **_GEMMA), "mm_tokens_per_image": 4,
            "boi_token_index": _FIRST, "eoi_token_index": _FIRST + 1, "image_token_index": _FIRST + 2,
        },
        _chat(
            "<start_of_image>", boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
        ),
        image_processor=Part("Gemma3ImageProcessor", {"size": SQUARE, "image_seq_length": 4}),
        processor=Part("Gemma3Processor", {"image_seq_length": 4}),
    ),
}  # fmt: skip
