"""An installed model in the memory of this process, as its `config.yaml` says: for people's own code, inside its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.env.records import ModelConfig, read_model_config, read_model_info
from lorasmith.families import FAMILIES
from lorasmith.hub.installed import FILES_FOLDER
from lorasmith.plan.hardware import where_to_run
from lorasmith.workers.runtime import quiet_libraries


def load_installed(folder: Path, **changes: Any) -> Any:
    """The model that is installed in `folder`, frozen; `changes` are fields of ModelConfig that count in place of the file's.

    Raises NotFoundProblem where nothing is installed there, UsageProblem for an unknown or wrong setting.
    """
    unknown = next((name for name in changes if name not in ModelConfig.model_fields), None)
    if unknown is not None:
        raise UsageProblem(f"Unknown setting '{unknown}'", fix=nearest(unknown, ModelConfig.model_fields))
    quiet_libraries()
    info = read_model_info(folder)
    config = ModelConfig.model_validate(read_model_config(folder).model_dump() | changes)
    place = where_to_run(config.device)
    return FAMILIES.get(info.model_family).load(
        folder / FILES_FOLDER, dtype=place["precision"] if config.dtype == "auto" else config.dtype, device=place["device"],
        quantization=config.quantization, trust_remote_code=config.trust_remote_code,
    )  # fmt: skip
