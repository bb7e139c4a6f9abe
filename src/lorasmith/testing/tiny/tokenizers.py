"""Small tokenizers of the kinds that processors and pipelines ask for, made from a few sentences.

Byte-level kinds know every text; the others know the letters, digits and signs of the sentences.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lorasmith.data.tokenizer import CHATML

VOCABULARY = 384
"""Rows of most embeddings; the tokenizers that go with them stay below it, as those of published models do."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
_TEXT = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: what is two and two? Answer: four.",
    "system user assistant invoice total date name number",
    "0 1 2 3 4 5 6 7 8 9 10 20 30 40 50 60 70 80 90 100",
)
_CHARACTERS = sorted({character.lower() for line in _TEXT for character in line} - {" "} | set("$€£,-/()%'!"))
_SPECIAL_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _trained(special: Sequence[str], size: int = VOCABULARY) -> Any:
    """A byte-level BPE encoder whose first ids are the special tokens, in their order."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    encoder = Tokenizer(models.BPE())
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    encoder.train_from_iterator(_TEXT, trainer)
    return encoder


def chat(*, template: str = CHATML, **tokens: str) -> Any:
    """Byte-level BPE with ChatML turns. `tokens` (`image_token="<image>"`) take the ids from 5 on, in their order."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_trained([*_SPECIAL, *tokens.values()]), pad_token="<pad>", bos_token="<s>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"], model_max_length=256, clean_up_tokenization_spaces=False, **tokens,
    )  # fmt: skip
    if template:
        tokenizer.chat_template = template
    return tokenizer


def bytes_like_roberta(kind: str, **settings: Any) -> Any:
    """Byte-level BPE in the class `kind`, with the special tokens and ids of RoBERTa and BART."""
    import transformers

    model = json.loads(_trained(_SPECIAL_ROBERTA).to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return getattr(transformers, kind)(vocab=model["vocab"], merges=merges, model_max_length=128, **settings)


def whisper(size: int, special: Sequence[str]) -> Any:
    """Byte-level BPE of `size` ids; then, in their order, `<|endoftext|>` and the tokens of languages, tasks and times."""
    from transformers import AddedToken, WhisperTokenizer

    model = json.loads(_trained([], size).to_str())["model"]
    tokenizer = WhisperTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return tokenizer


def word_pieces(kind: str = "BertTokenizer", **settings: Any) -> Any:
    """WordPiece of characters and a few whole words, with the special tokens of BERT."""
    import transformers

    words = dict.fromkeys(word for line in _TEXT for word in line.lower().replace(".", "").replace(":", "").split())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *_CHARACTERS, *(f"##{character}" for character in _CHARACTERS), *words])
    vocab = {piece: index for index, piece in enumerate(pieces)}
    return getattr(transformers, kind)(vocab=vocab, model_max_length=128, **settings)


def clip() -> Any:
    """Single bytes, inside a word and at its end, as CLIP writes them; the end of text is the last id."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{byte}</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def t5() -> Any:
    """Unigram of single characters, with the special tokens of T5 and ten of its hundred sentinels."""
    from transformers import T5Tokenizer

    special = ["<pad>", "</s>", "<unk>"]
    sentinels = [f"<extra_id_{index}>" for index in reversed(range(10))]
    pieces = [*special, "▁", *_CHARACTERS, *(character for character in LETTERS.upper()), *sentinels]
    scores = [(piece, 0.0 if piece in special else -2.0) for piece in dict.fromkeys(pieces)]
    return T5Tokenizer(vocab=scores, extra_ids=10, model_max_length=128)


def characters(kind: str, special: Sequence[str], letters: str = LETTERS, **settings: Any) -> Any:
    """One id for each character, in the class `kind` that reads a `vocab.json`."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps({piece: index for index, piece in enumerate([*special, *letters])}))
        return getattr(transformers, kind)(str(file), **settings)


KINDS: dict[str, Callable[..., Any]] = {
    "chat": chat, "roberta": bytes_like_roberta, "whisper": whisper, "bert": word_pieces, "clip": clip, "t5": t5,
    "characters": characters,
}  # fmt: skip


def make(name: str, /, **settings: Any) -> Any:
    """A tokenizer of one of `KINDS`."""
    return KINDS[name](**settings)


def tokenizer_files(folder: Path, *, template: str = CHATML) -> None:
    """The tokenizer `chat` as transformers saves it. An empty template leaves it out."""
    chat(template=template).save_pretrained(folder)


def write_sentencepiece(folder: Path, file: str, kind: str, *, processor: str) -> None:
    """Files of a tokenizer of single characters that sentencepiece reads, made without it: its model is a protocol buffer."""
    from transformers.convert_slow_tokenizer import import_protobuf

    control = ["<s>", "<pad>", "</s>"]
    model = import_protobuf().ModelProto()
    model.trainer_spec.model_type = model.trainer_spec.CHAR
    ids = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}
    for key, value in ids.items():
        setattr(model.trainer_spec, key, value)
    for piece in [*control, "<unk>", "▁", *LETTERS, "'", ",", "."]:
        entry = model.pieces.add(piece=piece, score=0.0)
        entry.type = entry.CONTROL if piece in control else entry.UNKNOWN if piece == "<unk>" else entry.NORMAL
    (folder / file).write_bytes(model.SerializeToString())
    config = {
        "tokenizer_class": kind, "processor_class": processor, "model_max_length": 128, "bos_token": "<s>",
        "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "normalize": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
