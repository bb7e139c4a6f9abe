"""Small datasets of every format for models that are more than language models: eight rows, to be learnt by heart."""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

ROWS = 8
BY_HEART: dict[str, Any] = {
    "max_steps": 12, "learning_rate": 5e-3, "eval_fraction": 0.2, "lora_dropout": 0.0, "batch_size": 4,
    "gradient_accumulation": 1, "min_evaluations": 1000, "no_tensorboard": True,
}  # fmt: skip
"""How they are learnt: without what would end a training early, or make it another one each time."""
_COLOURS = ("red", "green", "blue", "white", "black", "orange", "purple", "brown")
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def picture(file: Path, number: int, size: tuple[int, int] = (64, 48)) -> str:
    """A picture that is like no other of another number."""
    image = Image.new("RGB", size, _COLOURS[number % ROWS])
    draw = ImageDraw.Draw(image)
    draw.rectangle((4 * number, 6, 4 * number + 20, 30), fill=_COLOURS[(number + 3) % ROWS])
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
    return file.name


def sound(file: Path, number: int, *, rate: int = 16_000, channels: int = 1, seconds: float = 0.5) -> str:
    """A tone of its own height."""
    times = np.arange(round(rate * seconds)) / rate
    tone = (np.sin(2 * math.pi * (200 + 150 * number) * times) * 20_000).astype("<i2")
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, rate, 0, "NONE", ""))
        written.writeframes(np.repeat(tone[:, None], channels, 1).tobytes())
    return file.name


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def donut(folder: Path) -> Path:
    rows = [
        {
            "file_name": picture(folder / f"{n}.png", n),
            "ground_truth": {"gt_parse": {"total": str(n), "items": [{"name": word}, {"name": "x"}]}},
        }
        for n, word in enumerate(_WORDS)
    ]
    write_rows(folder / "metadata.jsonl", rows)
    return folder


def image_text(folder: Path) -> Path:
    return write_rows(
        folder / "rows.jsonl",
        [{"image": picture(folder / f"{n}.png", n), "text": word} for n, word in enumerate(_WORDS)],
    )


def images(folder: Path) -> Path:
    for number in range(ROWS):
        picture(folder / f"{number}.png", number)
    return folder


def layout(folder: Path) -> Path:
    rows = [
        {
            "words": ["Total", word, "on", "Monday"], "bboxes": [[10 * n, 10, 10 * n + 90, 30]] * 2 + [[10, 60, 80, 90]] * 2,
            "ner_tags": ["O", "B-sum" if n % 2 else "B-name", "O", "B-day"], "image": picture(folder / f"{n}.png", n),
        }
        for n, word in enumerate(_WORDS)
    ]  # fmt: skip
    return write_rows(folder / "rows.jsonl", rows)


def tagged(folder: Path) -> Path:
    rows = [
        {"tokens": ["hello", word, "there"], "ner_tags": ["O", "B-odd" if n % 2 else "B-even", "O"]}
        for n, word in enumerate(_WORDS)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def labelled_texts(folder: Path) -> Path:
    rows = [
        {"text": f"{('bad ' if n % 2 else 'good ') * 3}{word}", "label": "no" if n % 2 else "yes"}
        for n, word in enumerate(_WORDS)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def labelled_pictures(folder: Path) -> Path:
    for number in range(ROWS):
        name = "dark" if number % 2 else "light"
        (folder / name).mkdir(parents=True, exist_ok=True)
        shade = 20 + 5 * number if number % 2 else 200 + 5 * number
        Image.new("RGB", (64, 48), (shade, shade, shade)).save(folder / name / f"{number}.png")
    return folder


def labelled_sounds(folder: Path) -> Path:
    """Low and high tones; those held out are told apart by what was learnt of the others."""
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        name = "high" if number % 2 else "low"
        height = 16 + number if number % 2 else number // 2
        rows.append({"audio": sound(folder / f"{number}.wav", height), "label": name})
    return write_rows(folder / "rows.jsonl", rows)


def audio_text(folder: Path) -> Path:
    return write_rows(
        folder / "rows.jsonl", [{"audio": sound(folder / f"{n}.wav", n), "text": word} for n, word in enumerate(_WORDS)]
    )


def pairs(folder: Path) -> Path:
    rows = [
        {"anchor": f"what is {n}", "positive": f"it is {word}", "negative": "nothing"} for n, word in enumerate(_WORDS)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def chats(folder: Path) -> Path:
    rows = [
        {
            "messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": word}],
            "images": [picture(folder / f"{n}.png", n)],
        }
        for n, word in enumerate(_WORDS)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def texts(folder: Path) -> Path:
    return write_rows(
        folder / "rows.jsonl", [{"prompt": f"say {n}", "completion": word} for n, word in enumerate(_WORDS)]
    )


def masks(folder: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        image = picture(folder / f"{number}.png", number)
        mask = Image.new("L", (64, 48), 0)
        ImageDraw.Draw(mask).rectangle((4 * number, 6, 4 * number + 20, 30), fill=1)
        mask.save(folder / f"{number}-mask.png")
        rows.append({"image": image, "mask": f"{number}-mask.png"})
    return write_rows(folder / "rows.jsonl", rows)


def objects(folder: Path) -> Path:
    """Pictures with one thing each, of two kinds and two sizes of picture."""
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        image = picture(folder / f"{number}.png", number, (64, 48) if number % 4 else (48, 64))
        box = {"bbox": [[4 * number, 6, 20, 24]], "category": ["odd" if number % 2 else "even"]}
        rows.append({"file_name": image, "objects": box})
    return write_rows(folder / "metadata.jsonl", rows)


DATASETS: dict[str, Callable[[Path], Path]] = {
    "donut": donut, "image-text": image_text, "images": images, "layout": layout, "tagged": tagged, "labelled": labelled_texts,
    "labelled-pictures": labelled_pictures, "labelled-sounds": labelled_sounds, "audio-text": audio_text, "pairs": pairs,
    "openai": chats, "prompt-completion": texts, "masks": masks, "objects": objects,
}  # fmt: skip
