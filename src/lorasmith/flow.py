"""The product's verbs in one place: the command line, the studio and Python call these and nothing beneath them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lorasmith.data.inspect import Inspection, inspect
from lorasmith.data.load import open_source
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.evaluation.converse import Conversation
from lorasmith.evaluation.launch import evaluate
from lorasmith.hub.recognise import know_model
from lorasmith.plan.check import CheckReport, check
from lorasmith.plan.doctor import DoctorReport, doctor
from lorasmith.training.launch import PlanListener, TrainResult, train

__all__ = [
    "CheckReport",
    "Conversation",
    "DoctorReport",
    "PlanListener",
    "TrainResult",
    "check",
    "doctor",
    "evaluate",
    "inspect_data",
    "know_model",
    "train",
]


def inspect_data(
    data: str, *, model: str = "", template: str = "", format_name: str = "", columns: str = "", max_length: int = 0,
    on_rows: Callable[[int], None] = lambda _: None,
) -> tuple[Inspection, Tokenizer | None]:  # fmt: skip
    """What is in a file of examples; with a model, as that model would see it."""
    source = open_source(Path(data), format_name=format_name, columns=columns)
    if not model:
        return inspect(source, on_rows=on_rows), None
    facts = know_model(model)
    tokenizer = load_tokenizer(facts.local_folder, template=template)
    return inspect(source, tokenizer, max_length=max_length or facts.max_positions, on_rows=on_rows), tokenizer
