"""Images in; labels, boxes, masks, depth or features out. Data only."""

from __future__ import annotations

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import PATCHES, SQUARE, labelled

_LABELS = labelled("cat", "dog", "bird")
_WINDOWS: Fields = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 4],
    "window_size": 4,
}
_SAM_SIDE = {"height": 64, "width": 64}
MODELS: dict[str, Recipe] = {
    "vit": Recipe(
        "vit",
        "ViTForImageClassification",
        {**PATCHES, **_LABELS},
        image_processor=Part("ViTImageProcessor", {"size": SQUARE}),
    ),
    "dinov2": Recipe(
        "dinov2",
        "Dinov2Model",
        {**PATCHES, "intermediate_size": None, "mlp_ratio": 2},
        image_processor=Part("BitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": SQUARE}),
    ),
    "swin": Recipe(
        "swin",
        "SwinForImageClassification",
        {**_WINDOWS, **_LABELS},
        image_processor=Part("ViTImageProcessor", {"size": SQUARE}),
    ),
    "detr": Recipe(
        "detr",
        "DetrForObjectDetection",
        {
            "backbone_config": {
                "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic",
                "out_features": ["stage2"],
            },
            "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "num_queries": 5, **_LABELS,
        },
        image_processor=Part("DetrImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 96}}),
    ),
    "yolos": Recipe(
        "yolos",
        "YolosForObjectDetection",
        {**PATCHES, "image_size": [64, 64], "num_detection_tokens": 5, **_LABELS},
        image_processor=Part("YolosImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 96}}),
    ),
    "rt_detr": Recipe(
        "rt_detr",
        "RTDetrForObjectDetection",
        {
            "backbone_config": {
                "model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1],
                "layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"],
            },
            "encoder_in_channels": [16, 16, 16], "encoder_hidden_dim": 32, "encoder_layers": 1, "encoder_ffn_dim": 64,
            "encoder_attention_heads": 4, "d_model": 32, "decoder_in_channels": [32, 32, 32], "decoder_layers": 2,
            "decoder_ffn_dim": 64, "decoder_attention_heads": 4, "num_queries": 5, "num_denoising": 4, **_LABELS,
        },
        image_processor=Part("RTDetrImageProcessor", {"size": {"height": 64, "width": 64}}),
    ),
    "sam": Recipe(
        "sam",
        "SamModel",
        {
            "vision_config": {
                **PATCHES, "intermediate_size": None, "mlp_ratio": 2.0, "image_size": 64, "output_channels": 16,
                "num_pos_feats": 8, "window_size": 4, "global_attn_indexes": [1],
            },
            "prompt_encoder_config": {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
            "mask_decoder_config": {
                "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                "iou_head_hidden_dim": 16,
            },
        },
        image_processor=Part(
            "SamImageProcessor",
            {
                "size": {"longest_edge": 64}, "pad_size": _SAM_SIDE, "mask_size": {"longest_edge": 32},
                "mask_pad_size": {"height": 32, "width": 32},
            },
        ),
        processor=Part("SamProcessor"),
    ),
    "segformer": Recipe(
        "segformer",
        "SegformerForSemanticSegmentation",
        {
            "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32], "num_attention_heads": [1, 2, 2, 4],
            "mlp_ratios": [2, 2, 2, 2], "decoder_hidden_size": 16, **_LABELS,
        },
        image_processor=Part("SegformerImageProcessor", {"size": {"height": 64, "width": 64}}),
    ),
    "depth_anything": Recipe(
        "depth_anything",
        "DepthAnythingForDepthEstimation",
        {
            "backbone_config": {
                "model_type": "dinov2", **PATCHES, "num_hidden_layers": 4, "intermediate_size": None, "mlp_ratio": 2,
                "reshape_hidden_states": False, "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "patch_size": 8, "reassemble_hidden_size": 32, "neck_hidden_sizes": [8, 16, 16, 32], "fusion_hidden_size": 16,
            "head_hidden_size": 8,
        },
        image_processor=Part("DPTImageProcessor", {"size": SQUARE, "ensure_multiple_of": 8, "keep_aspect_ratio": True}),
    ),
    "dpt": Recipe(
        "dpt",
        "DPTForDepthEstimation",
        {
            **PATCHES, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 16, 16, 32],
            "fusion_hidden_size": 16, "use_auxiliary_head": False,
        },
        image_processor=Part("DPTImageProcessor", {"size": SQUARE}),
    ),
}  # fmt: skip
