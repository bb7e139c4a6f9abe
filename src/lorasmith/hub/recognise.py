"""From a repository to the facts of its model, by configurations and weight headers alone. No weight is read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core import settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.evidence import Config, Evidence
from lorasmith.core.facts import CacheGroup, ModelFacts, Stack
from lorasmith.families import FAMILIES, Family, Recognition, family_of
from lorasmith.hub.evidence import evidence_of, read_documents
from lorasmith.hub.headers import Tensor
from lorasmith.hub.locate import ModelPlace, locate
from lorasmith.hub.maps import kept_maps, widest_maps
from lorasmith.hub.repository import LocalRepository, Repository
from lorasmith.hub.shape import EXPERT_COUNTS, EXPERTS_USED, cache_groups, max_positions, number
from lorasmith.hub.stacks import stacks_of
from lorasmith.hub.weights import Weights, read_weights

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "U8": "uint8",
    "I8": "int8",
    "F8_E4M3": "float8_e4m3",
}
_HEADS = ("lm_head.weight", "embed_out.weight")
_INPUT_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
_WITHOUT_CACHE = ("encoder-only", "dual-encoder", "diffusion")
_PARTS = ("encoder", "decoder", "text_config", "vision_config", "audio_config")
_LANGUAGE_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")


class Recognised(NamedTuple):
    """Facts with what they were read from."""

    facts: ModelFacts
    evidence: Evidence
    family: Family
    weights: Weights


def know_model(model: str, *, revision: str = "", serving: bool = False) -> ModelFacts:
    """What and where `model` is, however the user called it; a Hub model is fetched. `serving` asks for what can be served."""
    return recognise_place(locate(model, settings.load(), revision=revision), serving=serving)


def recognise_place(place: ModelPlace, *, serving: bool = False) -> ModelFacts:
    """Facts of a model on this machine that is to be loaded. Raises NotFoundProblem where it has no safetensors weights."""
    found = recognise(LocalRepository(place))
    if serving and found.family.call is None:
        kind = found.facts.model_type or found.facts.architecture
        raise UsageProblem(
            f"No handler found for model type: {kind}. This model type is not yet supported.",
            why=f"'{place.id}' is of the family {found.family.name}.",
            fix=f"See what is known of it:  lorasmith check {place.id}",
        )
    if not found.weights.tensors:
        raise NotFoundProblem(
            f"There are no weights in '{place.folder}'",
            why="It holds no *.safetensors file.",
            fix="Save the model with save_pretrained(FOLDER).",
        )
    if not serving and not found.family.can_learn(found.facts):
        raise UsageProblem(
            f"'{place.id}' cannot be trained here yet",
            why=f"It is of the family {found.family.name}, {found.facts.architecture_type}, task {found.facts.task}.",
            fix=f"See what is known of it:  lorasmith check {place.id}",
        )
    return found.facts


def recognise(repository: Repository) -> Recognised:
    """What the model in `repository` is.

    Raises NotFoundProblem (nothing says what it is), UsageProblem (damaged files, an architecture that no family claims).
    """
    documents = read_documents(repository)
    weights, gguf = read_weights(repository, documents)
    evidence = evidence_of(repository, documents, gguf)
    claimed = family_of(evidence)
    if claimed is None:
        seen = (
            ", ".join(evidence.architectures)
            or evidence.model_type
            or f"{evidence.config_file} without model_type or architectures"
        )
        raise UsageProblem(
            "Unsupported model architecture",
            why=f"'{repository.id}' says: {seen}. Families known: {', '.join(FAMILIES.names())}.",
            fix="A family is one file: see docs/how-to/add-a-family.md.",
        )  # fmt: skip
    family, recognition = claimed
    return Recognised(_facts(repository, evidence, family, recognition, weights), evidence, family, weights)


def language_part(config: Config) -> Config:
    """The nested configuration of the half that writes, or the configuration itself."""
    for key in _LANGUAGE_PARTS:
        inner: Any = config.get(key)
        if isinstance(inner, dict):
            return language_part(inner)
    return config


def _facts(
    repository: Repository, evidence: Evidence, family: Family, recognition: Recognition, weights: Weights
) -> ModelFacts:
    config = language_part(evidence.config)
    tensors = {
        f"{part}.{name}".lstrip("."): tensor
        for part, inside in weights.tensors.items()
        for name, tensor in inside.items()
    }
    stacks = stacks_of(evidence.config, frozenset(tensors))
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        counts[_DTYPES.get(tensor.dtype, tensor.dtype.lower())] += tensor.size
    linear = {name: tensor for name, tensor in tensors.items() if family.adapts(name, list(tensor.shape))}
    hidden = number(config, "hidden_size", "n_embd", "d_model", "dim", "embedding_dim", default=0)
    quantization = evidence.config.get("quantization_config") or evidence.config.get("quantization") or {}
    return ModelFacts(
        id=repository.id,
        revision=repository.revision,
        folder=repository.folder,
        family=family.name,
        architecture_type=recognition.architecture_type,
        task=recognition.task,
        primary_library=_primary_library(evidence, family, weights),
        recognised_by=recognition.why,
        model_type=evidence.model_type,
        architecture=(evidence.architectures or (str(evidence.config.get("_class_name", "")),))[0],
        hidden_size=hidden,
        vocab_size=number(config, "vocab_size", default=0),
        max_positions=max_positions(config),
        num_parameters=sum(counts.values()),
        num_active_parameters=_active(tensors, config),
        lookup_parameters=_lookup(tensors, writes=recognition.architecture_type not in _WITHOUT_CACHE),
        parameters_by_dtype=dict(counts),
        weight_bytes=sum(tensor.num_bytes for tensor in tensors.values())
        or sum(repository.files[name] for name in weights.files),
        weight_form=weights.form,
        weight_files=weights.files,
        stacks=stacks,
        widest_maps=widest_maps(evidence.documents),
        kept_maps=kept_maps(evidence.documents),
        cache=[*cache_groups(config), *_across(stacks)] if _writes_on(family, recognition) else [],
        has_experts=any(".experts." in name for name in tensors),
        linear_shapes=[(tensor.shape[0], tensor.shape[1]) for tensor in linear.values()],
        linear_names=[name.removesuffix(".weight") for name in linear],
        targets=list(family.usual_targets) if linear else [],
        text_linear={
            name.removesuffix(".weight"): (tensor.shape[0], tensor.shape[1])
            for name, tensor in tensors.items()
            if family.adapts_texts(name, list(tensor.shape))
        },
        part_types=_part_types(evidence),
        stored_dtype=_stored(tensors),
        quantization=str(quantization.get("quant_method") or "quantized") if quantization else "",
    )


def _part_types(evidence: Evidence) -> list[str]:
    parts: list[Any] = [evidence.config.get(key) for key in _PARTS]
    return [str(part["model_type"]) for part in parts if isinstance(part, dict) and part.get("model_type")]


def _lookup(tensors: dict[str, Tensor], *, writes: bool) -> int:
    """Parameters of the input's embeddings; 0 where the head is the same tensor."""
    if writes and not any(name.endswith(_HEADS) for name in tensors):
        return 0
    return max((tensor.size for name, tensor in tensors.items() if name.endswith(_INPUT_EMBEDDINGS)), default=0)


def _writes_on(family: Family, recognition: Recognition) -> bool:
    """Whether it answers piece by piece and keeps what it has read: a DETR has a decoder too, and answers at once."""
    return recognition.architecture_type not in _WITHOUT_CACHE and family.name != "vision"


def _across(stacks: list[Stack]) -> list[CacheGroup]:
    """Keys and values of what an encoder read, kept by each layer of the decoder that looks across to it."""
    return [
        CacheGroup(count=one.layers, per_token=0 if one.across else 2 * one.keys, state=2 * one.keys * one.across)
        for one in stacks
        if one.across is not None
    ]


def _primary_library(evidence: Evidence, family: Family, weights: Weights) -> str:
    if weights.form == "gguf":
        return "llama.cpp"
    if weights.form == "mlx" or "mlx" in evidence.tags or evidence.has("quantization"):
        return "mlx"
    if "modules.json" in evidence.documents:
        return "sentence-transformers"
    return "timm" if evidence.has("pretrained_cfg") else family.primary_library


def _active(tensors: dict[str, Tensor], config: Config) -> int:
    """Parameters that one token meets: of each layer's experts only those that its router chooses."""
    total = sum(tensor.size for tensor in tensors.values())
    experts, used = number(config, *EXPERT_COUNTS, default=0), number(config, *EXPERTS_USED, default=0)
    if not experts or not used:
        return total
    routed = sum(tensor.size for name, tensor in tensors.items() if ".experts." in name or "_exps." in name)
    return total - routed + routed * used // experts


def _stored(tensors: dict[str, Tensor]) -> str:
    if not tensors:
        return ""
    largest = max(tensors.values(), key=lambda tensor: tensor.size)
    return _DTYPES.get(largest.dtype, largest.dtype.lower())


def recognise_folder(folder: Path) -> ModelFacts:
    """Facts of the model in a folder that is to be loaded."""
    return recognise_place(ModelPlace(folder, folder.name))
