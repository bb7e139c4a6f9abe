"""Reads what says what a model is: configurations in their order (CHK-2), tokenizer and processor files, headers. No weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.evidence import Config, Evidence
from lorasmith.hub.headers import Gguf
from lorasmith.hub.repository import Repository

# Other names that a model's configuration goes by, in the order in which they are believed.
_OTHER_CONFIGS = ("llm_config.json", "model_config.json")
_ARCHITECTURE_KEYS = ("model_type", "hidden_size", "num_layers", "num_hidden_layers", "vocab_size", "architectures")
_SERVICE_KEYS = ("api_key", "base_url", "endpoint")
_SMALL_DOCUMENTS = (
    "tokenizer_config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json", "modules.json",
    "adapter_config.json", "config_sentence_transformers.json", "special_tokens_map.json", "quantize_config.json",
)  # fmt: skip
_MAX_SMALL = 5 * 2**20
_COMPONENT_CONFIG = re.compile(r"[\w.-]+/(config|scheduler_config|tokenizer_config|preprocessor_config)\.json")
# Old GPT-2-like names of what GGUF calls by its architecture's prefix.
_GGUF_KEYS = {
    "embedding_length": "hidden_size", "block_count": "num_hidden_layers", "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
    "context_length": "max_position_embeddings",
    "attention.key_length": "head_dim", "expert_count": "num_experts", "expert_used_count": "num_experts_per_tok",
    "ssm.state_size": "ssm_state_size", "attention.sliding_window": "sliding_window", "vocab_size": "vocab_size",
}  # fmt: skip
_GGUF_ENCODERS = (
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "jina-bert-v2",
    "neo-bert",
    "modern-bert",
    "gemma-embedding",
    "t5encoder",
)


def read_documents(repository: Repository) -> dict[str, Config]:
    """Every small JSON file that says something, by name. Raises UsageProblem where the configuration is broken."""
    names = [name for name in repository.files if _is_wanted(name, repository.files[name])]
    documents: dict[str, Config] = {}
    for name, text in repository.read_many(names).items():
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if name in {"config.json", "model_index.json"}:
                raise UsageProblem(
                    f"'{name}' of '{repository.id}' is no JSON",
                    why=f"{_page_or(error, text)}.",
                    fix="Fetch the file again.",
                ) from error
            continue
        if isinstance(value, dict):
            documents[name] = value
        elif isinstance(value, list):
            documents[name] = {"modules": value}
    return documents


def _page_or(error: Exception, text: bytes) -> str:
    """What stands in place of the JSON."""
    return "A web page came in its place" if text.lstrip()[:1] == b"<" else str(error)


def _is_wanted(name: str, size: int) -> bool:
    if size > _MAX_SMALL:
        return False
    root = "/" not in name
    return (
        name == "model_index.json"
        or name in _SMALL_DOCUMENTS
        or (root and name.endswith("config.json"))
        or bool(_COMPONENT_CONFIG.fullmatch(name))
    )


def choose_config(documents: dict[str, Config]) -> tuple[str, Config]:
    """Name and content of the configuration that says what the model is (CHK-2); empty without one."""
    for name in ("model_index.json", "config.json"):
        if name in documents and (name != "model_index.json" or "_class_name" in documents[name]):
            return name, documents[name]
    others = [
        name for name in documents if name.endswith("config.json") and "/" not in name and name not in _SMALL_DOCUMENTS
    ]
    for name in sorted(
        others, key=lambda name: (_OTHER_CONFIGS.index(name) if name in _OTHER_CONFIGS else len(_OTHER_CONFIGS), name)
    ):
        config = documents[name]
        if any(key in config for key in _ARCHITECTURE_KEYS) and not any(key in config for key in _SERVICE_KEYS):
            return name, config
    return "", {}


def gguf_as_config(gguf: Gguf) -> dict[str, Any]:
    """GGUF metadata in transformers' words, so that one set of rules reads both."""
    kind = str(gguf.metadata.get("general.architecture", ""))
    config: dict[str, Any] = {"model_type": kind}
    for key, word in _GGUF_KEYS.items():
        value = gguf.metadata.get(f"{kind}.{key}")
        if isinstance(value, list):
            value = max(value, default=0)
        if value is not None:
            config[word] = value
    tokens = gguf.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, int) and "vocab_size" not in config:
        config["vocab_size"] = tokens
    if kind in _GGUF_ENCODERS:
        config["architectures"] = ["GgufEncoderModel"]
    elif kind in ("clip", "mmproj"):
        config["architectures"] = ["GgufVisionProjectorModel"]
    elif kind in ("t5", "bart"):
        config |= {"architectures": ["GgufForConditionalGeneration"], "is_encoder_decoder": True}
    else:
        config["architectures"] = ["GgufForCausalLM"]
    return config


def evidence_of(repository: Repository, documents: dict[str, Config], gguf: Gguf | None) -> Evidence:
    """All that the families look at. Raises NotFoundProblem where nothing says what the model is."""
    name, config = choose_config(documents)
    if not config and gguf is not None:
        name, config = "(GGUF header)", gguf_as_config(gguf)
    if not config and "modules.json" in documents:
        name, config = "modules.json", documents["modules.json"]
    if not config:
        raise NotFoundProblem(
            f"No configuration files found in '{repository.id}'", why=_what_is_there(repository.files),
            fix="A model has config.json, model_index.json, adapter_config.json or a GGUF file. Is this the right folder?",
        )  # fmt: skip
    return Evidence(
        config=config, config_file=name, files=repository.files, documents=documents, tags=repository.tags,
        pipeline_tag=repository.pipeline_tag,
    )  # fmt: skip


def _what_is_there(names: Iterable[str]) -> str:
    seen = sorted(names)
    return f"It holds {', '.join(seen[:6])}{' …' if len(seen) > 6 else ''}." if seen else "It is empty."


def adapter_base(repository: Repository) -> str:
    """The model that a repository's LoRA adapter was trained on; empty where the repository is no lone adapter.

    Raises UsageProblem where an adapter does not say it.
    """
    if "adapter_config.json" not in repository.files or "config.json" in repository.files:
        return ""
    try:
        config = json.loads(repository.read("adapter_config.json"))
        base = config["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageProblem(
            f"'{repository.id}' is an adapter that does not name its base", fix="Check its base model instead."
        ) from error
    return str(base)
