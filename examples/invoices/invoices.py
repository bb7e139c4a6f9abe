"""Invoices in four layouts, five languages and many currencies, in fonts that the small base models have never seen, with what is to
be read off them. Everything is made up."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import contents
from paper import NEW, PAGE, ROUND, Font, Sheet

LABELS = {
    "en": {"title": "INVOICE", "number": "Invoice no.", "date": "Invoice date", "buyer": "Bill to", "total": "Amount due", "tax": "VAT"},
    "de": {"title": "RECHNUNG", "number": "Rechnung Nr.", "date": "Datum", "buyer": "An", "total": "Gesamtbetrag", "tax": "MwSt."},
    "fr": {"title": "FACTURE", "number": "Facture n°", "date": "Date", "buyer": "Client", "total": "Total à payer", "tax": "TVA"},
    "es": {"title": "FACTURA", "number": "Factura nº", "date": "Fecha", "buyer": "Cliente", "total": "Importe total", "tax": "IVA"},
    "it": {"title": "FATTURA", "number": "Fattura n.", "date": "Data", "buyer": "Spett.le", "total": "Totale", "tax": "IVA"},
}  # fmt: skip
GOODS = (
    "Paper",
    "Toner",
    "Desk",
    "Lamp",
    "Chair",
    "Cable",
    "Screen",
    "Stamps",
    "Pens",
    "Folder",
    "Hosting",
    "Support",
    "Travel",
)


class Invoice(NamedTuple):
    """A page and what is to be read off it."""

    sheet: Sheet
    fields: dict[str, Any]


def invoice(rng: random.Random, fonts: tuple[Font, ...] = NEW) -> Invoice:
    """One invoice: seller, buyer, number, date, total, and one or two lines of goods."""
    names = LABELS[rng.choice(list(LABELS))]
    currency = rng.choice(contents.CURRENCIES)
    items = [
        {"name": name, "price": contents.sum_of(rng, currency)} for name in rng.sample(GOODS, rng.choice((1, 2, 2)))
    ]
    fields: dict[str, Any] = {
        "seller": contents.firm(rng), "buyer": contents.person(rng), "number": contents.code(rng), "date": contents.date(rng),
        "items": items, "total": contents.sum_of(rng, currency),
    }  # fmt: skip
    sheet = Sheet(rng, PAGE, PAGE, fonts, rng.choice((12, 12, 13)))
    rng.choice((_letter, _form, _slip, _table))(sheet, names, fields)
    return Invoice(sheet, fields)


def _letter(sheet: Sheet, names: dict[str, str], fields: dict[str, Any]) -> None:
    """The seller above, number and date at the right margin."""
    left, right = sheet.rng.randint(8, 16), sheet.width - sheet.rng.randint(6, 12)
    sheet.write(left, 8, fields["seller"], "seller", heavy=True)
    sheet.write(left, 36, names["buyer"])
    sheet.write(left, 52, fields["buyer"], "buyer")
    for y, key in ((78, "number"), (94, "date")):
        sheet.write(left, y, f"{names[key]}:")
        sheet.right(right, y, fields[key], key)
    y = _goods(sheet, fields, left, right, 122)
    sheet.write(left, y + 8, names["total"])
    sheet.right(right, y + 8, fields["total"], "total")


def _form(sheet: Sheet, names: dict[str, str], fields: dict[str, Any]) -> None:
    """Labels above their values, in two columns."""
    left, middle = sheet.rng.randint(6, 14), sheet.rng.randint(132, 146)
    sheet.write(left, 6, names["title"], heavy=True)
    sheet.write(left, 30, fields["seller"], "seller")
    for x, y, key in ((left, 58, "number"), (middle, 58, "date"), (left, 92, "buyer"), (middle, 92, "total")):
        sheet.write(x, y, names[key])
        sheet.write(x, y + 15, fields[key], key)
    sheet.rule(128, left, sheet.width - left)
    _goods(sheet, fields, left, sheet.width - left - 6, 138)


def _slip(sheet: Sheet, names: dict[str, str], fields: dict[str, Any]) -> None:
    """A narrow slip, everything one below the other, the seller last."""
    left = sheet.rng.randint(20, 36)
    tab = left + max(sheet.measure(names[key]) for key in ("number", "date", "buyer", "total")) + 12
    y = sheet.rng.randint(6, 14)
    for key in ("number", "date", "buyer"):
        sheet.write(left, y, names[key])
        sheet.write(tab, y, fields[key], key)
        y += 18
    y = _goods(sheet, fields, left, sheet.width - 24, y + 8)
    sheet.write(left, y + 4, names["total"])
    sheet.write(tab, y + 4, fields["total"], "total")
    sheet.write(left, y + 36, fields["seller"], "seller")


def _table(sheet: Sheet, names: dict[str, str], fields: dict[str, Any]) -> None:
    """A framed head, the goods, and the sum in a frame."""
    left = sheet.rng.randint(8, 14)
    sheet.frame((left - 4, 4, sheet.width - left + 4, 66))
    sheet.write(left, 8, fields["seller"], "seller")
    sheet.write(left, 28, f"{names['number']} {fields['number']}"[: len(names["number"])])
    sheet.write(left + sheet.measure(names["number"]) + 5, 28, fields["number"], "number")
    sheet.right(sheet.width - left, 46, fields["date"], "date")
    sheet.write(left, 46, names["date"])
    sheet.write(left, 80, f"{names['buyer']}:")
    sheet.write(left + sheet.measure(f"{names['buyer']}:") + 5, 80, fields["buyer"], "buyer")
    y = _goods(sheet, fields, left, sheet.width - left, 108)
    sheet.frame((left + 90, y + 6, sheet.width - left + 4, y + 26))
    sheet.right(sheet.width - left, y + 8, fields["total"], "total")


def _goods(sheet: Sheet, fields: dict[str, Any], left: int, right: int, y: int) -> int:
    for item in fields["items"]:
        sheet.write(left, y, item["name"], "item")
        sheet.right(right, y, item["price"], "price")
        y += 17
    sheet.rule(y + 2, left, right)
    return y


def line(rng: random.Random) -> Sheet:
    """One line of an invoice on a strip, in rounded letters, on grey paper with specks."""
    size = rng.choice((15, 16, 17))
    sheet = Sheet(rng, 256, 32, ROUND, size)
    names = LABELS[rng.choice(list(LABELS))]
    text = rng.choice(
        (
            f"{names['number']} {contents.code(rng)}", f"{names['date']} {contents.date(rng)}", contents.firm(rng),
            f"{names['total']} {contents.sum_of(rng, rng.choice(contents.CURRENCIES))}", f"{names['buyer']} {contents.person(rng)}",
        )
    )  # fmt: skip
    while sheet.measure(text) > 248:
        text = text.rpartition(" ")[0]
    sheet.write(rng.randint(2, 6), rng.randint(1, 8), text)
    for _ in range(60):
        sheet.image.putpixel((rng.randrange(256), rng.randrange(32)), rng.randint(60, 200))
    return sheet
