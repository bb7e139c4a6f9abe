"""The model in whose folder this file lies, for your own Python code. Run it with `.venv/bin/python`.

from model_loader import load
model = load()                  # as config.yaml says; or load(dtype="bfloat16", device="cuda")
"""

from pathlib import Path
from typing import Any

from lorasmith.workers.load import load_installed


def load(**changes: Any) -> Any:
    """The model, loaded as its config.yaml says but for `changes`: dtype, device, quantization."""
    return load_installed(Path(__file__).resolve().parent, **changes)
