"""Sound in or out: Whisper, Wav2Vec2 and HuBERT, SpeechT5, VITS, Bark, MusicGen, codecs."""

from __future__ import annotations

from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.families._base import BY_SIGNAL, ArchitectureType, Recognition, task_by_head
from lorasmith.families._calls import Answer, AudioCall, Tell, refuse
from lorasmith.families._lessons import Lesson, classes
from lorasmith.families._transformers import TransformersFamily, takes

_FIELDS = (
    "num_mel_bins", "feat_extract_norm", "conv_pos_kernel_size", "sampling_rate", "audio_config", "audio_encoder",
    "upsample_rates",
    "semantic_config", "audio_channels", "num_mel_channels", "codec_config", "feature_extractor_config",
    "speech_config", "encoder_hop_length",
    "audio_token_id", "audio_token_index", "audio_bos_token_id", "input_feat_per_channel", "mask_feature_length",
    "vocoder_config",
    "delay_pattern", "composer_vocab_size",
)  # fmt: skip
# Types whose configurations say nothing of sound.
_TYPES = ("moonshine", "moonshine_streaming", "canary", "cohere_asr")
_CLASSES = (
    "ForCTC", "ForSpeech", "ForTextToSpeech", "ForAudio", "ForXVector", "ForTDT", "ForRNNT", "SpectrogramGenerator",
)  # fmt: skip
_WRITING = ("ForCausalLM", "ForConditionalGeneration")
_HEADS = {
    "ForCTC": "automatic-speech-recognition",
    "ForTDT": "automatic-speech-recognition",
    "ForRNNT": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForSpeechToText": "automatic-speech-recognition",
    "SpeechEncoderDecoder": "automatic-speech-recognition",
    "Whisper": "automatic-speech-recognition",
    "Moonshine": "automatic-speech-recognition",
    "ForTextToSpeech": "text-to-speech",
    "ForAudioClassification": "audio-classification",
    "ForSequenceClassification": "audio-classification",
    "ForAudioFrameClassification": "audio-classification",
    "ForXVector": "audio-classification",
    "Vits": "text-to-speech",
    "Bark": "text-to-speech",
    "FastSpeech2": "text-to-speech",
    "HifiGan": "text-to-speech",
    "Dia": "text-to-speech",
    "Csm": "text-to-speech",
    "SpeechT5": "text-to-speech",
    "Musicgen": "text-to-audio",
    "Pop2Piano": "text-to-audio",
}


# Encoders that have a head for classes in transformers.
_CLASSIFYING = {
    "audio-spectrogram-transformer", "data2vec-audio", "hubert", "sew", "sew-d", "unispeech", "unispeech-sat", "wav2vec2",
    "wav2vec2-bert", "wav2vec2-conformer", "wavlm",
}  # fmt: skip
_WRITTEN = Lesson(
    "automatic-speech-recognition",
    ("audio-text",),
    "audio",
    "lorasmith.families._learning_sounds:WrittenSpeech",
    ("wer", "cer"),
)
_SPELLED = Lesson(
    "automatic-speech-recognition",
    ("audio-text",),
    "audio",
    "lorasmith.families._learning_sounds:SpelledSpeech",
    ("wer", "cer"),
)
_LABELS = Lesson(
    "audio-classification", ("labelled",), "audio", "lorasmith.families._learning_labels:SoundClasses", ("accuracy",),
    wanted=lambda sample: sample.label, changes=lambda survey: classes(survey, "AutoModelForAudioClassification"),
    unit="rows", fixed_length=1,
)  # fmt: skip


class Audio(TransformersFamily):
    name = "audio"
    title = "Speech and sound"
    tasks = (
        "automatic-speech-recognition", "text-to-speech", "text-to-audio", "audio-classification", "audio-text-to-text",
        "audio-to-audio", "zero-shot-audio-classification", "feature-extraction",
    )  # fmt: skip
    call = AudioCall

    def recognise(self, evidence: Evidence) -> Recognition | None:
        sees = evidence.has("vision_config", "image_size", "img_processor")
        hears = evidence.has(*_FIELDS) or evidence.model_type in _TYPES or _reads_waves(evidence)
        if (sees and not evidence.ends("ForAudioClassification")) or not (hears or evidence.speaks_of(*_CLASSES)):
            return None
        halves = evidence.has("text_config") and evidence.has("audio_config")
        if halves and evidence.ends("Model", "ModelWithProjection"):
            why = "a text and a sound encoder, and no head that writes"
            return Recognition(BY_SIGNAL, "dual-encoder", "zero-shot-audio-classification", why)
        task = task_by_head(evidence, _HEADS) or _task_by_shape(evidence)
        return Recognition(BY_SIGNAL, _kind(evidence), task, "sound goes in or comes out")

    def processor_kind(self, model: Any) -> str | None:
        """None for a vocoder; an extractor alone for a model that hears and does not write."""
        if model.main_input_name == "spectrogram":
            return None
        speaks = model.main_input_name == "input_ids"
        silent = "AutoTokenizer" if speaks and "input_features" not in takes(model) else "AutoFeatureExtractor"
        writes = model.can_generate() or type(model).__name__.endswith("ForCTC")
        return "AutoProcessor" if writes or (speaks and silent != "AutoTokenizer") else silent

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        name = facts.architecture
        if facts.task == "automatic-speech-recognition":
            spells = name.endswith("ForCTC")
            writes = facts.architecture_type == "encoder-decoder" and not name.startswith("SpeechEncoderDecoder")
            return (_SPELLED,) if spells else (_WRITTEN,) if writes else ()
        hears_alone = facts.architecture_type == "encoder-only" and facts.model_type in _CLASSIFYING
        return (_LABELS,) if hears_alone else ()

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families import _hearing, _speaking

        if model.main_input_name == "spectrogram":
            return _speaking.probe_vocoder(model)
        if model.main_input_name != "input_ids":
            return _hearing.probe(model, processor)
        if hasattr(processor, "feature_extractor") and "input_features" in takes(model):
            return _hearing.probe_with_text(model, processor)
        return _speaking.probe(model, processor)

    def answer(self, model: Any, processor: Any, call: Any, media: list[bytes], tell: Tell) -> Answer:
        """What is heard in the sound file, or a wav file of the text."""
        from lorasmith.families import _hearing, _speaking

        if not _hearing.hears(model):
            return _speaking.speak(model, processor, call, media, tell)
        if not media:
            raise refuse("This model hears and does not speak", "Send audio; a question about it goes into prompt.")
        return _hearing.hear(model, processor, call, media[0], tell)


def _task_by_shape(evidence: Evidence) -> str:
    if evidence.speaks_of(*_WRITING) or evidence.has("text_config"):
        return "automatic-speech-recognition" if evidence.config.get("is_encoder_decoder") else "audio-text-to-text"
    return "feature-extraction"


def _reads_waves(evidence: Evidence) -> bool:
    """Whether an encoder of two halves takes sound, or the repository's feature extractor does."""
    encoder = evidence.part("encoder")
    return bool(encoder.get("num_mel_bins") or encoder.get("conv_stride")) or "sampling_rate" in evidence.document(
        "preprocessor_config.json"
    )


def _kind(evidence: Evidence) -> ArchitectureType:
    if evidence.config.get("is_encoder_decoder") or evidence.has("decoder", "decoder_layers", "decoder_config"):
        return "encoder-decoder"
    writes = evidence.has("text_config", "codebook_size", "semantic_config") or evidence.speaks_of(*_WRITING)
    return "decoder-only" if writes else "encoder-only"


plugin = Audio()
