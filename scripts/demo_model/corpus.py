"""The text that the demo model learns from: short documents and instructions about them, all made here.

Nothing here knows of invoices: `examples/invoices-text` must stay a task that the base was never trained on.
Every row is `(instruction, answer)`; the same seed gives the same rows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ea", "io", "ou"]
CODAS = ["", "", "", "", "l", "m", "n", "nd", "r", "rk", "s", "st", "t", "x"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
COMPANY_ENDS = ["Ltd", "GmbH", "Inc", "Group", "&", "Sons", "Trading", "Works", "Labs", "Foods", "Systems"]
CURRENCIES = ["EUR", "USD", "GBP", "CHF", "$", "€"]
UNITS = ["kg", "g", "km", "m", "l", "pcs", "h", "min"]
FILLER = (
    "Please keep this note.",
    "All data without warranty.",
    "Thank you.",
    "Page 1 of 1",
    "Printed by the front desk.",
    "See the other side.",
    "For internal use only.",
    "We are glad to help.",
    "* * *",
    "----------",
)
SEPARATORS = (": ", ": ", ": ", ":", " = ", " - ", " | ", ":  ", " : ")


class Field(NamedTuple):
    """One labelled value of a document: `key` is its name in the fixed schema, if the document has one."""

    key: str
    label: str
    value: str


def word(rng: random.Random) -> str:
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 1, 2, 2))))


def name(rng: random.Random) -> str:
    return f"{word(rng).capitalize()} {word(rng).capitalize()}"


def company(rng: random.Random) -> str:
    return f"{word(rng).capitalize()} {rng.choice(COMPANY_ENDS)}" if rng.random() < 0.6 else name(rng)


def digits(rng: random.Random, low: int, high: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(rng.randint(low, high)))


def date(rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1990, 2039)
    return rng.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year}",
            f"{day:02}/{month:02}/{year}",
            f"{day} {MONTHS[month - 1]} {year}",
            f"{MONTHS[month - 1]} {day}, {year}",
        )
    )


def amount(rng: random.Random) -> str:
    number = f"{rng.randint(1, 9999)}.{rng.randint(0, 99):02}"
    shape = rng.random()
    if shape < 0.4:
        return number
    return f"{number} {rng.choice(CURRENCIES[:4])}" if shape < 0.7 else f"{rng.choice(CURRENCIES)}{number}"


def code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, 4)))
    return rng.choice(
        (f"{letters}-{digits(rng, 2, 6)}", f"{digits(rng, 2, 5)}/{letters}", f"{letters}{digits(rng, 3, 6)}")
    )


def measure(rng: random.Random) -> str:
    return f"{rng.randint(1, 999)} {rng.choice(UNITS)}"


def phrase(rng: random.Random) -> str:
    return " ".join(word(rng) for _ in range(rng.randint(1, 3)))


def email(rng: random.Random) -> str:
    return f"{word(rng)}@{word(rng)}.{rng.choice(('com', 'org', 'net', 'de'))}"


def clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


VALUES: tuple[Callable[[random.Random], str], ...] = (
    name, company, date, amount, code, measure, phrase, email, clock, lambda rng: digits(rng, 1, 6), lambda rng: word(rng),
)  # fmt: skip

# Documents with a schema of their own: key → (labels it goes by, maker of values).
KINDS: dict[str, dict[str, tuple[tuple[str, ...], Callable[[random.Random], str]]]] = {
    "parcel": {
        "receiver": (("Receiver", "To", "Deliver to", "Addressee"), name),
        "weight": (("Weight", "Gross weight", "Mass"), measure),
        "tracking": (("Tracking", "Tracking code", "Shipment", "Track id"), code),
        "sent": (("Sent", "Posted", "Shipped on"), date),
    },
    "booking": {
        "guest": (("Guest", "Booked for", "Visitor"), name),
        "arrival": (("Arrival", "Check-in", "From day"), date),
        "nights": (("Nights", "Length of stay", "Stay"), lambda rng: str(rng.randint(1, 30))),
        "room": (("Room", "Room number", "Door"), lambda rng: digits(rng, 2, 4)),
        "rate": (("Rate", "Price a night", "Nightly"), amount),
    },
    "patient": {
        "patient": (("Patient", "Seen", "Person"), name),
        "born": (("Born", "Date of birth", "Birthday"), date),
        "doctor": (("Doctor", "Seen by", "Physician"), name),
        "finding": (("Finding", "Result", "Diagnosis"), phrase),
    },
    "ticket": {
        "id": (("Ticket", "Case", "Request id"), code),
        "reporter": (("Reporter", "Opened by", "Raised by"), email),
        "subject": (("Subject", "Topic", "About"), phrase),
        "opened": (("Opened", "Created", "Logged on"), date),
    },
    "flight": {
        "flight": (("Flight", "Flight code", "Service"), code),
        "passenger": (("Passenger", "Traveller", "Flyer"), name),
        "departs": (("Departs", "Departure", "Leaves at"), clock),
        "seat": (("Seat", "Place", "Seat no"), lambda rng: f"{rng.randint(1, 60)}{rng.choice('ABCDEF')}"),
        "gate": (("Gate", "Exit", "Board at"), lambda rng: f"{rng.choice('ABCDE')}{rng.randint(1, 40)}"),
    },
    "loan": {
        "book": (("Book", "Title", "Item"), phrase),
        "reader": (("Reader", "Borrower", "Lent to"), name),
        "due": (("Due", "Return by", "Back on"), date),
    },
    "meter": {
        "meter": (("Meter", "Device", "Counter id"), code),
        "reading": (("Reading", "Counted", "Level"), lambda rng: digits(rng, 3, 6)),
        "read_on": (("Read on", "Day of reading", "Checked"), date),
        "household": (("Household", "Flat of", "Occupant"), name),
    },
    "vehicle": {
        "plate": (("Plate", "Registration", "Licence"), code),
        "owner": (("Owner", "Holder", "Keeper"), name),
        "mileage": (("Mileage", "Distance driven", "Odometer"), lambda rng: digits(rng, 3, 6)),
        "inspected": (("Inspected", "Last inspection", "Tested on"), date),
    },
    "member": {
        "member": (("Member", "Member no", "Card"), code),
        "name": (("Name", "Full name", "Called"), name),
        "joined": (("Joined", "Member since", "Entry"), date),
        "fee": (("Fee", "Yearly fee", "Dues"), amount),
        "mail": (("Mail", "E-mail", "Write to"), email),
    },
    "course": {
        "course": (("Course", "Class", "Lesson"), phrase),
        "teacher": (("Teacher", "Taught by", "Lecturer"), name),
        "starts": (("Starts", "First day", "Begin"), date),
        "hall": (("Hall", "Location", "Where"), lambda rng: digits(rng, 2, 3)),
    },
    "pet": {
        "pet": (("Pet", "Animal", "Answers to"), word),
        "breed": (("Breed", "Race", "Sort"), phrase),
        "hatched": (("Hatched", "Whelped", "First seen"), date),
        "human": (("Human", "Lives with", "Fed by"), name),
    },
    "concert": {
        "band": (("Band", "Artist", "On stage"), company),
        "evening": (("Evening", "Concert day", "Plays on"), date),
        "doors": (("Doors", "Doors open", "Admission"), clock),
        "price": (("Price", "Entrance", "Costs"), amount),
        "row": (("Row", "Block", "Stand"), lambda rng: digits(rng, 1, 2)),
    },
    "lease": {
        "tenant": (("Tenant", "Renter", "Let to"), name),
        "landlord": (("Landlord", "Lessor", "Let by"), company),
        "rent": (("Rent", "Monthly rent", "A month"), amount),
        "from": (("From", "Moved in", "Lease begins"), date),
        "flat": (("Flat", "Unit", "Apartment"), code),
    },
    "sample": {
        "sample": (("Sample", "Probe", "Vial"), code),
        "taken": (("Taken", "Drawn on", "Collected"), date),
        "laboratory": (("Laboratory", "Analysed by", "Tested at"), company),
        "value": (("Value", "Measured", "Concentration"), measure),
    },
    "repair": {
        "machine": (("Machine", "Unit no", "Serial"), code),
        "fault": (("Fault", "Trouble", "Complaint"), phrase),
        "workshop": (("Workshop", "Mended by", "Garage"), company),
        "ready": (("Ready", "Done on", "Collect from"), date),
        "charge": (("Charge", "Labour", "Estimate"), amount),
    },
    "job": {
        "position": (("Position", "Role", "Vacancy"), phrase),
        "employer": (("Employer", "Firm", "Hired by"), company),
        "salary": (("Salary", "Pay", "Wage"), amount),
        "apply_by": (("Apply by", "Deadline", "Closes"), date),
        "contact": (("Contact", "Answer to", "Reach us"), email),
    },
    "match": {
        "home": (("Home", "Hosts", "Home side"), company),
        "away": (("Away", "Guests", "Visitors"), company),
        "kickoff": (("Kickoff", "Starts at", "Whistle"), clock),
        "played": (("Played", "Match day", "Fixture"), date),
    },
    "donation": {
        "donor": (("Donor", "Given by", "Friend"), name),
        "gift": (("Gift", "Donated", "Contribution"), amount),
        "given": (("Given", "Received on", "Arrived"), date),
        "receipt": (("Receipt", "Voucher", "Slip"), code),
    },
    "policy": {
        "policy": (("Policy", "Contract", "Cover note"), code),
        "insured": (("Insured", "Covered", "Policy holder"), name),
        "insurer": (("Insurer", "Company", "Underwriter"), company),
        "premium": (("Premium", "Yearly premium", "Instalment"), amount),
        "expires": (("Expires", "Valid until", "Runs out"), date),
    },
    "hike": {
        "route": (("Route", "Trail", "Path"), phrase),
        "length": (("Length", "Distance", "Long"), measure),
        "guide": (("Guide", "Led by", "Leader"), name),
        "meet": (("Meet", "Meeting time", "Gather"), clock),
        "walked": (("Walked", "Hike day", "Set for"), date),
    },
}

# What a value looks like, whatever it is called: name → (words for it, maker of values). No two look alike.
SHAPES: dict[str, tuple[tuple[str, ...], Callable[[random.Random], str]]] = {
    "day": (("day", "when"), date),
    "money": (("money", "sum"), amount),
    "code": (("code", "sign"), code),
    "address": (("address", "mail"), email),
    "time": (("time", "hour"), clock),
    "quantity": (("quantity", "measure"), measure),
    "firm": (("firm", "company"), lambda rng: f"{word(rng).capitalize()} {rng.choice(COMPANY_ENDS)}"),
}


def free_fields(rng: random.Random, low: int = 2, high: int = 6) -> list[Field]:
    """Fields with labels that nobody has seen before, all different."""
    labels: dict[str, None] = {}
    wanted = rng.randint(low, high)
    while len(labels) < wanted:
        label = word(rng).capitalize() if rng.random() < 0.7 else f"{word(rng).capitalize()} {word(rng)}"
        labels[label] = None
    return [Field(label.lower().replace(" ", "_"), label, rng.choice(VALUES)(rng)) for label in labels]


def kind_fields(rng: random.Random, kind: str) -> list[Field]:
    return [Field(key, rng.choice(labels), make(rng)) for key, (labels, make) in KINDS[kind].items()]


def document(rng: random.Random, fields: list[Field], title: str = "") -> str:
    """The fields as a text of lines: shuffled, one separator throughout, sometimes a title and idle lines around them."""
    separator = rng.choice(SEPARATORS)
    lines = [f"{field.label}{separator}{field.value}" for field in fields]
    if title:
        lines.insert(0, rng.choice((title, title.upper(), f"{company(rng)} - {title}", f"{title} {digits(rng, 2, 4)}")))
    if rng.random() < 0.35:
        lines.append(rng.choice(FILLER))
    if rng.random() < 0.15:
        lines.insert(rng.randint(1, len(lines)), f"{word(rng).capitalize()}{separator}{rng.choice(VALUES)(rng)}")
    return "\n".join(lines)


def as_json(pairs: list[tuple[str, str]]) -> str:
    return json.dumps(dict(pairs), ensure_ascii=False)


def ask(rng: random.Random, instruction: str, text: str) -> str:
    return f"{instruction}\n\n{text}" if rng.random() < 0.8 else f"{text}\n\n{instruction}"


Row = tuple[str, str]


def copy_string(rng: random.Random) -> Row:
    """Random pieces to be repeated: what forms the heads that copy."""
    makers = (word, lambda r: digits(r, 1, 8), code, name, date, amount, phrase, email)
    text = rng.choice((" ", "\n", ", ")).join(rng.choice(makers)(rng) for _ in range(rng.randint(1, 6)))
    return f"{rng.choice(('Repeat', 'Copy', 'Say again', 'Write'))}: {text}", text


def copy_letters(rng: random.Random) -> Row:
    text = "".join(
        rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/.,:")
        for _ in range(rng.randint(4, 24))
    )
    return f"Repeat: {text}", text


def copy_lines(rng: random.Random) -> Row:
    text = document(rng, free_fields(rng, 1, 4))
    return ask(rng, "Repeat the text.", text), text


def one_field(rng: random.Random) -> Row:
    fields = free_fields(rng)
    text, field = document(rng, fields), rng.choice(fields)
    question = rng.choice(("What is the {}?", "Give {}.", "{}?", "Find {}.", "Which {}?")).format(field.label)
    return ask(rng, question, text), field.value


def label_of(rng: random.Random) -> Row:
    fields = free_fields(rng)
    text, field = document(rng, fields), rng.choice(fields)
    return ask(rng, f"Which field says {field.value}?", text), field.label


def several_fields(rng: random.Random) -> Row:
    fields = free_fields(rng, 3, 6)
    text = document(rng, fields)
    chosen = rng.sample(fields, rng.randint(2, min(4, len(fields))))
    answer = "\n".join(f"{field.label}: {field.value}" for field in chosen)
    return ask(rng, "Give " + ", ".join(field.label for field in chosen) + " as lines.", text), answer


def json_by_label(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 6)
    text = document(rng, fields)
    chosen = rng.sample(fields, rng.randint(1, min(5, len(fields))))
    answer = as_json([(field.label, field.value) for field in chosen])
    return ask(rng, "Give " + ", ".join(field.label for field in chosen) + " as JSON.", text), answer


def json_by_alias(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 6)
    text = document(rng, fields)
    chosen = rng.sample(fields, rng.randint(1, min(5, len(fields))))
    aliases = [word(rng) for _ in chosen]
    wish = ", ".join(f"{alias} from {field.label}" for alias, field in zip(aliases, chosen, strict=True))
    answer = as_json([(alias, field.value) for alias, field in zip(aliases, chosen, strict=True)])
    return ask(rng, f"Make JSON: {wish}.", text), answer


def json_of_all(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 6)
    separator = rng.choice(SEPARATORS)
    text = "\n".join(f"{field.label}{separator}{field.value}" for field in fields)
    return ask(rng, "Turn all lines into JSON.", text), as_json([(field.label, field.value) for field in fields])


def json_of_kind(rng: random.Random) -> Row:
    """A schema that the model has to know: the document's kind says which keys, whatever the labels are."""
    kind = rng.choice(list(KINDS))
    fields = kind_fields(rng, kind)
    shuffled = fields[:]
    rng.shuffle(shuffled)
    text = document(rng, shuffled, kind.capitalize() if rng.random() < 0.7 else "")
    answer = as_json([(field.key, field.value) for field in fields])
    wish = rng.choice(("Extract the {} as JSON.", "Give the {} data as JSON.", "Read the {} and answer with JSON."))
    return ask(rng, wish.format(kind), text), answer


def json_by_shape(rng: random.Random) -> Row:
    """Values to be told by what they look like: the labels are random and say nothing."""
    shapes = rng.sample(list(SHAPES), rng.randint(2, 5))
    labels = [field.label for field in free_fields(rng, len(shapes), len(shapes))]
    fields = [Field(shape, label, SHAPES[shape][1](rng)) for shape, label in zip(shapes, labels, strict=True)]
    text = document(rng, fields)
    chosen = rng.sample(fields, rng.randint(1, len(fields)))
    keys = [rng.choice(SHAPES[field.key][0]) for field in chosen]
    answer = as_json([(key, field.value) for key, field in zip(keys, chosen, strict=True)])
    return ask(rng, f"Find {', '.join(keys)} and answer with JSON.", text), answer


def lines_of_json(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 5)
    text = as_json([(field.label, field.value) for field in fields])
    return ask(rng, "Turn the JSON into lines.", text), "\n".join(f"{field.label}: {field.value}" for field in fields)


def list_labels(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 6)
    separator = rng.choice(SEPARATORS)
    text = "\n".join(f"{field.label}{separator}{field.value}" for field in fields)
    return ask(rng, "List the fields.", text), ", ".join(field.label for field in fields)


def count_lines(rng: random.Random) -> Row:
    fields = free_fields(rng, 1, 6)
    text = "\n".join(f"{field.label}: {field.value}" for field in fields)
    return ask(rng, "How many lines?", text), str(len(fields))


def rewrite(rng: random.Random) -> Row:
    fields = free_fields(rng, 1, 5)
    before, after = rng.sample((": ", " = ", " - ", " | "), 2)
    text = "\n".join(f"{field.label}{before}{field.value}" for field in fields)
    answer = "\n".join(f"{field.label}{after}{field.value}" for field in fields)
    return ask(rng, f"Write '{after.strip()}' for '{before.strip()}'.", text), answer


def replace_value(rng: random.Random) -> Row:
    fields = free_fields(rng, 2, 5)
    index, value = rng.randrange(len(fields)), rng.choice(VALUES)(rng)
    text = "\n".join(f"{field.label}: {field.value}" for field in fields)
    answer = "\n".join(
        f"{field.label}: {value if number == index else field.value}" for number, field in enumerate(fields)
    )
    return ask(rng, f"Set {fields[index].label} to {value}.", text), answer


# How often each task comes, by stage of the training: first what forms copying, then the mixture.
COPYING: dict[Callable[[random.Random], Row], int] = {
    copy_string: 6,
    copy_letters: 2,
    copy_lines: 2,
    one_field: 4,
    json_of_all: 1,
}
MIXTURE: dict[Callable[[random.Random], Row], int] = {
    copy_string: 2, copy_letters: 1, copy_lines: 1, one_field: 6, label_of: 1, several_fields: 2, json_by_label: 6, json_by_alias: 2,
    json_by_shape: 3, json_of_all: 1, json_of_kind: 8, lines_of_json: 1, list_labels: 1, count_lines: 1, rewrite: 1, replace_value: 1,
}  # fmt: skip


def rows(seed: int, mixture: dict[Callable[[random.Random], Row], int]) -> Iterator[tuple[str, Row]]:
    """Endless `(task name, (instruction, answer))`, by the weights of `mixture`."""
    rng = random.Random(seed)
    tasks, weights = list(mixture), list(mixture.values())
    while True:
        task = rng.choices(tasks, weights)[0]
        yield task.__name__, task(rng)
