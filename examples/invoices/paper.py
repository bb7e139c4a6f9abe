"""A sheet to write on: text goes onto a picture, and every word's place and tag are kept. Fonts come from PyPI (font-lato …)."""

from __future__ import annotations

import random
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

# Package, file without ending: what the small base models were trained with, and what only the invoices are written in.
KNOWN = (
    ("font_roboto", "Roboto-Regular.ttf"), ("font_roboto", "Roboto-Medium.ttf"), ("font_lato", "Lato-Regular.ttf"),
    ("font_lato", "Lato-Bold.ttf"), ("font_caladea", "Caladea-Regular.ttf"),
    ("font_source_serif_pro", "SourceSerifPro-Semibold.ttf"),
)  # fmt: skip
NEW = (
    ("font_manrope", "Manrope-Medium.ttf"), ("font_hanken_grotesk", "HankenGrotesk-Regular.otf"),
    ("font_caladea", "Caladea-Italic.ttf"), ("font_lato", "Lato-Italic.ttf"),
)  # fmt: skip
ROUND = (("font_fredoka_one", "FredokaOne-Regular.ttf"),)
"""As no text that the line reader was trained on."""
Font = tuple[str, str]
PAGE = 240
"""Pixels of a page's sides."""


class Word(NamedTuple):
    """A word on the sheet, in pixels, with what it is part of ("" for nothing)."""

    text: str
    box: tuple[int, int, int, int]
    tag: str


@lru_cache(maxsize=256)
def font_of(font: Font, size: int) -> ImageFont.FreeTypeFont:
    """Raises SystemExit where the font's package is not installed."""
    package, name = font
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"The font '{name}' is missing.  pip install -r {Path(__file__).parent}/requirements.txt")
    return ImageFont.truetype(Path(found.submodule_search_locations[0], "files", name), size)


class Sheet:
    """A page of `width` × `height` pixels that is written on from anywhere."""

    def __init__(self, rng: random.Random, width: int, height: int, fonts: tuple[Font, ...], size: int):
        self.rng, self.size = rng, size
        self.font = font_of(rng.choice(fonts), size)
        self.heavy = font_of(rng.choice(fonts), size + 2)
        shade = rng.randint(244, 255)
        self.ink = rng.randint(0, 60)
        self.image = Image.new("L", (width, height), shade)
        self._draw = ImageDraw.Draw(self.image)
        self.words: list[Word] = []
        self.letters: list[tuple[str, int, int]] = []
        """Every letter with the middle of its place, in pixels."""
        self.lines: list[tuple[str, tuple[int, int, int, int]]] = []
        """What was written, one call of `write` each; its letters stand in `letters` in the same order, without blanks."""

    @property
    def width(self) -> int:
        return self.image.width

    def measure(self, text: str) -> int:
        return round(self.font.getlength(text))

    def write(self, x: int, y: int, text: str, tag: str = "", *, heavy: bool = False) -> int:
        """Write one line with its left end at x; where it ends. All of its words are part of `tag`."""
        font = self.heavy if heavy else self.font
        start, blank = x, max(2, round(font.getlength(" ")))
        for number, word in enumerate(text.split(" ")):
            self._draw.text((x, y), word, fill=self.ink, font=font)
            left, top, right, bottom = self._draw.textbbox((x, y), word, font=font)
            middle = y + round(0.62 * font.size)
            for at, letter in enumerate(word):
                centre = x + (font.getlength(word[:at]) + font.getlength(word[: at + 1])) / 2
                self.letters.append((letter, round(centre), middle))
            mark = f"{'I' if number else 'B'}-{tag}" if tag else "O"
            self.words.append(Word(word, (round(left), round(top), round(right), round(bottom)), mark))
            x = round(x + font.getlength(word)) + blank
        end = x - blank
        self.lines.append((text, (start, y, end, y + round(1.35 * self.size))))
        return end

    def right(self, x: int, y: int, text: str, tag: str = "") -> None:
        """Write one line that ends at x."""
        self.write(x - self.measure(text), y, text, tag)

    def rule(self, y: int, left: int, right: int) -> None:
        self._draw.line((left, y, right, y), fill=self.ink + 90)

    def frame(self, box: tuple[int, int, int, int]) -> None:
        self._draw.rectangle(box, outline=self.ink + 110)

    def reading_order(self) -> list[Word]:
        """The words from top to bottom, those of about one height from left to right."""
        return sorted(self.words, key=lambda word: ((word.box[1] + word.box[3]) // 2 // self.size, word.box[0]))
