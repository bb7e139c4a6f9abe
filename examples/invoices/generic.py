"""Pages of no particular kind, for teaching a model to read at all: lines, and pairs of a label and a value, anywhere."""

from __future__ import annotations

import random
from typing import NamedTuple

import contents
from paper import KNOWN, Sheet

FIELDS = {
    "name": (("Name", "Full name", "Person", "Guest", "Holder"), contents.person),
    "place": (("Place", "City", "From", "Town"), contents.name),
    "day": (("Day", "On", "Valid until", "Born", "Arrival"), contents.date),
    "code": (("Code", "Ref", "Ticket", "Key", "Seat"), contents.code),
    "count": (("Count", "Pieces", "Weight", "Points", "Age"), contents.number),
    "price": (("Price", "Fare", "Fee", "Deposit"), lambda rng: contents.sum_of(rng, rng.choice(contents.CURRENCIES))),
}
_MOST_CHARACTERS = 150


class Generic(NamedTuple):
    """A page and what is on it."""

    sheet: Sheet
    lines: list[list[int]]
    """In reading order; each the numbers of the sheet's lines that stand side by side."""
    pairs: list[tuple[str, int]]
    """Labels in reading order, and the number of the sheet's line behind each or below it, which holds the value."""
    fields: dict[str, int]


def label(rng: random.Random) -> str:
    """A word that introduces a value: made up."""
    words = [contents.name(rng) for _ in range(rng.choice((1, 1, 2)))]
    return " ".join([words[0], *(word.lower() for word in words[1:])])


def page(rng: random.Random, width: int, height: int, most_characters: int = _MOST_CHARACTERS) -> Generic:
    """Labels, values and lines, as many as make about `most_characters`, from anywhere in the upper half on."""
    sheet = Sheet(rng, width, height, KNOWN, rng.choice((11, 12, 12, 13, 13)))
    step = round(sheet.size * rng.uniform(1.25, 1.9))
    y = rng.randint(2, 20 if most_characters == _MOST_CHARACTERS else height // 2)
    lines: list[list[int]] = []
    pairs: list[tuple[str, int]] = []
    fields: dict[str, int] = {}
    left = rng.randint(3, 24)
    tab = left + rng.randint(70, 120)
    while y < height - step and len(sheet.letters) < most_characters and (not lines or rng.random() < 0.93):
        x = left if rng.random() < 0.7 else rng.randint(3, 70)
        kind = rng.random()
        if kind < 0.25:
            text = " ".join(contents.anything(rng) for _ in range(rng.choice((1, 1, 2))))
            heavy = rng.random() < 0.2
            if x + 1.2 * sheet.measure(text) > width - 4:
                continue
            sheet.write(x, y, text, heavy=heavy)
            lines.append([len(sheet.lines) - 1])
        else:
            field, title, value = _pair(rng, fields)
            colon = rng.choice((":", "", "", " #", "."))
            if kind < 0.7:  # side by side, or at the right margin
                start = max(tab, x + sheet.measure(title + colon) + 6)
                if rng.random() < 0.3:
                    start = width - 6 - sheet.measure(value)
                if start + sheet.measure(value) > width - 3 or start < x + sheet.measure(title + colon) + 4:
                    continue
                sheet.write(x, y, title + colon)
                sheet.write(start, y, value, field)
                lines.append([len(sheet.lines) - 2, len(sheet.lines) - 1])
            else:  # one above the other
                if y + 2 * step > height or x + max(sheet.measure(value), sheet.measure(title)) > width - 4:
                    continue
                sheet.write(x, y, title + colon)
                y += step
                sheet.write(x, y, value, field)
                lines += [[len(sheet.lines) - 2], [len(sheet.lines) - 1]]
            pairs.append((title, len(sheet.lines) - 1))
            if field:
                fields[field] = len(sheet.lines) - 1
        if rng.random() < 0.08:
            sheet.rule(y + round(1.2 * sheet.size), left, width - left)
        y += step if rng.random() < 0.85 else 2 * step
    return Generic(sheet, lines, pairs, fields)


def _pair(rng: random.Random, fields: dict[str, int]) -> tuple[str, str, str]:
    """Field ("" for none that anybody asks for), label, value."""
    free = [name for name in FIELDS if name not in fields]
    if free and rng.random() < 0.6:
        field = rng.choice(free)
        titles, make = FIELDS[field]
        return field, rng.choice(titles), make(rng)
    return "", label(rng), contents.anything(rng)


def line(rng: random.Random) -> Sheet:
    """One line of text on a strip, a little larger or smaller, higher or lower each time; `lines` holds it."""
    size = rng.choice((15, 16, 17, 18, 20, 22))
    sheet = Sheet(rng, 256, 32, KNOWN, size)
    text = contents.anything(rng)
    if rng.random() < 0.5:
        text = f"{text} {contents.anything(rng)}"
    while len(text) > 24 or sheet.measure(text) > 250:
        text = text.rpartition(" ")[0] or text[:20]
    sheet.write(rng.randint(1, 6), rng.randint(-2, max(0, 28 - round(1.3 * size))), text)
    return sheet
