"""From a Hugging Face model and a file of examples to a fine-tuned model that answers.

The public verbs are loaded when they are first used, so that importing lorasmith stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lorasmith.flow import check as check
    from lorasmith.flow import doctor as doctor
    from lorasmith.flow import evaluate as evaluate
    from lorasmith.flow import export as export
    from lorasmith.flow import extract as extract
    from lorasmith.flow import install as install
    from lorasmith.flow import train as train
    from lorasmith.flow import tune as tune

__all__ = ["__version__", "check", "doctor", "evaluate", "export", "extract", "install", "train", "tune"]


def __getattr__(name: str) -> Any:
    if name in __all__[1:]:
        from lorasmith import flow

        return getattr(flow, name)
    raise AttributeError(f"module 'lorasmith' has no attribute {name!r}")
