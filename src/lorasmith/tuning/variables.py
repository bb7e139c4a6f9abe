"""What a search takes from the environment: below what is given, above the defaults (TUN-6)."""

from __future__ import annotations

import os

from lorasmith.core.errors import UsageProblem

MODEL, DEFAULT_MODEL = "LORA_MODEL_NAME", "Qwen/Qwen3-0.6B"
TRIALS = "LORA_N_TRIALS"
RANGES = {
    "LORA_NUM_EPOCHS": "epochs",
    "LORA_BATCH_SIZE": "batch_size",
    "LORA_LEARNING_RATE": "learning_rate",
}
"""Variables that hold one dimension of the search to a value, or to a range."""


def model() -> str:
    """The model where none is named."""
    return os.environ.get(MODEL) or DEFAULT_MODEL


def trials() -> int | None:
    """How many, where that is not given; None where the environment says nothing. Raises UsageProblem."""
    text = os.environ.get(TRIALS)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageProblem(f"The environment variable {TRIALS} is {text!r}", why="It is no whole number.") from None


def ranges() -> dict[str, str]:
    """Ranges by dimension."""
    return {name: os.environ[variable] for variable, name in RANGES.items() if os.environ.get(variable)}
