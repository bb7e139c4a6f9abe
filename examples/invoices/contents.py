"""Names, numbers, dates, sums: what stands on pages that nobody ever sent."""

from __future__ import annotations

import random

_STARTS = [
    "Al",
    "Ba",
    "Be",
    "Bor",
    "Ca",
    "Cor",
    "Da",
    "De",
    "El",
    "Fa",
    "Fer",
    "Ga",
    "Gra",
    "Ha",
    "Hel",
    "In",
    "Ja",
    "Ka",
    "Kel",
    "La",
    "Lin",
    "Ma",
    "Mor",
    "Na",
    "Nor",
    "O",
    "Pa",
    "Pel",
    "Qui",
    "Ra",
    "Ros",
    "Sa",
    "Ste",
    "Ta",
    "Tur",
    "Ul",
    "Va",
    "Wer",
    "Xe",
    "Ya",
    "Zo",
]
_MIDDLES = [
    "ba",
    "ce",
    "da",
    "di",
    "go",
    "ka",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "mi",
    "na",
    "no",
    "ra",
    "ri",
    "ro",
    "sa",
    "se",
    "ta",
    "te",
    "ti",
    "va",
    "vo",
    "wi",
    "xa",
    "zu",
]
_ENDS = [
    "ber",
    "ck",
    "dal",
    "den",
    "ger",
    "ham",
    "ka",
    "la",
    "land",
    "lin",
    "lo",
    "mann",
    "na",
    "nia",
    "nos",
    "ra",
    "rell",
    "rin",
    "ro",
    "ski",
    "son",
    "ston",
    "ta",
    "tis",
    "ton",
    "va",
    "vic",
    "zer",
]
_ACCENTS = {"a": "áàäâ", "e": "éèê", "i": "íî", "o": "óöô", "u": "úü", "n": "ñ", "c": "ç"}
FORMS = ("Ltd", "GmbH", "SA", "Inc", "S.L.", "SARL", "AG", "& Co", "S.p.A.")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "PLN", "€", "$", "£")
CHARACTERS = (
    " !\"#$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz|£"
    "°ºßÀÁÂÄÇÈÉÊÍÎÑÓÔÖÚÜàáâäçèéêíîñóôöúü€№"
)
"""All that is ever written."""


def name(rng: random.Random) -> str:
    word = rng.choice(_STARTS) + "".join(rng.choice(_MIDDLES) for _ in range(rng.choice((0, 0, 1)))) + rng.choice(_ENDS)
    if rng.random() < 0.12:
        at = rng.randrange(1, len(word))
        word = word[:at] + rng.choice(_ACCENTS.get(word[at], word[at])) + word[at + 1 :]
    return word.upper() if rng.random() < 0.08 else word


def firm(rng: random.Random) -> str:
    return f"{name(rng)} {rng.choice(FORMS)}"


def person(rng: random.Random) -> str:
    return f"{name(rng)} {name(rng)}"


def date(rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2005, 2035)
    return rng.choice((f"{day:02}.{month:02}.{year}", f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}"))


def code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    return f"{letters}{rng.choice(('-', '', '/'))}{rng.randint(100, 99999)}"


def number(rng: random.Random) -> str:
    return str(rng.randint(1, 10 ** rng.randint(1, 6)))


def sum_of(rng: random.Random, currency: str) -> str:
    amount = rng.randint(1, 10 ** rng.randint(2, 4)) + rng.randint(0, 99) / 100
    digits = f"{amount:.2f}"
    if currency in "€$£":
        return f"{currency}{digits}"
    return f"{digits} {currency}"


def anything(rng: random.Random) -> str:
    """A value of any kind."""
    return rng.choice((firm, person, date, code, number, lambda r: sum_of(r, r.choice(CURRENCIES))))(rng)
