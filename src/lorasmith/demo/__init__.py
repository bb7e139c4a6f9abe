"""The demo model and its sample task: where they lie. Both ship with the package; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
_SHIPPED = Path(__file__).parent / "invoices-text"
_SOURCES = Path(__file__).parents[3] / "examples" / "invoices-text"  # a checkout, where the wheel's copy is not made

INVOICES = _SHIPPED if _SHIPPED.is_dir() else _SOURCES
TRAIN_FILE = INVOICES / "train.jsonl"
HELDOUT_FILE = INVOICES / "heldout.jsonl"
