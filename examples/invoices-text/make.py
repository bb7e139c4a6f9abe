"""Makes train.jsonl (300 rows) and heldout.jsonl (100 rows): invoices as text, wanted as JSON in one fixed schema.

    python examples/invoices-text/make.py

Nothing here comes from the text that the demo model was trained on: other names, other labels, another schema.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

FIRMS = (
    "Alpine", "Baltic", "Cedar", "Delta", "Ember", "Falcon", "Granite", "Harbor", "Indigo", "Juniper", "Kestrel", "Lumen",
    "Meridian", "Nordic", "Onyx", "Pioneer", "Quartz", "River", "Summit", "Tundra",
)  # fmt: skip
ENDS = ("Ltd", "GmbH", "Inc", "Trading", "Foods", "Works", "Systems", "Labs")
LABELS = {
    "invoice_number": ("Invoice number", "Invoice no", "Bill no"),
    "seller": ("Seller", "Vendor", "Supplier"),
    "date": ("Invoice date", "Date", "Billing date"),
    "total": ("Total", "Amount due", "Sum to pay"),
}
ASIDES = ("Payment within 14 days.", "Thank you for your order.", "Goods remain ours until paid.", "VAT included.")
INSTRUCTION = "Extract the invoice as JSON."


def values(rng: random.Random) -> dict[str, str]:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2015, 2029)
    return {
        "invoice_number": f"{rng.choice(('INV', 'R', 'A'))}-{rng.randint(1000, 99999)}",
        "seller": f"{rng.choice(FIRMS)} {rng.choice(ENDS)}",
        "date": rng.choice((f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}")),
        "total": f"{rng.randint(5, 9999)}.{rng.randint(0, 99):02} {rng.choice(('EUR', 'USD', 'GBP'))}",
    }


def row(rng: random.Random) -> dict[str, str]:
    wanted = values(rng)
    separator = rng.choice((": ", " = "))
    lines = [f"{rng.choice(labels)}{separator}{wanted[key]}" for key, labels in LABELS.items()]
    rng.shuffle(lines)
    if rng.random() < 0.6:
        lines.insert(0, rng.choice(("INVOICE", "Invoice")))
    if rng.random() < 0.4:
        lines.append(rng.choice(ASIDES))
    return {"instruction": INSTRUCTION, "input": "\n".join(lines), "output": json.dumps(wanted, ensure_ascii=False)}


def main() -> None:
    rng = random.Random(20)
    seen: set[str] = set()
    rows: list[dict[str, str]] = []
    while len(rows) < 400:
        made = row(rng)
        if made["output"] not in seen:
            seen.add(made["output"])
            rows.append(made)
    here = Path(__file__).parent
    for name, part in (("train", rows[:300]), ("heldout", rows[300:])):
        text = "".join(json.dumps(made, ensure_ascii=False) + "\n" for made in part)
        (here / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
