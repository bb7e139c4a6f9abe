"""How each tiny model is run: its tokenizer or processor over a text, a picture or a sound, then one call of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def run(name: str, family: str, folder: Path, model: Any) -> Any:
    """The logits of the tiny model `name`, or what a model without logits returns first."""
    output = _BY_NAME.get(name, _BY_FAMILY.get(family, reads_text))(folder, model)
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output


def picture() -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype="uint8"))


def sound() -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal(8000).astype("float32")


def reads_text(folder: Path, model: Any) -> Any:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(["the quick brown fox", "two?"], padding=True, return_tensors="pt")
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    return model(**inputs)


def reads_image_and_text(folder: Path, model: Any) -> Any:
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    return model(**processor(images=picture(), text=["quick fox"], padding=True, return_tensors="pt"))[
        "logits_per_image"
    ]


def sees(folder: Path, model: Any) -> Any:
    import transformers

    return model(**transformers.AutoImageProcessor.from_pretrained(folder)(picture(), return_tensors="pt"))


def chats_about_an_image(folder: Path, model: Any) -> Any:
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is it?"}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    inputs = processor(images=[picture()], text=[text], return_tensors="pt")
    return model(**inputs)


def chats_without_its_processor(folder: Path, model: Any) -> Any:
    """For processors that take torchvision: their parts, and one image token for four patches."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)([picture()], return_tensors="pt")
    patches = (
        inputs["image_grid_thw"].prod()
        if "image_grid_thw" in inputs
        else 16 * inputs["pixel_values"].shape[:-3].numel()
    )
    ids = [*tokenizer("see")["input_ids"], *[model.config.image_token_id] * (int(patches) // 4)]
    inputs.pop("num_patches", None)
    kinds = torch.tensor([[int(token == model.config.image_token_id) for token in ids]])
    extra = {"mm_token_type_ids": kinds} if "image_grid_thw" in inputs else {}
    return model(input_ids=torch.tensor([ids]), **inputs, **extra)


def reads_a_page(folder: Path, model: Any) -> Any:
    import torch
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    pixels = processor(picture(), return_tensors="pt")["pixel_values"]
    return model(pixel_values=pixels, decoder_input_ids=torch.tensor([[1, 7, 8]]))


WORDS, BOXES = ["total", "100"], [[10, 10, 90, 30], [100, 10, 200, 30]]


def labels_words(folder: Path, model: Any) -> Any:
    import transformers

    return model(**transformers.AutoTokenizer.from_pretrained(folder)(WORDS, boxes=BOXES, return_tensors="pt"))


def labels_words_of_a_page(folder: Path, model: Any) -> Any:
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    return model(**processor(picture(), WORDS, boxes=BOXES, return_tensors="pt"))


def labels_tokens_with_boxes(folder: Path, model: Any) -> Any:
    import torch
    import transformers

    inputs = transformers.AutoTokenizer.from_pretrained(folder)(" ".join(WORDS), return_tensors="pt")
    return model(**inputs, bbox=torch.tensor([[BOXES[0]] * inputs["input_ids"].shape[1]]))


def hears(folder: Path, model: Any) -> Any:
    import torch
    import transformers

    inputs = transformers.AutoProcessor.from_pretrained(folder)(sound(), sampling_rate=16_000, return_tensors="pt")
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, 7]])
    return model(**inputs)


def speaks_in_mels(folder: Path, model: Any) -> Any:
    import torch

    ids, mels, speaker = torch.tensor([[5, 6, 7, 2]]), torch.zeros(1, 4, model.config.num_mel_bins), torch.zeros(1, 16)
    return model(input_ids=ids, decoder_input_values=mels, speaker_embeddings=speaker)["spectrogram"]


def turns_mels_to_sound(folder: Path, model: Any) -> Any:
    import torch

    return model(torch.zeros(4, model.config.model_in_dim))


def sings(folder: Path, model: Any) -> Any:
    import transformers

    inputs = transformers.AutoProcessor.from_pretrained(folder)(text=["a red fox"], return_tensors="pt")
    return model.generate(**inputs, max_new_tokens=4)


def says(folder: Path, model: Any) -> Any:
    import transformers

    inputs = transformers.AutoProcessor.from_pretrained(folder)(["a red fox"], return_tensors="pt")
    return model.generate(**inputs, semantic_max_new_tokens=4)


def masks(folder: Path, model: Any) -> Any:
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    return model(**processor(picture(), input_points=[[[20, 20]]], return_tensors="pt"))["pred_masks"]


def forecasts(folder: Path, model: Any) -> Any:
    import torch

    past, times = torch.rand(1, 10), torch.rand(1, 10, 1)
    future = {"future_values": torch.rand(1, 4), "future_time_features": torch.rand(1, 4, 1)}
    return model(past_values=past, past_time_features=times, past_observed_mask=torch.ones(1, 10), **future)


_BY_FAMILY = {"multimodal": chats_about_an_image, "vision": sees, "audio": hears}
_BY_NAME = {
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl"), chats_without_its_processor),
    **dict.fromkeys(("donut", "trocr", "trocr_deit"), reads_a_page),
    "layoutlm": labels_tokens_with_boxes,
    "layoutlmv3": labels_words_of_a_page,
    "lilt": labels_words,
    "clip": reads_image_and_text,
    "siglip": reads_image_and_text,
    "speecht5": speaks_in_mels,
    "speecht5_vocoder": turns_mels_to_sound,
    "vits": reads_text,
    "bark": says,
    "musicgen": sings,
    "sam": masks,
    "time_series": forecasts,
}
