"""What is known of an adapter on disk, by its own files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core.paths import read_json
from lorasmith.hub.bases import CONFIG_FILE, MANIFEST_FILE, WEIGHTS_FILE, base_of
from lorasmith.hub.headers import DamagedHeader, Tensor, safetensors_header

_SCORES = ("val_loss", "best_val_loss", "train_loss")


class AdapterFacts(BaseModel):
    """One adapter. Size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: Path
    """That with `adapter_config.json`."""
    base: str
    revision: str
    kind: str
    """PEFT's type in small letters: lora, loha, ia3 …"""
    method: str
    """How it was trained: lora, qlora …; empty where that is not known."""
    rank: int | None
    alpha: float | None
    targets: tuple[str, ...]
    """Last names of the layers that it adapts."""
    num_parameters: int
    num_bytes: int
    created: datetime
    origin: str
    """`trained`, `imported`, `combined`, `resized`, or `found` where nothing says."""
    parents: tuple[str, ...]
    """The adapters or the file that it was made of."""
    scores: dict[str, float]
    troubles: tuple[str, ...]


def adapter_facts(folder: Path, *, name: str = "") -> AdapterFacts:
    """Of the adapter in `folder`; what is wrong with its files is told, not raised."""
    config, manifest = read_json(folder / CONFIG_FILE), read_json(folder / MANIFEST_FILE)
    tensors, troubles = _tensors(folder)
    if not config:
        troubles.append(f"{CONFIG_FILE} cannot be read")
    base = base_of(folder)
    figures = manifest.get("final_metrics") or {}
    made = manifest.get("made") or {}
    return AdapterFacts(
        name=name or (folder.parent.name if folder.name == "lora" else folder.name), folder=folder, base=base["id"],
        revision=base["revision"], kind=str(config.get("peft_type", "?")).lower(), method=_method(manifest),
        rank=_number(config.get("r")), alpha=_number(config.get("lora_alpha")), targets=_targets(tensors),
        num_parameters=sum(one.size for one in tensors.values()),
        num_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        created=datetime.fromtimestamp((folder / CONFIG_FILE).stat().st_mtime, UTC),
        origin=str(made.get("how") or ("trained" if "parameters" in manifest else "found")),
        parents=tuple(map(str, made.get("of") or ())), troubles=tuple(troubles),
        scores={key: float(figures[key]) for key in _SCORES if isinstance(figures.get(key), int | float)},
    )  # fmt: skip


def _method(manifest: dict[str, Any]) -> str:
    method = (manifest.get("parameters") or {}).get("method")
    return str(method.get("value") or "") if isinstance(method, dict) else ""


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _tensors(folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    file = folder / WEIGHTS_FILE
    if not file.exists():
        return {}, [f"{WEIGHTS_FILE} is missing"]

    def read(start: int, stop: int) -> bytes:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(stop - start)

    try:
        return safetensors_header(read, file.stat().st_size), []
    except DamagedHeader as error:
        return {}, [f"{WEIGHTS_FILE} is damaged: {error}"]


def _targets(tensors: dict[str, Tensor]) -> tuple[str, ...]:
    inner = (name.split(".lora_")[0] for name in tensors if ".lora_" in name)
    return tuple(sorted({name.rsplit(".", 1)[-1] for name in inner}))
