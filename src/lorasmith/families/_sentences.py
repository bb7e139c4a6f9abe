"""Models of sentence-transformers: by that package where it is installed, otherwise by the transformer and the pooling that
`modules.json` names. Worker plane only."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.families._transformers import TransformersFamily, load_options, read_processor, untrusted

PACKAGE = "sentence_transformers"
_POOLINGS = ("cls", "lasttoken", "max", "mean")


class SentenceModel:
    """A transformer with its pooling: one vector for each text."""

    def __init__(self, model: Any, tokenizer: Any, pooling: str):
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.made_up_weights: list[str] = model.made_up_weights

    def encode(self, texts: list[str]) -> Any:
        """Vectors of `texts`, of shape (texts, size)."""
        import torch

        from lorasmith.families._probes import for_model

        with torch.inference_mode():
            read = self.tokenizer(texts, padding=True, return_tensors="pt")
            hidden = self.model(**for_model(self.model, read))[0].float()
        mask = read["attention_mask"].to(hidden.device)[..., None].bool()
        if self.pooling == "mean":
            return (hidden * mask).sum(1) / mask.sum(1)
        if self.pooling == "max":
            return hidden.masked_fill(~mask, -torch.inf).amax(1)
        places = torch.arange(hidden.shape[1], device=hidden.device)[None, :, None] * mask
        chosen = places.amax(1) if self.pooling == "lasttoken" else (mask.int().argmax(1))
        return hidden[torch.arange(len(texts)), chosen[:, 0]]


def load_sentences(family: TransformersFamily, folder: Path, how: dict[str, Any]) -> Any:
    """A SentenceTransformer, or a SentenceModel without that package; `how` as `Family.load` is told it.

    Raises UsageProblem where a module is code of the repository that is not trusted, EnvironmentProblem where only the package
    knows what to do with one.
    """
    modules: list[dict[str, str]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module in modules:  # the package itself would import code of a local folder unasked
        if not module["type"].startswith(f"{PACKAGE}.") and not how["trust_remote_code"]:
            raise untrusted(folder, module["type"])
    if importlib.util.find_spec(PACKAGE):
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

        options = load_options(how["dtype"], how["device"], how["quantization"])
        trust = how["trust_remote_code"]
        return SentenceTransformer(
            str(folder), device=how["device"], local_files_only=True, trust_remote_code=trust, model_kwargs=options
        )
    first, *others = modules
    pooling = _pooling(folder, others)
    if not first["type"].endswith(".Transformer") or not pooling:
        kinds = ", ".join(module["type"].rsplit(".", 1)[-1] for module in modules)
        raise EnvironmentProblem(
            "The model cannot be loaded: a package is missing: sentence-transformers",
            why=f"It is made of {kinds}.", fix="pip install sentence-transformers",
        )  # fmt: skip
    inner = folder / first["path"]
    model = TransformersFamily.load(family, inner, **how)
    tokenizer = read_processor("AutoTokenizer", inner, model, trust_remote_code=how["trust_remote_code"])
    return SentenceModel(model, tokenizer, pooling)


def _pooling(folder: Path, modules: list[dict[str, str]]) -> str:
    """How one vector is made of all tokens'; empty where it is done in a way that is not known here."""
    found = ""
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            said = json.loads((folder / module["path"] / "config.json").read_text(encoding="utf-8"))
            # Until version 5 one field for each way.
            flags = [key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for key in said
                     if key.startswith("pooling_mode_") and said[key]]  # fmt: skip
            ways = [said["pooling_mode"]] if "pooling_mode" in said else flags
            found = ways[0] if len(ways) == 1 and ways[0] in _POOLINGS else ""
        elif kind != "Normalize":
            return ""
    return found
