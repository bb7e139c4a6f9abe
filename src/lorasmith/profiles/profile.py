"""What a LoRA profile is, and how it is read from and written as YAML or JSON. It knows no model and no folder of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lorasmith.core import paths
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.registry import nearest
from lorasmith.profiles.variants import VARIANTS, QuantizationName

ALL_LINEAR = "all-linear"
ATTENTION = "attention"
"""The linear layers of attention alone."""
_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_MAX_FILE_BYTES = 2**20


class Profile(BaseModel):
    """The shape of an adapter for a kind of model. What is "auto" or None is chosen by the rules of `plan.choose`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME, description="Small letters, digits, '-' and '_'")
    title: str = Field(default="", max_length=200, description="What it is, in a few words")
    model_types: tuple[str, ...] = Field(
        default=(), description="model_type of the models that it is for; none: every model"
    )
    base_names: tuple[str, ...] = Field(
        default=(), description="Parts of the names of models that it was made for, where the model_type does not tell"
    )
    tasks: tuple[str, ...] = Field(
        default=(), description="Tasks that it is for, as the Hub calls them; none: every task"
    )
    r: int | Literal["auto"] = Field(default="auto", description="Rank of the adapter")
    alpha: float | None = Field(default=None, gt=0, description="Scaling of the adapter")
    dropout: float | None = Field(default=None, ge=0, lt=1, description="Dropout before the adapter")
    target_modules: tuple[str, ...] | Literal["all-linear", "auto"] = Field(
        default=ALL_LINEAR, description="Last parts of the names of the layers to adapt"
    )
    modules_to_save: tuple[str, ...] = Field(
        default=(), description="Modules that are trained in full beside the adapter"
    )
    variant: str = Field(default="lora", description="Kind of adapter")
    quantization: QuantizationName = Field(default="none", description="How the base is loaded: none, 4bit, 8bit")
    use_rslora: bool = Field(default=False, description="Scale by alpha/√r")
    memory_usage: Literal["low", "medium", "high"] = Field(default="medium", description="Beside the family's others")
    recommended_for: str = Field(default="", max_length=500, description="When to take it")
    description: str = Field(default="", max_length=4000, description="What it adapts, and why these values")

    @field_validator("r", mode="after")
    @classmethod
    def _has_rank(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1024:
            raise ValueError("the rank is 'auto', or from 1 to 1024")
        return value

    @field_validator("target_modules", mode="before")
    @classmethod
    def _has_targets(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in {ALL_LINEAR, "auto"}:
            value = [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, list | tuple) and not value:
            raise ValueError("an adapter needs at least one target")
        return value

    @field_validator("variant")
    @classmethod
    def _is_variant(cls, value: str) -> str:
        if value not in VARIANTS:
            raise ValueError(nearest(value, VARIANTS))
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Profile:
        if self.quantization != "none" and not VARIANTS[self.variant].on_quantized:
            raise ValueError(f"'{self.variant}' does not train over a base in {self.quantization}")
        if self.variant == "qlora" and self.quantization != "4bit":
            raise ValueError("qlora is LoRA over a base in 4 bit: set quantization: 4bit")
        return self

    @property
    def is_for_all(self) -> bool:
        """Whether it is made for every kind of model."""
        return not self.model_types

    def as_dict(self) -> dict[str, Any]:
        """Plain values; what is as it is by default is left out, but not what a reader looks for first."""
        plain = self.model_dump(mode="json")
        shown = {"name", "r", "alpha", "dropout", "target_modules", "variant", "quantization", "memory_usage"}
        defaults = {name: field.get_default() for name, field in Profile.model_fields.items()}
        return {key: value for key, value in plain.items() if key in shown or value not in ([], defaults[key])}


def make(values: Mapping[str, Any], *, source: str = "") -> Profile:
    """A profile of these values. Raises UsageProblem that names the key and, where it is unknown, the nearest."""
    where = f" in '{source}'" if source else ""
    for key in values:
        if key not in Profile.model_fields:
            raise UsageProblem(f"Unknown key '{key}'{where}", why=nearest(str(key), Profile.model_fields))
    try:
        return Profile.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = str(problem["loc"][0]) if problem["loc"] else ""
        reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
        what = f"The key '{key}'{where} is wrong" if key else f"This profile{where} does not hold together"
        if problem["type"] == "missing":
            what = f"A profile needs the key '{key}'{where}"
        if problem["type"] == "string_pattern_mismatch":
            reason = f"{problem['input']!r} does not look like one"
        known = Profile.model_fields[key].description if key else ""
        raise UsageProblem(what, why=f"{reason}.", fix=f"{key}: {known}." if known else "") from None


def read(path: Path) -> Profile:
    """The profile in a YAML or JSON file. Raises NotFoundProblem, UsageProblem."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UsageProblem(f"'{path}' is no profile", why="It is larger than a megabyte.")
        text = path.read_text(encoding="utf-8")
        values: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise NotFoundProblem(f"There is no file '{path}'") from None
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageProblem(f"'{path}' cannot be read as a profile", why=f"{str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict):
        raise UsageProblem(f"'{path}' holds no profile", why="A profile is a list of 'key: value' lines.", fix=_EXAMPLE)
    return make(values, source=str(path))


_EXAMPLE = "See one:  lorasmith profiles show universal"


def write(profile: Profile, path: Path) -> None:
    """As JSON where the name ends so, else as YAML; whole or not at all. Raises UsageProblem for another ending."""
    if path.suffix == ".json":
        paths.write_json(path, profile.as_dict())
    elif path.suffix in {".yaml", ".yml"}:
        paths.write_text(path, as_yaml(profile))
    else:
        raise UsageProblem(f"'{path}' does not say which format", fix="End the name in .yaml or .json.")


def as_yaml(profile: Profile) -> str:
    return yaml.safe_dump(profile.as_dict(), sort_keys=False, allow_unicode=True, width=100)
