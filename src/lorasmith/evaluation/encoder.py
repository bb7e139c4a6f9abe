"""Which models compare answers with right ones: those that are named, else, for BERTScore, one for their language (EVA-2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lorasmith.core import settings
from lorasmith.core.errors import EnvironmentProblem, NotFoundProblem, UsageProblem
from lorasmith.core.paths import read_json
from lorasmith.data.languages import mix_of
from lorasmith.hub.locate import locate

ENGLISH, ANY_LANGUAGE = "FacebookAI/roberta-large", "google-bert/bert-base-multilingual-cased"
CLIP = "openai/clip-vit-base-patch32"
_LAYERS = {ENGLISH: 17, ANY_LANGUAGE: 9}
"""The layers that agree best with people, from bert-score's own table (`model2layers`)."""
_DEPTH = 0.72
"""Of an encoder's layers, where none is named: the table's encoders lie between 0.7 and 0.75."""
_MOSTLY = 0.9


class Encoder(NamedTuple):
    """A folder with an encoder, and how many of its layers are gone through."""

    folder: Path
    layers: int
    name: str


def choose_clip(asked: str) -> Path:
    """The folder of the model that compares pictures with texts.

    Raises EnvironmentProblem where it can neither be found nor fetched, UsageProblem for a model that does not.
    """
    name = asked or CLIP
    try:
        folder = locate(name, settings.load()).folder
    except (EnvironmentProblem, NotFoundProblem) as problem:
        raise EnvironmentProblem(
            f"The model '{name}', which compares pictures with texts, cannot be had", why=str(problem).splitlines()[0] + ".",
            fix="Name one that is here:  --clip-model FOLDER   (a CLIP, a SigLIP)",
        ) from problem  # fmt: skip
    if not {"text_config", "vision_config"} <= read_json(folder / "config.json").keys():
        raise UsageProblem(
            f"'{name}' does not compare pictures with texts", why="Its config.json names no text_config and vision_config.",
            fix="Name a CLIP or a SigLIP:  --clip-model openai/clip-vit-base-patch32",
        )  # fmt: skip
    return folder


def choose_encoder(asked: str, layers: int | None, texts: Sequence[str]) -> Encoder:
    """The encoder that is `asked` for, or the one for the language of `texts`.

    Raises EnvironmentProblem where it can neither be found nor fetched, UsageProblem for a folder without an encoder.
    """
    name = asked or (ENGLISH if mix_of(list(texts)).get("English", 0) >= _MOSTLY else ANY_LANGUAGE)
    try:
        folder = locate(name, settings.load()).folder
    except (EnvironmentProblem, NotFoundProblem) as problem:
        raise EnvironmentProblem(
            f"BERTScore's encoder '{name}' cannot be had", why=str(problem).splitlines()[0] + ".",
            fix="Name one that is here:  --bertscore-model FOLDER   (any encoder's folder; --bertscore-layers N for its depth)",
        ) from problem  # fmt: skip
    try:
        deep = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageProblem(
            f"'{name}' is no encoder that BERTScore can use", why="Its config.json names no num_hidden_layers."
        ) from None
    chosen = layers or _LAYERS.get(name) or max(1, round(_DEPTH * deep))
    if chosen > deep:
        raise UsageProblem(f"'{name}' has {deep} layers, not {chosen}", fix=f"At most:  --bertscore-layers {deep}")
    return Encoder(folder, chosen, name)
