"""Trains the three small base models from nothing, on pages of no particular kind (generic.py).

    python examples/invoices/pretrain.py donut --minutes 90     (then trocr, layoutlm)

They learn to read; invoices, their fields and their fonts they never see. Minutes are those of the processor, on two cores; what
was broken off goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import contents
import generic
import numpy as np
import torch
from paper import PAGE, Sheet
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    DonutImageProcessorPil,
    DonutProcessor,
    GenerationConfig,
    LayoutLMv3Config,
    LayoutLMv3ForTokenClassification,
    LayoutLMv3ImageProcessorPil,
    LayoutLMv3Processor,
    LayoutLMv3Tokenizer,
    PreTrainedTokenizerFast,
    TrOCRProcessor,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTImageProcessorPil,
)

BASES = Path(__file__).parent / "bases"
IMAGE = (
    256  # a page, and the dark edge that Donut's processor pads it with: only by it the windows can tell where they are
)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TAGS = [
    "<sep/>", "<s_read>", "<s_pairs>", "<s_card>",
    *(f"<{slash}s_{key}>" for key in ("key", "value", *generic.FIELDS) for slash in ("", "/")),
]  # fmt: skip
LONGEST = 224
# Pixels of a place that the encoder ends with, and letters that are looked for in one, side by side.
CELLS = {"donut": (16, 4), "trocr": (8, 2)}
_SAVE_SECONDS = 300.0
_GUIDANCE = 0.3  # what the decoder's looks weigh beside what it writes


def character_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each character: such small models spell, they do not guess words."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *contents.CHARACTERS])}
    inner = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        model_max_length=LONGEST, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _decoder(kind: str, vocabulary: int, width: int) -> dict[str, Any]:
    shape = {
        "d_model": width, "decoder_layers": 3, "decoder_attention_heads": 6, "decoder_ffn_dim": 4 * width, "dropout": 0.0,
        "max_position_embeddings": LONGEST, "vocab_size": vocabulary, "is_decoder": True, "add_cross_attention": True,
        "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "scale_embedding": True, "model_type": kind,
        "tie_word_embeddings": True,
    }  # fmt: skip
    return {**shape, "cross_attention_hidden_size": width} if kind == "trocr" else shape


def _reader(encoder: dict[str, Any], decoder: dict[str, Any]) -> VisionEncoderDecoderModel:
    config = VisionEncoderDecoderConfig(
        encoder=encoder, decoder=decoder, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=0,
        is_encoder_decoder=True, tie_word_embeddings=False,
    )  # fmt: skip
    model = VisionEncoderDecoderModel(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=0, pad_token_id=1, bos_token_id=0, eos_token_id=2, max_length=LONGEST
    )
    return model


def new_donut() -> tuple[Any, Any]:
    tokenizer = character_tokenizer()
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS], special_tokens=True)
    encoder = {
        "model_type": "donut-swin", "image_size": [IMAGE, IMAGE], "embed_dim": 48, "depths": [1, 2, 5], "num_heads": [3, 6, 12],
        "window_size": 8, "drop_path_rate": 0.0,
    }  # fmt: skip
    size = {"height": IMAGE, "width": IMAGE}
    images = DonutImageProcessorPil(
        size=size, do_align_long_axis=False, do_resize=False, do_thumbnail=True, do_pad=True
    )
    model = _reader(encoder, _decoder("mbart", len(tokenizer), 192))
    return model, DonutProcessor(image_processor=images, tokenizer=tokenizer)


def new_trocr() -> tuple[Any, Any]:
    tokenizer = character_tokenizer()
    encoder = {
        "model_type": "vit", "image_size": [32, 256], "patch_size": 8, "hidden_size": 192, "num_hidden_layers": 5,
        "num_attention_heads": 6, "intermediate_size": 768,
    }  # fmt: skip
    model = _reader(encoder, _decoder("trocr", len(tokenizer), 192))
    images = ViTImageProcessorPil(size={"height": 32, "width": 256})
    return model, TrOCRProcessor(image_processor=images, tokenizer=tokenizer)


def new_layoutlm() -> tuple[Any, Any]:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    rng = random.Random(5)
    texts = [text for _ in range(3000) for text, _ in generic.page(rng, PAGE, PAGE).sheet.lines]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1500,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    with TemporaryDirectory() as files:
        vocabulary, merges = (Path(path).read_text(encoding="utf-8") for path in inner.model.save(files))
    pairs = [tuple(row.split(" ")) for row in merges.splitlines()[1:]]
    tokenizer = LayoutLMv3Tokenizer(vocab=json.loads(vocabulary), merges=pairs)
    labels = ["O", *(f"{mark}-{name}" for name in generic.FIELDS for mark in "BI")]
    config = LayoutLMv3Config(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512,
        max_position_embeddings=514, max_2d_position_embeddings=1024, coordinate_size=22, shape_size=20, input_size=64,
        patch_size=16, num_labels=len(labels), id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
        pad_token_id=1, bos_token_id=0, eos_token_id=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        has_relative_attention_bias=False, has_spatial_attention_bias=False,  # with them it takes twice as long to learn anything
    )  # fmt: skip
    images = LayoutLMv3ImageProcessorPil(size={"height": 64, "width": 64}, apply_ocr=False)
    return LayoutLMv3ForTokenClassification(config), LayoutLMv3Processor(image_processor=images, tokenizer=tokenizer)


# Batches.


def target_of(rng: random.Random, page: generic.Generic) -> list[Piece]:
    """What a Donut is to write of a page: all lines, all pairs, or the known fields."""
    lines = _written(page.sheet)
    task = rng.random()
    if task < 0.4:
        pieces = [Piece("<s_read>")]
        for number, parts in enumerate(page.lines):
            for part in parts:
                pieces += [Piece(" ")] * bool(number or part != parts[0]) + [lines[part]]
    elif task < 0.75 or not page.fields:
        pieces = [Piece("<s_pairs>")]
        for number, (title, value) in enumerate(page.pairs):
            key = Piece(title, lines[value - 1].places)
            pieces += [Piece("<sep/>")] * bool(number) + [*_tagged("key", key), *_tagged("value", lines[value])]
    else:
        pieces = [Piece("<s_card>")]
        for name in generic.FIELDS:
            if name in page.fields:
                pieces += _tagged(name, lines[page.fields[name]])
    return pieces


class Piece(NamedTuple):
    """A part of what is to be written, and the places on the page of its letters, blanks left out; none of a tag."""

    text: str
    places: Sequence[int] = ()


def _tagged(name: str, piece: Piece) -> list[Piece]:
    return [Piece(f"<s_{name}>"), piece, Piece(f"</s_{name}>")]


def _written(sheet: Sheet) -> list[Piece]:
    """The lines of a sheet with the places of their letters."""
    places = iter(_place(x, y, "donut", sheet) for _, x, y in sheet.letters)
    return [Piece(text, [next(places) for letter in text if letter != " "]) for text, _ in sheet.lines]


def _place(x: int, y: int, kind: str, sheet: Sheet) -> int:
    """The place of the encoder's last stage that a pixel of the sheet is in; -1 for none."""
    cell, _ = CELLS[kind]
    across, down = _grid(kind, sheet)
    edge = _edge(kind)
    column, row = (x + edge) // cell, (y + edge) // cell
    return row * across + column if 0 <= column < across and 0 <= row < down else -1


def _edge(kind: str) -> int:
    return (IMAGE - PAGE) // 2 if kind == "donut" else 0


def _grid(kind: str, sheet: Sheet) -> tuple[int, int]:
    """Places across and down."""
    cell, edge = CELLS[kind][0], _edge(kind)
    return (sheet.image.width + 2 * edge) // cell, (sheet.image.height + 2 * edge) // cell


def _text_batch(
    processor: Any, images: list[Any], texts: list[list[Piece]], size: dict[str, int]
) -> dict[str, torch.Tensor]:
    """`looks` is the place of each token's letter on the page; -1 for tags and blanks."""
    pictures = [image.convert("RGB") for image in images]
    pixels = processor.image_processor(pictures, size=size, return_tensors="pt").pixel_values
    rows, looks = [], []
    for pieces in texts:
        row: list[int] = []
        look: list[int] = []
        for text, places in pieces:
            ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
            left = iter(places)
            row += ids
            look += [-1] * len(ids) if not places else [-1 if letter == " " else next(left) for letter in text]
        rows.append([*row[: LONGEST - 1], 2])
        looks.append([*look[: LONGEST - 1], -1])
    width = max(map(len, rows))
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    seen = torch.tensor([look + [-1] * (width - len(look)) for look in looks])
    return {"pixel_values": pixels, "labels": labels, "looks": seen}


def donut_batch(rng: random.Random, processor: Any, size: int, share: float) -> dict[str, torch.Tensor]:
    """Pages of a few words at first, of ten lines later."""
    most = round(12 + 118 * min(1.0, share / 0.4))
    pages = [generic.page(rng, PAGE, PAGE, most) for _ in range(size)]
    made = _text_batch(
        processor, [page.sheet.image for page in pages], [target_of(rng, page) for page in pages],
        {"height": IMAGE, "width": IMAGE},
    )  # fmt: skip
    return {**made, "letters": torch.stack([_letters(page.sheet, "donut") for page in pages])}


def _letters(sheet: Sheet, kind: str) -> torch.Tensor:
    """For each place that the encoder ends with, and each slot of it from left to right, the letter that has its middle there; 0 for
    none. Of shape (places, slots)."""
    cell, slots = CELLS[kind]
    across, down = _grid(kind, sheet)
    found = torch.zeros(across * down, slots, dtype=torch.long)
    for letter, x, y in sheet.letters:
        place = _place(x, y, kind, sheet)
        if place >= 0:
            found[place, (x + _edge(kind)) % cell * slots // cell] = 1 + contents.CHARACTERS.index(letter)
    return found


class Spotter(torch.nn.Module):
    """Says which letters stand where, and is thrown away afterwards: with it the encoder learns to read in minutes, from every letter
    of a page, and the decoder has only to learn where to look."""

    def __init__(self, kind: str, width: int):
        super().__init__()
        self.slots = CELLS[kind][1]
        self.head = torch.nn.Linear(width, self.slots * (1 + len(contents.CHARACTERS)))
        weights = torch.ones(1 + len(contents.CHARACTERS))
        weights[0] = 0.1
        self.register_buffer("weights", weights)

    def forward(self, states: torch.Tensor, letters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss, and the share of letters that are right. States are of shape (pages, places, width); what stands before the places
        is none."""
        logits = self.head(states[:, -letters.shape[1] :]).unflatten(-1, (self.slots, -1))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), letters.flatten(), weight=self.weights)
        there = letters > 0
        return loss, (logits.argmax(-1) == letters)[there].float().mean()

    def of_reader(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What is to be made small, the decoder's own loss, and the share of letters that are right."""
        seen = model.encoder(batch["pixel_values"])
        spotted, right = self(seen.last_hidden_state, batch["letters"])
        answer = model(encoder_outputs=seen, labels=batch["labels"], output_attentions=True)
        before = seen.last_hidden_state.shape[1] - batch["letters"].shape[1]
        looked = looking_loss(answer.cross_attentions, batch["looks"], before)
        return answer.loss + spotted + _GUIDANCE * looked, answer.loss, right


def looking_loss(attentions: tuple[torch.Tensor, ...], looks: torch.Tensor, before: int) -> torch.Tensor:
    """How far a decoder's eyes are from the letters that it writes: for half of the heads of all layers but the first, minus the
    logarithm of the attention to the right place. Attentions are of shape (pages, heads, tokens, places), with `before` states that
    are no place in front; looks are of shape (pages, tokens)."""
    known = looks >= 0
    wanted = (looks.clamp_min(0) + before)[:, None, :, None]
    losses = [
        -layer[:, : layer.shape[1] // 2]
        .float()
        .gather(3, wanted.expand(-1, layer.shape[1] // 2, -1, -1))
        .clamp_min(1e-5)
        .log()
        for layer in attentions[1:]
    ]
    return torch.stack([loss[..., 0].mean(1)[known].mean() for loss in losses]).mean()


def trocr_batch(rng: random.Random, processor: Any, size: int, _: float) -> dict[str, torch.Tensor]:
    sheets = [generic.line(rng) for _ in range(size)]
    texts = [
        [Piece(text, [_place(x, y, "trocr", sheet) for _, x, y in sheet.letters])]
        for sheet in sheets for text, _ in sheet.lines
    ]  # fmt: skip
    made = _text_batch(processor, [sheet.image for sheet in sheets], texts, {"height": 32, "width": 256})
    return {**made, "letters": torch.stack([_letters(sheet, "trocr") for sheet in sheets])}


def layoutlm_batch(rng: random.Random, processor: Any, size: int, _: float) -> dict[str, torch.Tensor]:
    pages = [generic.page(rng, PAGE, PAGE) for _ in range(size)]
    pages = [page for page in pages if page.sheet.words]
    names = ["O", *(f"{mark}-{name}" for name in generic.FIELDS for mark in "BI")]
    words, boxes, tags = [], [], []
    for page in pages:
        ordered = page.sheet.reading_order()
        words.append([word.text for word in ordered])
        boxes.append([[min(1000, max(0, round(1000 * edge / PAGE))) for edge in word.box] for word in ordered])
        tags.append([names.index(word.tag) for word in ordered])
    images = [page.sheet.image.convert("RGB") for page in pages]
    return dict(
        processor(images, words, boxes=boxes, word_labels=tags, padding=True, truncation=True, return_tensors="pt")
    )


KINDS = {
    "donut": (new_donut, donut_batch, 16, 8e-4),
    "trocr": (new_trocr, trocr_batch, 48, 7e-4),
    "layoutlm": (new_layoutlm, layoutlm_batch, 12, 5e-4),
}


def _of_labeller(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    loss = model(**batch).loss
    return loss, loss, torch.zeros(())


def rate_at(share: float, peak: float) -> float:
    """Over the share of the time that is gone: a short rise, then a cosine down to a twentieth."""
    if share < 0.03:
        return peak * share / 0.03
    return float(peak * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * min(1.0, share)))))


def train(kind: str, minutes: float, folder: Path, *, seed: int, gone: float) -> None:
    """Train for `minutes`, of which `gone` are over, and leave the model in `folder`."""
    make, batch_of, size, peak = KINDS[kind]
    torch.manual_seed(seed)
    model, processor = make()
    state = folder / "training.pt"
    if state.exists():
        kept = torch.load(state, weights_only=True)
        model.load_state_dict(kept["model"])
        gone = kept["minutes"]
    spotter = Spotter(kind, model.config.encoder.hidden_size) if kind in CELLS else None
    if spotter:
        model.decoder.set_attn_implementation("eager")  # the only one that tells where it looks
    learnt = [*model.parameters(), *(spotter.parameters() if spotter else [])]
    optimizer = torch.optim.AdamW(learnt, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    if spotter and state.exists():
        spotter.load_state_dict(kept["spotter"])
    if state.exists():
        optimizer.load_state_dict(kept["optimizer"])
    print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters")
    rng = random.Random(seed + round(1000 * gone))
    saved = told = time.monotonic()
    started, threads = time.process_time(), torch.get_num_threads()
    step, losses, shares = 0, [], []
    model.train()
    quick = torch.cpu._is_amx_tile_supported()  # with it bfloat16 is several times as fast, else slower
    while True:
        over = gone + (time.process_time() - started) / threads / 60  # what others take of the processor is not counted
        for group in optimizer.param_groups:
            group["lr"] = rate_at(over / minutes, peak)
        batch = batch_of(rng, processor, size, over / minutes)
        with torch.autocast("cpu", torch.bfloat16, enabled=quick):
            loss, written, right = spotter.of_reader(model, batch) if spotter else _of_labeller(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(written.item())
        shares.append(right.item())
        step += 1
        now = time.monotonic()
        if now - told > 20:
            told = now
            print(
                f"{over:6.1f} min  step {step:6}  loss {np.mean(losses[-50:]):.4f}  letters {np.mean(shares[-50:]):.3f}",
                flush=True,
            )
        if now - saved > _SAVE_SECONDS or over >= minutes:
            saved = now
            folder.mkdir(parents=True, exist_ok=True)
            whole = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "minutes": over}
            torch.save(whole | ({"spotter": spotter.state_dict()} if spotter else {}), state)
            if over >= minutes:
                break
    model.eval().half().save_pretrained(folder)
    processor.save_pretrained(folder)
    state.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    train(asked.kind, asked.minutes, asked.out or BASES / asked.kind, seed=asked.seed, gone=0.0)


if __name__ == "__main__":
    main()
