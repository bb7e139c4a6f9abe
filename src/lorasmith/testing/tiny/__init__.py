"""One small real model of each architecture, built from its own configuration in seconds, with its tokenizer or processor (TST-3).

Weights are random: these models are for loading, training, saving and serving code, not for answers worth reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorasmith.core.errors import NotFoundProblem
from lorasmith.core.registry import nearest
from lorasmith.testing.tiny import (
    audio,
    diffusion,
    document,
    embedding,
    language,
    multimodal,
    specialized,
    state_space,
    vision,
)
from lorasmith.testing.tiny._recipe import Recipe
from lorasmith.testing.tiny.diffusion import Pipeline
from lorasmith.testing.tiny.tokenizers import VOCABULARY, tokenizer_files

__all__ = ["DECODERS", "FAMILIES", "NAMES", "VOCABULARY", "build", "names_of", "tokenizer_files"]

_MODELS: dict[str, Mapping[str, Recipe | Pipeline]] = {
    "language": language.MODELS,
    "state_space": state_space.MODELS,
    "multimodal": multimodal.MODELS,
    "document": document.MODELS,
    "embedding": embedding.MODELS,
    "classifier": embedding.CLASSIFIERS,
    "diffusion": diffusion.MODELS,
    "audio": audio.MODELS,
    "vision": vision.MODELS,
    "specialized": specialized.MODELS,
}
FAMILIES = tuple(_MODELS)
NAMES = tuple(name for models in _MODELS.values() for name in models)
DECODERS = tuple(language.DECODERS)
"""Language models that write from left to right with attention alone."""


def names_of(family: str) -> tuple[str, ...]:
    """Names of one family's models. Raises NotFoundProblem for an unknown family."""
    if family not in _MODELS:
        raise NotFoundProblem(f"There are no tiny models of a family '{family}'", why=nearest(family, _MODELS))
    return tuple(_MODELS[family])


def build(name: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """The small model `name` in `folder`: configuration, weights, tokenizer or processor. `changes` go to its configuration.

    Of a pipeline they go to that of its UNet or transformer. Raises NotFoundProblem for an unknown name.
    """
    recipe = next((models[name] for models in _MODELS.values() if name in models), None)
    if recipe is None:
        raise NotFoundProblem(f"There is no tiny model '{name}'", why=nearest(name, NAMES))
    import torch

    torch.manual_seed(seed)
    recipe.write(folder, changes)
    return folder
