"""Which types of model transformers has itself, without code from a repository. Made by scripts/native_types.py."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def native_types() -> frozenset[str]:
    """Every `model_type` that transformers knows."""
    return frozenset(
        resources.files("lorasmith.families").joinpath("native_types.txt").read_text(encoding="utf-8").split()
    )


def is_native(primary_library: str, model_type: str) -> bool:
    """Whether the model can be loaded without code from its repository."""
    return primary_library != "transformers" or model_type in native_types()
