"""Which base an adapter was trained on, and whether this is it (ADP-1). Nothing is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lorasmith.core import settings
from lorasmith.core.errors import UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.paths import read_json
from lorasmith.hub.locate import cached_snapshot, locate_here

MANIFEST_FILE, CONFIG_FILE, WEIGHTS_FILE = "manifest.json", "adapter_config.json", "adapter_model.safetensors"
_BLOCK, _BLOCKS = 4096, 32


def fingerprint(facts: ModelFacts) -> str:
    """Of a model's weights on this machine: SHA-256 over the beginning of each file and 32 blocks of 4 KiB spread over it.

    Two trainings of one model differ everywhere, so that some blocks tell them apart; to read all of 16 GB would take a minute.
    Empty where the model's files are not here.
    """
    if facts.folder is None or not facts.weight_files:
        return ""
    digest = hashlib.sha256()
    try:
        for name in sorted(facts.weight_files):
            with (facts.folder / name).open("rb") as file:
                size = file.seek(0, 2)
                digest.update(f"{name} {size}".encode())
                for number in range(_BLOCKS):
                    file.seek(max(0, size - _BLOCK) * number // (_BLOCKS - 1))
                    digest.update(file.read(_BLOCK))
    except OSError:
        return ""
    return digest.hexdigest()


def base_of(adapter: Path) -> dict[str, str]:
    """`id`, `revision` and `fingerprint` of the base of the adapter in a folder, and `quantization`, how its weights are stored
    where they are not whole; as far as the adapter's files tell."""
    told = read_json(adapter / MANIFEST_FILE).get("base")
    told = told if isinstance(told, dict) else {}
    config = read_json(adapter / CONFIG_FILE)
    return {
        "id": str(told.get("id") or config.get("base_model_name_or_path") or ""),
        "revision": str(told.get("revision") or config.get("revision") or ""),
        "fingerprint": str(told.get("fingerprint") or ""),
        "quantization": str(told.get("quantization") or ""),
    }


def is_quantized_form(adapter: Path, facts: ModelFacts) -> bool:
    """Whether the adapter was trained on weights that are stored quantized while this model's are whole. That the ones were made
    of the others no file tells. No network."""
    base = base_of(adapter)
    if facts.quantization or facts.weight_form == "gguf":
        return False
    if base["quantization"]:
        return True
    known = settings.load()
    try:
        here = locate_here(base["id"], known)
    except UsageProblem:  # the name is none
        return False
    if here is None and is_hub_id(base["id"]):
        here = cached_snapshot(base["id"], known, base["revision"])
    return here is not None and bool(read_json(here.folder / "config.json").get("quantization_config"))


def require_base(adapter: Path, facts: ModelFacts) -> None:
    """Raises UsageProblem where the adapter was trained on another model, or another revision of it, than this one."""
    base = base_of(adapter)
    if facts.weight_form == "gguf":  # the same weights in another form
        return
    if base["fingerprint"] and (own := fingerprint(facts)):
        if own != base["fingerprint"]:
            raise _another(adapter, base, facts, "Their weights are different.")
        return
    if is_hub_id(base["id"]) and is_hub_id(facts.id) and base["id"].lower() != facts.id.lower():
        raise _another(adapter, base, facts, "")
    if _is_commit(base["revision"]) and _is_commit(facts.revision) and base["revision"] != facts.revision:
        raise _another(adapter, base, facts, "")


def _another(adapter: Path, base: dict[str, str], facts: ModelFacts, why: str) -> UsageProblem:
    name = adapter.parent.name if adapter.name == "lora" else adapter.name
    trained, own = _told(base["id"], base["revision"]), _told(facts.id, facts.revision)
    return UsageProblem(
        f"The adapter '{name}' belongs to another base",
        why=f"It was trained on {trained}, and this is {own}. {why}".strip(),
        fix=f"Give the model that it was trained on: {base['id'] or 'it is not named'}.",
    )


def _told(name: str, revision: str) -> str:
    return f"'{name}' at {revision[:10]}" if revision else f"'{name}'"


def is_hub_id(name: str) -> bool:
    """Whether a model's name is one that the Hub knows models by: owner/name."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~"))


def _is_commit(revision: str) -> bool:
    return len(revision) == 40  # else it is a branch, which may have moved
