"""Models of sentence-transformers: by the transformer and the pooling that `modules.json` names, and by that package where they
have other parts. Worker plane only."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.families._transformers import TransformersFamily, keep_layout, load_options, read_processor, untrusted

PACKAGE = "sentence_transformers"
_POOLINGS = ("cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean")
_LENGTHS = "sentence_bert_config.json"
_PROMPTS = "config_sentence_transformers.json"


class Habits(NamedTuple):
    """What the files of such a model say of how texts become vectors."""

    pooling: str
    normalizes: bool = False
    pools_prompt: bool = True
    most_tokens: int | None = None
    lowercases: bool = False
    prompts: dict[str, str] = {}  # noqa: RUF012  a NamedTuple's default, which nobody changes
    default_prompt_name: str = ""


class SentenceModel:
    """A transformer with its pooling: one vector for each text."""

    def __init__(self, model: Any, tokenizer: Any, habits: Habits):
        self.model = model
        self.tokenizer = tokenizer
        self.habits = habits
        self.made_up_weights: list[str] = model.made_up_weights

    def encode(self, texts: list[str]) -> Any:
        """Vectors of a few short `texts`, of shape (texts, size)."""
        return self.vectors(self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))

    def vectors(self, inputs: Any, prompt: str = "") -> Any:
        """Vectors of tokens padded on either side, of shape (texts, size); `prompt` is what the texts begin with."""
        import torch

        from lorasmith.families._probes import for_model

        with torch.inference_mode():
            hidden = body(self.model)(**for_model(self.model, inputs))[0].float()
            mask = inputs["attention_mask"].to(hidden.device)
            if prompt and not self.habits.pools_prompt:
                mask = mask * (mask.cumsum(1) > self._length_of(prompt))
            pooled = pool(hidden, mask, self.habits.pooling)
            return torch.nn.functional.normalize(pooled) if self.habits.normalizes else pooled

    def _length_of(self, prompt: str) -> int:
        """Tokens of the prompt, without what ends a text."""
        ids = self.tokenizer(prompt)["input_ids"]
        ends = {self.tokenizer.eos_token_id, self.tokenizer.sep_token_id}
        return len(ids) - (bool(ids) and ids[-1] in ends)


def body(model: Any) -> Any:
    """What is below a head that guesses hidden words; of other models the model itself."""
    from lorasmith.families._transformers import takes

    return model.base_model if "labels" in takes(model) else model


def pool(hidden: Any, mask: Any, pooling: str) -> Any:
    """One vector of each text's: `hidden` is of shape (texts, tokens, size), `mask` (texts, tokens) is 1 where a token counts.

    As `sentence_transformers.models.Pooling` does it.
    """
    import torch

    counts = mask[..., None].to(hidden.dtype)
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[None, :] * mask
    if pooling == "max":
        return hidden.masked_fill(counts == 0, -torch.inf).amax(1)
    if pooling in ("cls", "lasttoken"):
        chosen = mask.int().argmax(1) if pooling == "cls" else places.argmax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), chosen]
    weights = (places - mask.int().argmax(1)[:, None] * mask)[..., None] if pooling == "weightedmean" else counts
    total = weights.sum(1).clamp(min=1e-9)
    return (hidden * weights).sum(1) / (total.sqrt() if pooling == "mean_sqrt_len_tokens" else total)


def load_sentences(family: TransformersFamily, folder: Path, how: dict[str, Any]) -> Any:
    """A SentenceModel of a transformer and its pooling; of other parts a SentenceTransformer. `how` as `Family.load` is told it.

    Raises UsageProblem where a module is code of the repository that is not trusted, EnvironmentProblem where only the package
    knows what to do with one.
    """
    modules: list[dict[str, str]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module in modules:  # the package itself would import code of a local folder unasked
        if not module["type"].startswith(f"{PACKAGE}.") and not how["trust_remote_code"]:
            raise untrusted(folder, module["type"])
    first, *others = modules
    habits = _habits(folder, first, others)
    if not first["type"].endswith(".Transformer") or habits is None:
        if importlib.util.find_spec(PACKAGE):
            return _by_package(folder, how)
        kinds = ", ".join(module["type"].rsplit(".", 1)[-1] for module in modules)
        raise EnvironmentProblem(
            "The model cannot be loaded: a package is missing: sentence-transformers",
            why=f"It is made of {kinds}.", fix="pip install sentence-transformers",
        )  # fmt: skip
    inner = folder / first["path"]
    model = TransformersFamily.load(family, inner, **how)
    tokenizer = read_processor("AutoTokenizer", inner, model, trust_remote_code=how["trust_remote_code"])
    return SentenceModel(model, tokenizer, habits)


def _by_package(folder: Path, how: dict[str, Any]) -> Any:
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

    options = load_options(how["dtype"], how["device"], how["quantization"])
    trust = how["trust_remote_code"]
    return keep_layout(
        SentenceTransformer(
            str(folder), device=how["device"], local_files_only=True, trust_remote_code=trust, model_kwargs=options
        )
    )


def _habits(folder: Path, first: dict[str, str], modules: list[dict[str, str]]) -> Habits | None:
    """What is done with the tokens' vectors, and before; None where that is not known here."""
    found: Habits | None = None
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            said = _read(folder / module["path"] / "config.json")
            # Until version 5 one field for each way.
            flags = [key.removeprefix("pooling_mode_") for key in said if key.startswith("pooling_mode_") and said[key]]
            ways = [said["pooling_mode"]] if "pooling_mode" in said else [_OLD_NAMES.get(flag, flag) for flag in flags]
            if len(ways) != 1 or ways[0] not in _POOLINGS:
                return None
            found = Habits(ways[0], pools_prompt=said.get("include_prompt", True))
        elif kind != "Normalize" or found is None:
            return None
        else:
            found = found._replace(normalizes=True)
    return found and _with_texts(found, _read(folder / first["path"] / _LENGTHS), _read(folder / _PROMPTS))


_OLD_NAMES = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean", "weightedmean_tokens": "weightedmean"}


def _with_texts(habits: Habits, lengths: dict[str, Any], prompts: dict[str, Any]) -> Habits:
    return habits._replace(
        most_tokens=lengths.get("max_seq_length"), lowercases=bool(lengths.get("do_lower_case")),
        prompts={"query": "", "document": "", **(prompts.get("prompts") or {})},
        default_prompt_name=prompts.get("default_prompt_name") or "",
    )  # fmt: skip


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
