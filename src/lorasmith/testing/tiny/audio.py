"""Sound in or out: transcription, speech, music. Data, and the one tokenizer file that no class writes without sentencepiece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.testing.tiny._recipe import Fields, Part, Recipe
from lorasmith.testing.tiny.sizes import LAYERS, SEQ2SEQ
from lorasmith.testing.tiny.tokenizers import LETTERS, VOCABULARY, write_sentencepiece

_SAMPLES = 16_000
# Whisper hears four seconds instead of thirty: 400 frames, 200 positions, 201 time stamps.
_SECONDS = 4
_WHISPER_TEXT = 280
_WHISPER_TOKENS = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", *(f"<|{0.02 * step:.2f}|>" for step in range(50 * _SECONDS + 1)),
)  # fmt: skip
_WHISPER = {token: _WHISPER_TEXT + index for index, token in enumerate(_WHISPER_TOKENS)}
_END, _START = _WHISPER["<|endoftext|>"], _WHISPER["<|startoftranscript|>"]
_CTC: Fields = {
    **LAYERS, "vocab_size": 32, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
    "mask_time_length": 2, "mask_time_min_masks": 0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_CTC_LETTERS = Part(
    "characters",
    {
        "kind": "Wav2Vec2CTCTokenizer", "special": ["<pad>", "<s>", "</s>", "<unk>", "|"],
        "letters": f"{LETTERS.upper()}'",
    },
)  # fmt: skip
_WAVES = Part("Wav2Vec2FeatureExtractor", {"sampling_rate": _SAMPLES, "do_normalize": True})
_MELS = 20
_CODES = 16
_CODEC: Fields = {
    "model_type": "encodec", "sampling_rate": 8000, "target_bandwidths": [0.4], "hidden_size": 16, "num_filters": 4,
    "num_lstm_layers": 1, "codebook_size": _CODES, "codebook_dim": 16,
}  # fmt: skip
_BARK: dict[str, Any] = {"num_layers": 2, "num_heads": 4, "hidden_size": 32, "block_size": 128}
# Bark's ids: 32 of meaning, then those of text; two codebooks of 16 after the meaning.
_MEANING, _TEXT_FROM, _BARK_IDS = 32, 40, 256
_SOUND = _MEANING + 2 * _CODES


def _ctc(model_type: str, head: str) -> Recipe:
    return Recipe(model_type, head, _CTC, _CTC_LETTERS, feature_extractor=_WAVES, processor=Part("Wav2Vec2Processor"))


def _speecht5_letters(folder: Path) -> None:
    write_sentencepiece(folder, "spm_char.model", "SpeechT5Tokenizer", processor="SpeechT5Processor")


MODELS: dict[str, Recipe] = {
    "whisper": Recipe(
        "whisper",
        "WhisperForConditionalGeneration",
        {
            **SEQ2SEQ, "max_position_embeddings": None, "vocab_size": _WHISPER_TEXT + len(_WHISPER), "num_mel_bins": 16,
            "max_source_positions": 50 * _SECONDS, "max_target_positions": 64, "decoder_start_token_id": _START,
            "pad_token_id": _END, "bos_token_id": _END, "eos_token_id": _END, "begin_suppress_tokens": [_END],
            "mask_time_length": 2,
        },
        Part("whisper", {"size": _WHISPER_TEXT, "special": _WHISPER_TOKENS}),
        feature_extractor=Part("WhisperFeatureExtractor", {"feature_size": 16, "chunk_length": _SECONDS}),
        processor=Part("WhisperProcessor"),
        generation={
            "is_multilingual": True, "lang_to_id": {token: _WHISPER[token] for token in ("<|en|>", "<|de|>")},
            "task_to_id": {task: _WHISPER[f"<|{task}|>"] for task in ("transcribe", "translate")},
            "no_timestamps_token_id": _WHISPER["<|notimestamps|>"], "prev_sot_token_id": _WHISPER["<|startofprev|>"],
            "max_initial_timestamp_index": 50, "return_timestamps": False, "alignment_heads": [[1, 0]], "max_length": 64,
        },
    ),
    "wav2vec2": _ctc("wav2vec2", "Wav2Vec2ForCTC"),
    "hubert": _ctc("hubert", "HubertForCTC"),
    "speecht5": Recipe(
        "speecht5",
        "SpeechT5ForTextToSpeech",
        {
            "vocab_size": 40, "hidden_size": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64,
            "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "num_mel_bins": _MELS,
            "speech_decoder_prenet_units": 32, "speech_decoder_postnet_units": 16, "speaker_embedding_dim": 16,
            "encoder_max_relative_position": 16, "max_speech_positions": 256, "max_text_positions": 128,
            "mask_time_length": 2,
        },
        feature_extractor=Part("SpeechT5FeatureExtractor", {"num_mel_bins": _MELS}),
        processor=Part("SpeechT5Processor"),
        is_composed=True,
        finish=_speecht5_letters,
    ),
    "speecht5_vocoder": Recipe(
        "speecht5_hifigan",
        "SpeechT5HifiGan",
        {
            "model_in_dim": _MELS, "upsample_initial_channel": 32, "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [[1, 3]],
        },
    ),
    "vits": Recipe(
        "vits",
        "VitsModel",
        {
            "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32,
            "flow_size": 16, "spectrogram_bins": 33, "upsample_initial_channel": 32, "upsample_rates": [4, 4],
            "upsample_kernel_sizes": [8, 8], "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]],
            "duration_predictor_filter_channels": 16, "prior_encoder_num_flows": 2, "prior_encoder_num_wavenet_layers": 2,
            "posterior_encoder_num_wavenet_layers": 2, "duration_predictor_num_flows": 2,
        },
        Part(
            "characters",
            {"kind": "VitsTokenizer", "special": ["<pad>", "<unk>", " ", "'"], "language": "eng", "phonemize": False},
        ),
    ),
    "bark": Recipe(
        "bark",
        "BarkModel",
        {
            "semantic_config": {**_BARK, "input_vocab_size": _BARK_IDS, "output_vocab_size": _TEXT_FROM},
            "coarse_acoustics_config": {**_BARK, "input_vocab_size": _SOUND + 2, "output_vocab_size": _SOUND + 2},
            "fine_acoustics_config": {
                **_BARK, "input_vocab_size": _CODES + 2, "output_vocab_size": _CODES + 2, "n_codes_total": 4,
                "n_codes_given": 1,
            },
            "codec_config": _CODEC,
        },
        Part("bert"),
        processor=Part("BarkProcessor"),
        generation={
            "sample_rate": 8000, "codebook_size": _CODES,
            "semantic_config": {
                "eos_token_id": _MEANING, "pad_token_id": _MEANING, "semantic_vocab_size": _MEANING,
                "text_encoding_offset": _TEXT_FROM, "text_pad_token": _BARK_IDS - 2, "semantic_infer_token": _BARK_IDS - 1,
                "max_input_semantic_length": 32, "max_new_tokens": 16, "do_sample": True,
            },
            "coarse_acoustics_config": {
                "coarse_semantic_pad_token": _SOUND, "coarse_infer_token": _SOUND + 1, "pad_token_id": _SOUND,
                "max_coarse_input_length": 32, "max_coarse_history": 40, "sliding_window_len": 12, "do_sample": True,
            },
            "fine_acoustics_config": {
                "n_fine_codebooks": 4, "max_fine_history_length": 32, "max_fine_input_length": 64, "temperature": 0.5,
            },
        },
    ),
    "musicgen": Recipe(
        "musicgen",
        "MusicgenForConditionalGeneration",
        {
            "text_encoder": {
                "model_type": "t5", "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
                "num_heads": 4,
            },
            "audio_encoder": _CODEC,
            "decoder": {
                **LAYERS, "intermediate_size": None, "ffn_dim": 64, "vocab_size": _CODES, "num_codebooks": 4,
                "max_position_embeddings": 256, "pad_token_id": _CODES, "bos_token_id": _CODES,
            },
        },
        Part("t5"),
        feature_extractor=Part("EncodecFeatureExtractor", {"sampling_rate": 8000}),
        processor=Part("MusicgenProcessor"),
        generation={
            "decoder_start_token_id": _CODES, "pad_token_id": _CODES, "bos_token_id": _CODES, "guidance_scale": 3.0,
            "do_sample": True, "max_length": 60,
        },
    ),
}  # fmt: skip
