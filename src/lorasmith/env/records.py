"""What an installed model says of itself: `model_info.json`, written once, and `config.yaml`, which its user may change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorasmith.core import paths
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.hub.installed import FILES_FOLDER, INFO_FILE, is_complete
from lorasmith.plan.report import CheckReport

CONFIG_FILE = "config.yaml"
Quantization = Literal["none", "8bit", "4bit"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_NOT_INSTALLED = "This model was not properly installed."


class ModelConfig(BaseModel):
    """How an installed model is loaded where nothing else is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Dtype = Field(default="auto", description="What it computes in; auto: fp32 on a CPU, 16 bit on a GPU")
    device: Literal["auto", "cuda", "cpu", "mps"] = Field(default="auto", description="Where it runs")
    quantization: Quantization = Field(default="none", description="Weights in 8 or 4 bit, by bitsandbytes")
    trust_remote_code: bool = Field(default=False, description="Whether code from its repository may run")


class ModelInfo(CheckReport):
    """The check that the installation was decided by, and what came of it. Sizes in bytes."""

    source: str
    """The id on the Hub, or the path of the folder that it was made from."""
    install_date: datetime
    installer_version: str
    model_path: str = "./model"
    package_installer: str
    model_bytes: int
    environment_bytes: int
    """Files of the environment that are no links into the store of packages: what it costs beyond other models."""
    versions: dict[str, str]
    load_test: dict[str, Any]
    """What the first call gave; empty where it was not made."""


def read_model_info(folder: Path) -> ModelInfo:
    """Raises NotFoundProblem where the folder is no installation, UsageProblem where the file is damaged."""
    try:
        return ModelInfo.model_validate_json((folder / INFO_FILE).read_bytes())
    except FileNotFoundError:
        raise NotFoundProblem(
            _NOT_INSTALLED, why=f"'{folder}' has no {INFO_FILE}.", fix="Please run: lorasmith install <model-id>"
        ) from None
    except (OSError, ValidationError) as error:
        raise UsageProblem(
            f"'{folder / INFO_FILE}' is damaged", why=str(error).splitlines()[0], fix="Install the model again."
        ) from None


def read_model_config(folder: Path) -> ModelConfig:
    """The model's own settings. Raises UsageProblem that names the key."""
    path = folder / CONFIG_FILE
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return ModelConfig()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageProblem(f"'{path}' cannot be read", why=str(error).splitlines()[0]) from None
    if not isinstance(values, dict):
        raise UsageProblem(f"'{path}' must hold 'key: value' lines")
    unknown = next((str(key) for key in values if key not in ModelConfig.model_fields), None)
    if unknown is not None:
        raise UsageProblem(f"Unknown setting '{unknown}' ('{path}')", fix=nearest(unknown, ModelConfig.model_fields))
    try:
        return ModelConfig(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UsageProblem(f"The setting '{first['loc'][0]}' is wrong ('{path}')", why=f"{first['msg']}.") from None


def is_trusted(model_folder: Path) -> bool:
    """Whether Python files among a model's own may run: only those that were installed, by who said so then (FAM-2)."""
    place = model_folder.parent
    return model_folder.name == FILES_FOLDER and is_complete(place) and read_model_config(place).trust_remote_code


def write_model_config(folder: Path, config: ModelConfig) -> None:
    """Every setting with what it means."""
    lines = [
        f"# {field.description}\n{name}: {yaml.safe_dump(getattr(config, name)).splitlines()[0]}\n"
        for name, field in ModelConfig.model_fields.items()
    ]
    paths.write_text(folder / CONFIG_FILE, "\n".join(lines))
