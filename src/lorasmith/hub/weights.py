"""Which weight files would really be loaded: one format, no duplicates (INS-5), and the tensors in them by their headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from lorasmith.core.evidence import Config
from lorasmith.hub.headers import DamagedHeader, Gguf, Read, Tensor, damaged, gguf_header, safetensors_header
from lorasmith.hub.repository import SIDE_BY_SIDE, Repository, reading

_WEIGHT_SUFFIXES = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".gguf",
    ".npz",
    ".h5",
    ".msgpack",
    ".onnx",
    ".tflite",
    ".ot",
    ".nemo",
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
# Folders that hold the same weights once more in another form.
_COPIES = ("original/", "onnx/", "openvino/", "coreml/", "flax/", "tf/", "metal/", "checkpoint-", "runs/")
_NOT_WEIGHTS = re.compile(
    r"(training_args|optimizer|scheduler|rng_state|trainer_state|scaler|random_states)[\w.-]*\.(bin|pt|pth)$"
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_VARIANT = re.compile(r"\.(fp16|fp32|bf16|non_ema|ema)(?=[.-])")


_KEPT_SUFFIXES = (
    ".json",
    ".txt",
    ".jinja",
    ".model",
    ".py",
    ".yaml",
    ".spm",
    ".tiktoken",
    ".vocab",
    ".bpe",
    "LICENSE",
    "LICENSE.md",
)
# Folders of a pipeline or a sentence-transformers model that hold no weights of their own.
_SMALL_FOLDERS = (
    "tokenizer",
    "tokenizer_2",
    "tokenizer_3",
    "scheduler",
    "feature_extractor",
    "image_processor",
    "processor",
)


_MODULE_FOLDER = re.compile(r"\d+_\w+")  # of a sentence-transformers model: 1_Pooling, 2_Dense
H = TypeVar("H")


class Weights(NamedTuple):
    """The weight files that would be loaded. `form` is safetensors, pickle, gguf, mlx or empty."""

    form: str
    files: list[str]
    tensors: dict[str, dict[str, Tensor]]
    """Tensors by component (empty for the root) and name; empty where no header can be read."""


def is_weight(name: str) -> bool:
    return name.endswith(_WEIGHT_SUFFIXES) and not _NOT_WEIGHTS.search(name)


def is_pickle(name: str) -> bool:
    return name.endswith(_PICKLES)


def choose_weights(repository: Repository, documents: dict[str, Config]) -> tuple[str, list[str]]:
    """Form and names of the weight files that would be loaded."""
    names = [name for name in repository.files if is_weight(name) and not name.startswith(_COPIES)]
    index = documents.get("model_index.json")
    if index is not None:
        components = {key for key, value in index.items() if isinstance(value, list) and any(value)}
        inside = [name for name in names if name.split("/")[0] in components]
        safe = [
            name
            for part in sorted(components)
            for name in _one_variant([n for n in inside if n.startswith(f"{part}/") and n.endswith(".safetensors")])
        ]
        return ("safetensors", safe) if safe else ("pickle", _one_variant([name for name in inside if is_pickle(name)]))
    root = [name for name in names if "/" not in name]
    for stem, form in (
        ("model", "safetensors"),
        ("diffusion_pytorch_model", "safetensors"),
        ("adapter_model", "safetensors"),
        ("", "safetensors"),
    ):
        found = [name for name in root if name.endswith(".safetensors") and name.startswith(stem)]
        if not stem:
            found = [name for name in found if not name.startswith(("consolidated", "adapter_"))] or found
        if found:
            return form, _one_variant(found)
    for suffixes, form in (((".npz",), "mlx"), ((".gguf",), "gguf"), (_PICKLES, "pickle")):
        found = [name for name in root if name.endswith(suffixes)]
        if form == "gguf" and found:
            return form, _one_gguf(repository, found)
        if found:
            return form, _one_variant(found)
    deeper = [name for name in names if name.endswith(".gguf")]
    return ("gguf", _one_gguf(repository, deeper)) if deeper else ("", [])


def _one_variant(names: list[str]) -> list[str]:
    """The plain variant, shards before one file of the same weights."""
    plain = [name for name in names if not _VARIANT.search(name)] or names
    shards = [name for name in plain if _SHARD.search(name)]
    whole = [name for name in plain if not _SHARD.search(name)]
    return sorted(whole or shards) if not shards or len(shards) == 1 else sorted(shards)


def _one_gguf(repository: Repository, names: list[str]) -> list[str]:
    """Of several quantizations the one in the middle that is most used: Q4_K_M, else the smallest; all its parts."""
    language = [name for name in names if "mmproj" not in name.lower()] or names
    best = next(
        (name for name in sorted(language) if "q4_k_m" in name.lower()),
        min(language, key=lambda name: repository.files[name]),
    )
    if not _SHARD.search(best):
        return [best]
    return sorted(name for name in names if _SHARD.sub("", name) == _SHARD.sub("", best))


def read_weights(repository: Repository, documents: dict[str, Config]) -> tuple[Weights, Gguf | None]:
    """Headers of the chosen files, side by side. Raises UsageProblem where one is damaged."""
    form, names = choose_weights(repository, documents)
    if form == "gguf":
        heads = _read_all(repository, names, gguf_header)
        merged = {tensor: facts for head in heads for tensor, facts in head.tensors.items()}
        return Weights(form, names, {"": merged}), heads[0]
    if form != "safetensors":
        return Weights(form, names, {}), None
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, header in zip(names, _read_all(repository, names, safetensors_header), strict=True):
        component = name.rpartition("/")[0]
        tensors.setdefault(component, {}).update(header)
    return Weights(form, names, tensors), None


def _read_all(repository: Repository, names: list[str], reader: Callable[[Read, int], H]) -> list[H]:
    def one(name: str) -> H:
        try:
            return reader(*reading(repository, name))
        except DamagedHeader as error:
            raise damaged(name, error) from error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(one, names))


__all__ = ["Weights", "choose_weights", "is_pickle", "is_weight", "read_weights"]


def installed_files(repository: Repository, weights: Weights) -> dict[str, int]:
    """What an installation would fetch, with sizes: the chosen weights, all configurations, tokenizers and processors."""
    chosen = set(weights.files)
    inside = {name.split("/")[0] for name in weights.files if "/" in name}

    def wanted(name: str) -> bool:
        if name in chosen:
            return True
        if is_weight(name) or name.startswith(_COPIES) or name.rsplit("/", maxsplit=1)[-1].startswith("."):
            return False
        folder = name.split("/", maxsplit=1)[0] if "/" in name else ""
        in_place = not folder or folder in inside or folder in _SMALL_FOLDERS or bool(_MODULE_FOLDER.fullmatch(folder))
        return in_place and name.endswith(_KEPT_SUFFIXES)

    return {name: size for name, size in repository.files.items() if wanted(name)}
