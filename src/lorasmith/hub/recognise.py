"""From a model folder to its facts, by configuration and safetensors headers alone. No weight is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from lorasmith.core import settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.families import FAMILIES
from lorasmith.hub.locate import locate

_MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit, https://huggingface.co/docs/safetensors
_ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I8": 1,
    "U8": 1,
}
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`. Raises NotFoundProblem without one, UsageProblem where it is broken."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundProblem(
            f"No configuration found: '{folder}' has no config.json",
            why="A model folder holds config.json, tokenizer.json and *.safetensors.",
            fix="Name the folder that holds them.",
        ) from error
    except (OSError, ValueError) as error:
        raise UsageProblem(f"'{path}' cannot be read", why=f"{error}.") from error
    if not isinstance(config, dict):
        raise UsageProblem(f"'{path}' holds no configuration")
    return config


def read_header(path: Path) -> dict[str, Any]:
    """Tensor names with dtype, shape and offsets of one safetensors file. Raises UsageProblem where it is damaged."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise UsageProblem(f"The weight file '{path}' is damaged", why=f"{error}.") from error
    header.pop("__metadata__", None)
    return header


def know_model(model: str, *, revision: str = "") -> ModelFacts:
    """What and where `model` is, however the user called it. Raises what `locate` and `recognise` raise."""
    place = locate(model, settings.load(), revision=revision)
    return recognise(place.folder, model_id=place.id, revision=place.revision)


def recognise(folder: Path, *, model_id: str = "", revision: str = "") -> ModelFacts:
    """What the model in `folder` is. Raises NotFoundProblem (no configuration, no weights), UsageProblem (unknown kind)."""
    config = read_config(folder)
    family = next((family for family in FAMILIES.all() if family.recognises(config)), None)
    if family is None:
        seen = ", ".join(config.get("architectures") or [config.get("model_type", "nothing known")])
        raise UsageProblem(
            "Unsupported model architecture",
            why=f"'{folder}' says: {seen}. Families known so far: {', '.join(FAMILIES.names())}.",
            fix="A family is one file in lorasmith/families.",
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise NotFoundProblem(
            f"There are no weights in '{folder}'", why="It holds no *.safetensors file.",
            fix="Save the model with save_pretrained(FOLDER).",
        )  # fmt: skip
    tensors = {name: tensor for file in files for name, tensor in read_header(file).items()}
    shapes = {name: tensor["shape"] for name, tensor in tensors.items()}
    counts = {name: _count(shape) for name, shape in shapes.items()}
    heads = _get(config, "num_attention_heads", "n_head", default=1)
    hidden = _get(config, "hidden_size", "n_embd", "d_model", default=0)
    largest = max(tensors.values(), key=lambda tensor: _count(tensor["shape"]))
    return ModelFacts(
        id=model_id or folder.name,
        revision=revision,
        folder=folder,
        family=family.name,
        model_type=config.get("model_type", ""),
        architecture=(config.get("architectures") or [""])[0],
        hidden_size=hidden,
        intermediate_size=_get(config, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
        num_layers=_get(config, "num_hidden_layers", "n_layer", default=1),
        num_heads=heads,
        num_kv_heads=_get(config, "num_key_value_heads", default=heads),
        vocab_size=_get(config, "vocab_size", default=0),
        max_positions=_get(config, "max_position_embeddings", "n_positions", default=2048),
        num_parameters=sum(counts.values()),
        weight_bytes=sum(counts[name] * _ITEM_BYTES.get(tensor["dtype"], 4) for name, tensor in tensors.items()),
        has_experts=any(".experts." in name for name in shapes),
        linear_shapes=family.linear_shapes(shapes),
        stored_dtype=_DTYPES.get(largest["dtype"], str(largest["dtype"]).lower()),
    )


def _count(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _get(config: dict[str, Any], *keys: str, default: int) -> int:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), default)
