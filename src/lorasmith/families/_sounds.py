"""First calls of models that hear and speak. Worker plane only, as `_probes`."""

from __future__ import annotations

from typing import Any

import torch

from lorasmith.families._probes import QUESTION, TEXT, TOKENS, checked, for_model, label, output_of, sound, write
from lorasmith.families._transformers import takes

_FRAMES = 16
_HEARD = "heard a second of sound"


def hear(model: Any, processor: Any) -> str:
    """One second of a tone: written down, labelled or turned into vectors, as the model does."""
    extractor = getattr(processor, "feature_extractor", processor)
    rate = extractor.sampling_rate
    inputs = for_model(model, extractor(sound(rate), sampling_rate=rate, return_tensors="pt"))
    if model.can_generate() and not type(model).__name__.endswith("ForCTC"):
        with torch.inference_mode():
            written = model.generate(**inputs, max_new_tokens=TOKENS)
        return f"{_HEARD} and wrote {written.shape[-1]} tokens"
    output = output_of(model, inputs)
    if "logits" not in output:
        return _HEARD
    if hasattr(processor, "tokenizer"):
        text = processor.tokenizer.batch_decode(output["logits"].argmax(-1))[0]
        return f"{_HEARD} and wrote {len(text)} characters"
    return f"{_HEARD} and labelled it {label(model, output['logits'])}"


def hear_and_read(model: Any, processor: Any) -> str:
    """A sound and a text: a question about it, or how well they fit."""
    tone = sound(processor.feature_extractor.sampling_rate)
    if not model.can_generate():
        read = processor(audio=[tone], text=[TEXT], return_tensors="pt")
        return f"scored a sound and a text {output_of(model, for_model(model, read))['logits_per_audio'].item():.2f}"
    turn = {"role": "user", "content": [{"type": "audio", "audio": tone}, {"type": "text", "text": QUESTION}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    read = processor(audio=[tone], text=[text], return_tensors="pt")
    return f"{_HEARD} and {write(model, for_model(model, read))}"


@torch.inference_mode()
def speak(model: Any, processor: Any) -> str:
    """A text, said or sung as shortly as the model can."""
    read = processor(text=[TEXT], return_tensors="pt")
    inputs = {name: value.to(model.device) for name, value in read.items() if isinstance(value, torch.Tensor)}
    if hasattr(model, "semantic"):  # Bark: three models, one after the other
        made = model.generate(**inputs, semantic_max_new_tokens=4 * TOKENS)  # of fewer its codec can make no sound
    elif "speaker_embeddings" in takes(model):
        speaker = torch.zeros((1, model.config.speaker_embedding_dim), device=model.device, dtype=model.dtype)
        made = model.generate(inputs["input_ids"], speaker_embeddings=speaker, maxlenratio=1.0)
    elif model.can_generate():
        made = model.generate(**inputs, max_new_tokens=TOKENS)
    else:
        made = output_of(model, for_model(model, inputs))[0]
    made = made[0] if isinstance(made, tuple | list) else made
    return f"turned a text into {checked(made).numel()} numbers of sound"


def from_spectrogram(model: Any) -> str:
    """A vocoder's call."""
    frames = torch.zeros((_FRAMES, model.config.model_in_dim), device=model.device, dtype=model.dtype)
    with torch.inference_mode():
        return f"turned a spectrogram into {checked(model(frames)).numel()} numbers of sound"
