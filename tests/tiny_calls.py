"""How each tiny model is run for its numbers: its tokenizer or processor over a text, a picture or a sound, then one call of the
model. Where the load test makes the same inputs, they are the load test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def run(name: str, family: str, folder: Path, model: Any) -> Any:
    """The logits of the tiny model `name`, or what a model without logits returns first."""
    output = _BY_NAME.get(name, _BY_FAMILY.get(family, reads_text))(folder, model)
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output


def reads_text(folder: Path, model: Any) -> Any:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(["the quick brown fox", "two?"], padding=True, return_tensors="pt")
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    return model(**inputs)


def reads_image_and_text(folder: Path, model: Any) -> Any:
    import transformers

    from lorasmith.families._probes import picture

    processor = transformers.AutoProcessor.from_pretrained(folder)
    return model(**processor(images=picture(), text=["quick fox"], padding=True, return_tensors="pt"))[
        "logits_per_image"
    ]


def sees(folder: Path, model: Any) -> Any:
    import transformers

    from lorasmith.families._probes import picture

    return model(**transformers.AutoImageProcessor.from_pretrained(folder)(picture(), return_tensors="pt"))


def chats_about_an_image(folder: Path, model: Any) -> Any:
    from lorasmith.families._probes import about_a_picture
    from lorasmith.families.multimodal import plugin

    return model(**about_a_picture(model, plugin.processor(folder, model)))


def reads_a_page(folder: Path, model: Any) -> Any:
    import torch
    import transformers

    from lorasmith.families._probes import picture

    processor = transformers.AutoProcessor.from_pretrained(folder)
    pixels = processor(picture(), return_tensors="pt")["pixel_values"]
    return model(pixel_values=pixels, decoder_input_ids=torch.tensor([[1, 7, 8]]))


def labels_words(folder: Path, model: Any) -> Any:
    from lorasmith.families._probes import words_in_boxes
    from lorasmith.families.document import plugin

    return model(**words_in_boxes(model, plugin.processor(folder, model)))


def hears(folder: Path, model: Any) -> Any:
    import torch
    import transformers

    from lorasmith.families._probes import sound

    inputs = transformers.AutoProcessor.from_pretrained(folder)(
        sound(16_000), sampling_rate=16_000, return_tensors="pt"
    )
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

    from lorasmith.families._probes import picture

    processor = transformers.AutoProcessor.from_pretrained(folder)
    return model(**processor(picture(), input_points=[[[20, 20]]], return_tensors="pt"))["pred_masks"]


def forecasts(folder: Path, model: Any) -> Any:
    import torch

    past, times = torch.rand(1, 10), torch.rand(1, 10, 1)
    future = {"future_values": torch.rand(1, 4), "future_time_features": torch.rand(1, 4, 1)}
    return model(past_values=past, past_time_features=times, past_observed_mask=torch.ones(1, 10), **future)


_BY_FAMILY = {"multimodal": chats_about_an_image, "vision": sees, "audio": hears}
_BY_NAME = {
    **dict.fromkeys(("donut", "trocr", "trocr_deit"), reads_a_page),
    **dict.fromkeys(("layoutlm", "layoutlmv3", "lilt"), labels_words),
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
