"""Which packages a model needs, how hard they are to install, and in which formats it can run (CHK-4)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.families import _packages as packages


class Requirement(BaseModel):
    """One package; `note` is empty where pip alone installs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str
    note: str = ""
    kind: packages.Kind = "ordinary"


class Requirements(BaseModel):
    """Packages by how badly they are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: list[Requirement]
    specific: list[Requirement]
    optional: list[Requirement]
    formats: list[str]
    """What it can run in: fp32, fp16, bf16, int8, int4."""
    stored_dtype: str
    quantization: str
    flash_attention: bool
    custom_code: list[str]
    """Files of the repository that would be run; nothing of them runs in a check (CHK-16)."""


def requirements_of(evidence: Evidence, facts: ModelFacts) -> Requirements:
    """The table of packages, applied to one model."""
    base = packages.BASE.get(facts.primary_library, packages.BASE["transformers"])
    specific = [*packages.BY_FAMILY.get(facts.family, ()), *packages.BY_TYPE.get(facts.model_type, ())]
    specific += packages.BY_TASK.get(facts.task, ())
    specific += packages.BY_QUANTIZATION.get(facts.quantization.lower(), ())
    specific = [package for package in specific if package.name not in _needless(evidence)]
    wants_flash = asks_for_flash_attention(evidence)
    runs_torch = "torch" in base
    optional = (
        [packages.FLASH_ATTENTION] if wants_flash or (runs_torch and facts.family in {"language", "multimodal"}) else []
    )
    optional += [packages.XFORMERS] if facts.primary_library == "diffusers" else []
    return Requirements(
        base=[Requirement(package=name) for name in base],
        specific=[_required(package) for package in dict.fromkeys(specific)],
        optional=[_required(package) for package in optional],
        formats=_formats(facts, runs_torch=runs_torch),
        stored_dtype=facts.stored_dtype,
        quantization=facts.quantization,
        flash_attention=wants_flash,
        custom_code=custom_code(evidence),
    )


def _required(package: packages.Package) -> Requirement:
    return Requirement(package=package.name, note=package.note, kind=package.kind)


def _needless(evidence: Evidence) -> set[str]:
    """Packages of a type that this very repository does without."""
    needless: set[str] = set()
    if evidence.part("backbone_config").get("model_type", "timm_backbone") != "timm_backbone":
        needless.add("timm")
    if "tokenizer.json" in evidence.files:
        needless.add("sentencepiece")
    return needless


def asks_for_flash_attention(evidence: Evidence) -> bool:
    config = evidence.config
    return str(config.get("_attn_implementation", "")).startswith("flash") or any(
        config.get(key) is True for key in ("use_flash_attention_2", "use_flash_attn", "use_flash_attention")
    )


def custom_code(evidence: Evidence) -> list[str]:
    """Python files that the configurations ask to run, or their references where they lie in another repository."""
    asked: dict[str, None] = {}
    for document in (evidence.config, *evidence.documents.values()):
        mapping = document.get("auto_map")
        values = mapping.values() if isinstance(mapping, dict) else ()
        for value in values:
            for reference in value if isinstance(value, list) else [value]:
                if isinstance(reference, str):
                    module = reference.rpartition("--")[2].split(".")[0]
                    asked[
                        f"{module}.py" if "--" not in reference else f"{reference.partition('--')[0]}: {module}.py"
                    ] = None
    return list(asked)


def _formats(facts: ModelFacts, *, runs_torch: bool) -> list[str]:
    if facts.quantization:
        return [facts.quantization]
    if not runs_torch:
        return [facts.stored_dtype]
    quantizable = facts.family in {
        "language",
        "state_space",
        "multimodal",
        "classifier",
        "embedding",
        "document",
        "audio",
        "vision",
    }
    return ["fp32", "fp16", "bf16", *(["int8", "int4"] if quantizable else [])]
